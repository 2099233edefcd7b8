// Makes tables: of the schema's source files at build time, of CRDs at run time.
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "kube/schema/table.h"

namespace proa::kube {

// A facet record that limits nothing.
inline FacetRecord no_facets() {
  FacetRecord out;
  std::memset(static_cast<void*>(&out), 0, sizeof out);
  out.max_length = std::numeric_limits<uint32_t>::max();
  out.minimum = -std::numeric_limits<double>::infinity();
  out.maximum = std::numeric_limits<double>::infinity();
  return out;
}

// Equal texts, nodes and facets are kept once. Indices are those of the finished table. A table has at most
// 65,535 records of each sort; `finish` fails if there were more.
class TableBuilder {
 public:
  TableBuilder();

  TextId text(std::string_view text);
  // Texts that are rarely read, kept away from the others; not united.
  TextId prose(std::string_view text);
  uint16_t node(const NodeRecord& record);
  uint16_t facets(const FacetRecord& record);
  // `values` are JSON texts.
  uint16_t enumeration(std::string_view name, const std::vector<std::string>& values);
  // Branches of one node have to be added in one go; the index of the first.
  uint16_t branches(const std::vector<BranchRecord>& records);

  // A type and its node; `fields` are set later, once.
  uint16_t declare_type(std::string_view name, uint16_t flags);
  void describe_type(uint16_t type, TextId description) { types_[type].description = description; }
  void set_fields(uint16_t type, const std::vector<FieldRecord>& fields);
  uint16_t node_of(uint16_t type) const { return types_[type].node; }
  // Of a struct's node; that node becomes the type's own.
  uint16_t type_of(uint16_t node) {
    types_[nodes_[node].target].node = node;
    return nodes_[node].target;
  }

  // Types and resources that follow belong to this one.
  void begin_group_version(std::string_view group, std::string_view version, std::string_view package);
  void add_resource(ResourceRecord record, const std::vector<SubresourceRecord>& subresources,
                    const std::vector<ColumnRecord>& columns);

  // The table's bytes.
  Result<std::string> finish() const;

 private:
  std::string texts_, prose_;
  std::unordered_map<std::string, TextId> text_ids_;
  std::unordered_map<std::string, uint16_t> node_ids_, facet_ids_;
  std::vector<FieldRecord> fields_;
  std::vector<NodeRecord> nodes_;
  std::vector<FacetRecord> facets_;
  std::vector<BranchRecord> branches_;
  std::vector<TypeRecord> types_;
  std::vector<EnumRecord> enums_;
  std::vector<TextId> enum_values_;
  std::vector<GroupVersionRecord> group_versions_;
  std::vector<ResourceRecord> resources_;
  std::vector<SubresourceRecord> subresources_;
  std::vector<ColumnRecord> columns_;
  bool overflow_ = false;
};

}  // namespace proa::kube
