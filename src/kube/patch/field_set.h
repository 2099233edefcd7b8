// Sets of fields of an object: who owns what, for server-side apply. The JSON form is FieldsV1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// A tree: each entry is a path element, in or not in the set itself, with a set of what is below it.
class FieldSet {
 public:
  struct Entry;

  bool empty() const;
  // "f:name", "k:{...}", "v:...", "i:0".
  FieldSet& child(std::string_view element);  // made if missing
  const FieldSet* find(std::string_view element) const;
  void insert(std::string_view element);  // the element itself
  bool has(std::string_view element) const;

  void unite(FieldSet other);
  void remove(const FieldSet& other);  // as without()
  FieldSet united(const FieldSet& other) const;
  FieldSet without(const FieldSet& other) const;  // exact members only, not what is below them
  FieldSet common(const FieldSet& other) const;
  bool operator==(const FieldSet& other) const;

  // FieldsV1.
  static Result<FieldSet> parse(const Value& fields);
  Value value(Arena& arena) const;
  // Each member as a path: ".spec.containers[name=\"web\"].image".
  std::vector<std::string> paths() const;

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  Entry* at(std::string_view element);
  const Entry* look(std::string_view element) const;
  void add_paths(const std::string& prefix, std::vector<std::string>& out) const;
  void drop_empty();

  std::vector<Entry> entries_;  // by element
};

struct FieldSet::Entry {
  std::string element;
  bool member = false;
  FieldSet below;
  bool operator==(const Entry&) const = default;
};

// The path element of a list's item: by its keys for a keyed list, by value for a set.
Result<std::string> item_element(NodeView list, const Value& item);

// The fields a document sets. What has one owner as a whole counts as one field.
Result<FieldSet> fields_of(NodeView node, const Value& value);

struct FieldDifference {
  FieldSet added, modified, removed;
  bool same() const { return added.empty() && modified.empty() && removed.empty(); }
};
Result<FieldDifference> compare_fields(NodeView node, const Value& old_value, const Value& new_value);

// `config`, which fits the schema, merged over `live`.
Result<Value> merge_fields(Arena& arena, NodeView node, const Value& live, const Value& config);

// Without the members of `gone`.
Value remove_fields(Arena& arena, NodeView node, const Value& value, const FieldSet& gone);

// Also the struct fields that have members below them.
FieldSet with_named_fields(NodeView node, const FieldSet& set);

// Whether the document fits the schema, as server-side apply requires. The error names the field: ".spec.foo: field not
// declared in schema".
Result<> check_declared(NodeView node, const Value& value);

}  // namespace proa::kube
