#include "kube/schema/builder.h"

namespace proa::kube {
namespace {

// Prose has ids from here while building; `finish` moves it behind the other texts.
constexpr TextId kProse = 1u << 31;

TextId append_text(std::string& pool, std::string_view text) {
  const auto id = static_cast<TextId>(pool.size());
  const auto size = static_cast<uint32_t>(text.size());
  pool.append(reinterpret_cast<const char*>(&size), sizeof size);
  pool.append(text);
  return id;
}

template <typename T>
std::string bytes_of(const T& record) {
  return {reinterpret_cast<const char*>(&record), sizeof record};
}

template <typename T>
TableHeader::Section append_section(std::string& out, const std::vector<T>& records) {
  out.resize((out.size() + 7) & ~size_t{7});
  const TableHeader::Section section{static_cast<uint32_t>(out.size()), static_cast<uint32_t>(records.size())};
  if (!records.empty()) out.append(reinterpret_cast<const char*>(records.data()), records.size() * sizeof(T));
  return section;
}

}  // namespace

TableBuilder::TableBuilder() {
  text("");
  facets_.push_back(no_facets());
  enums_.push_back({});
  node({});
}

TextId TableBuilder::text(std::string_view text) {
  const auto [at, added] = text_ids_.try_emplace(std::string(text), 0);
  if (added) at->second = append_text(texts_, text);
  return at->second;
}

TextId TableBuilder::prose(std::string_view text) { return text.empty() ? 0 : kProse + append_text(prose_, text); }

uint16_t TableBuilder::node(const NodeRecord& record) {
  const auto [at, added] = node_ids_.try_emplace(bytes_of(record), static_cast<uint16_t>(nodes_.size()));
  if (added) nodes_.push_back(record);
  return at->second;
}

uint16_t TableBuilder::facets(const FacetRecord& record) {
  const auto [at, added] = facet_ids_.try_emplace(bytes_of(record), static_cast<uint16_t>(facets_.size()));
  if (added) facets_.push_back(record);
  return at->second;
}

uint16_t TableBuilder::enumeration(std::string_view name, const std::vector<std::string>& values) {
  enums_.push_back({text(name), static_cast<uint16_t>(enum_values_.size()), static_cast<uint16_t>(values.size())});
  for (const std::string& value : values) enum_values_.push_back(text(value));
  return static_cast<uint16_t>(enums_.size() - 1);
}

uint16_t TableBuilder::branches(const std::vector<BranchRecord>& records) {
  const auto first = static_cast<uint16_t>(branches_.size());
  branches_.insert(branches_.end(), records.begin(), records.end());
  return first;
}

uint16_t TableBuilder::declare_type(std::string_view name, uint16_t flags) {
  const auto type = static_cast<uint16_t>(types_.size());
  const uint16_t own = node({.form = Form::kStruct, .flags = 0, .target = type, .facets = 0, .enumeration = 0});
  types_.push_back({.name = text(name),
                    .description = 0,
                    .first_field = 0,
                    .field_count = 0,
                    .group_version = static_cast<uint16_t>(group_versions_.empty() ? 0 : group_versions_.size() - 1),
                    .node = own,
                    .flags = flags,
                    .unused = 0});
  if (!group_versions_.empty()) ++group_versions_.back().type_count;
  return type;
}

void TableBuilder::set_fields(uint16_t type, const std::vector<FieldRecord>& fields) {
  overflow_ |= fields_.size() + fields.size() > 0xffff;
  types_[type].first_field = static_cast<uint16_t>(fields_.size());
  types_[type].field_count = static_cast<uint16_t>(fields.size());
  fields_.insert(fields_.end(), fields.begin(), fields.end());
}

void TableBuilder::begin_group_version(std::string_view group, std::string_view version, std::string_view package) {
  group_versions_.push_back({.group = text(group),
                             .version = text(version),
                             .package = text(package),
                             .first_resource = static_cast<uint16_t>(resources_.size()),
                             .resource_count = 0,
                             .first_type = static_cast<uint16_t>(types_.size()),
                             .type_count = 0});
}

void TableBuilder::add_resource(ResourceRecord record, const std::vector<SubresourceRecord>& subresources,
                                const std::vector<ColumnRecord>& columns) {
  record.group_version = static_cast<uint16_t>(group_versions_.size() - 1);
  record.first_subresource = static_cast<uint16_t>(subresources_.size());
  record.subresource_count = static_cast<uint16_t>(subresources.size());
  record.first_column = static_cast<uint16_t>(columns_.size());
  record.column_count = static_cast<uint16_t>(columns.size());
  subresources_.insert(subresources_.end(), subresources.begin(), subresources.end());
  columns_.insert(columns_.end(), columns.begin(), columns.end());
  resources_.push_back(record);
  ++group_versions_.back().resource_count;
}

Result<std::string> TableBuilder::finish() const {
  for (const size_t count : {nodes_.size(), facets_.size(), branches_.size(), types_.size(), enums_.size(),
                             enum_values_.size(), resources_.size(), subresources_.size(), columns_.size()})
    if (count > 0xffff || overflow_) return fail("schema: too large");
  const auto moved = [&](TextId id) { return id < kProse ? id : id - kProse + static_cast<TextId>(texts_.size()); };
  std::vector<FieldRecord> fields = fields_;
  for (FieldRecord& field : fields) field.description = moved(field.description);
  std::vector<TypeRecord> types = types_;
  for (TypeRecord& type : types) type.description = moved(type.description);
  std::vector<ColumnRecord> columns = columns_;
  for (ColumnRecord& column : columns) column.description = moved(column.description);

  std::string out(sizeof(TableHeader), '\0');
  TableHeader header{};
  header.magic = TableHeader::kMagic;
  header.fields = append_section(out, fields);
  header.nodes = append_section(out, nodes_);
  header.facets = append_section(out, facets_);
  header.branches = append_section(out, branches_);
  header.types = append_section(out, types);
  header.enums = append_section(out, enums_);
  header.enum_values = append_section(out, enum_values_);
  header.group_versions = append_section(out, group_versions_);
  header.resources = append_section(out, resources_);
  header.subresources = append_section(out, subresources_);
  header.columns = append_section(out, columns);
  header.texts = {static_cast<uint32_t>(out.size()), static_cast<uint32_t>(texts_.size() + prose_.size())};
  out += texts_;
  out += prose_;
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

}  // namespace proa::kube
