#include "kube/patch/field_set.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {

// --- the set

FieldSet::Entry* FieldSet::at(std::string_view element) {
  const auto at = std::ranges::lower_bound(entries_, element, {}, &Entry::element);
  if (at != entries_.end() && at->element == element) return &*at;
  return &*entries_.insert(at, Entry{std::string(element), false, {}});
}

bool FieldSet::empty() const {
  return std::ranges::all_of(entries_, [](const Entry& entry) { return !entry.member && entry.below.empty(); });
}

FieldSet& FieldSet::child(std::string_view element) { return at(element)->below; }
void FieldSet::insert(std::string_view element) { at(element)->member = true; }

const FieldSet::Entry* FieldSet::look(std::string_view element) const {
  const auto at = std::ranges::lower_bound(entries_, element, {}, &Entry::element);
  return at != entries_.end() && at->element == element ? &*at : nullptr;
}

const FieldSet* FieldSet::find(std::string_view element) const {
  const Entry* entry = look(element);
  return entry == nullptr ? nullptr : &entry->below;
}

bool FieldSet::has(std::string_view element) const {
  const Entry* entry = look(element);
  return entry != nullptr && entry->member;
}

void FieldSet::drop_empty() {
  std::erase_if(entries_, [](const Entry& entry) { return !entry.member && entry.below.empty(); });
}

void FieldSet::unite(FieldSet other) {
  if (entries_.empty()) {
    entries_ = std::move(other.entries_);
    return;
  }
  for (Entry& entry : other.entries_) {
    Entry* mine = at(entry.element);
    mine->member |= entry.member;
    mine->below.unite(std::move(entry.below));
  }
}

void FieldSet::remove(const FieldSet& other) {
  for (Entry& entry : entries_) {
    const Entry* theirs = other.look(entry.element);
    if (theirs == nullptr) continue;
    if (theirs->member) entry.member = false;
    entry.below.remove(theirs->below);
  }
  drop_empty();
}

FieldSet FieldSet::united(const FieldSet& other) const {
  FieldSet out = *this;
  out.unite(other);
  return out;
}

FieldSet FieldSet::without(const FieldSet& other) const {
  FieldSet out = *this;
  out.remove(other);
  return out;
}

FieldSet FieldSet::common(const FieldSet& other) const {
  FieldSet out = *this;
  for (Entry& entry : out.entries_) {
    entry.member = entry.member && other.has(entry.element);
    const FieldSet* below = other.find(entry.element);
    entry.below = below == nullptr ? FieldSet() : entry.below.common(*below);
  }
  out.drop_empty();
  return out;
}

bool FieldSet::operator==(const FieldSet& other) const { return entries_ == other.entries_; }

Result<FieldSet> FieldSet::parse(const Value& fields) {
  FieldSet out;
  for (const Member& member : fields.members()) {
    if (member.key == ".") continue;
    if (member.key.size() < 2 || member.key[1] != ':' ||
        std::string_view("fkvi").find(member.key[0]) == std::string_view::npos)
      return fail("\"", member.key, "\" is no path element");
    Entry* entry = out.at(member.key);
    entry->member = member.value.size() == 0 || member.value.find(".") != nullptr;
    entry->below = TRY(parse(member.value));
  }
  return out;
}

Value FieldSet::value(Arena& arena) const {
  Value out = Value::object(arena, entries_.size());
  for (const Entry& entry : entries_) {
    Value below = Value::object(arena);
    if (!entry.below.entries_.empty()) {
      if (entry.member) below.add(arena, ".", Value::object(arena));
      const Value rest = entry.below.value(arena);
      for (const Member& member : rest.members()) below.add(arena, member.key, member.value);
    }
    out.add(arena, arena.copy(entry.element), below);
  }
  return out;
}

void FieldSet::add_paths(const std::string& prefix, std::vector<std::string>& out) const {
  for (const Entry& entry : entries_) {
    const std::string_view rest = std::string_view(entry.element).substr(2);
    std::string path = prefix;
    switch (entry.element[0]) {
      case 'f': path += cat(".", rest); break;
      case 'k': {
        path += "[";
        bool first = true;
        if (const auto keys = read_json(rest))
          for (const Member& member : keys->root.members()) {
            path += cat(first ? "" : ",", member.key, "=", write_json(member.value));
            first = false;
          }
        path += "]";
        break;
      }
      case 'v': path += cat("[=", rest, "]"); break;
      default: path += cat("[", rest, "]");
    }
    if (entry.member) out.push_back(path);
    entry.below.add_paths(path, out);
  }
}

std::vector<std::string> FieldSet::paths() const {
  std::vector<std::string> out;
  add_paths("", out);
  return out;
}

// --- walking documents

namespace {

enum class Shape : uint8_t { kLeaf, kFields, kItems };

// How a value is owned: as one, field by field or item by item. What has no schema is owned field by field,
// its lists as one.
Shape shape_of(NodeView node, const Value& value) {
  if (!node || node.has(NodeRecord::kPreserve)) {
    if (value.is_object() && !(node && node.atomic())) return Shape::kFields;
    if (!node || node.form() != Form::kList) return Shape::kLeaf;
  }
  if (node.form() == Form::kList) return node.atomic() ? Shape::kLeaf : Shape::kItems;
  if (node.form() == Form::kStruct || node.form() == Form::kMap) return node.atomic() ? Shape::kLeaf : Shape::kFields;
  return Shape::kLeaf;
}

NodeView field_node(NodeView node, std::string_view key, bool& named) {
  named = false;
  if (!node) return {};
  if (node.form() == Form::kMap) return node.element();
  if (node.form() != Form::kStruct) return {};
  const FieldView field = node.type().find(key);
  named = static_cast<bool>(field);
  return field ? field.node() : NodeView();
}

NodeView field_node(NodeView node, std::string_view key) {
  bool named = false;
  return field_node(node, key, named);
}

bool is_type_meta(NodeView node, std::string_view key) {
  return (key == "apiVersion" || key == "kind") && node && node.form() == Form::kStruct && node.type().is_kind();
}

std::string field_element(std::string_view key) { return cat("f:", key); }

// The items of a list by their elements, in order; the first of equal ones.
struct Items {
  std::vector<std::string> order;
  std::vector<Value> values;
  std::unordered_map<std::string, size_t> places;
  const size_t* place(const std::string& element) const {
    const auto at = places.find(element);
    return at == places.end() ? nullptr : &at->second;
  }
  const Value* find(const std::string& element) const {
    const size_t* at = place(element);
    return at == nullptr ? nullptr : &values[*at];
  }
};

Result<Items> items_of(NodeView node, const Value& list) {
  Items out;
  for (const Value& item : list.items()) {
    std::string element = TRY(item_element(node, item));
    if (!out.places.try_emplace(element, out.order.size()).second) continue;
    out.order.push_back(std::move(element));
    out.values.push_back(item);
  }
  return out;
}

Result<> add_fields(NodeView node, const Value& value, FieldSet& out);

Result<> add_item_fields(NodeView node, const Value& value, FieldSet& out) {
  const Items items = TRY(items_of(node, value));
  for (size_t i = 0; i < items.order.size(); ++i) {
    out.insert(items.order[i]);
    if (shape_of(node.element(), items.values[i]) != Shape::kLeaf)
      TRY(add_fields(node.element(), items.values[i], out.child(items.order[i])));
  }
  return {};
}

// The fields below a value that is no leaf.
Result<> add_fields(NodeView node, const Value& value, FieldSet& out) {
  if (shape_of(node, value) == Shape::kItems) return add_item_fields(node, value, out);
  for (const Member& member : value.members()) {
    if (is_type_meta(node, member.key)) continue;
    bool named = false;
    const NodeView below = field_node(node, member.key, named);
    const std::string element = field_element(member.key);
    const bool leaf = shape_of(below, member.value) == Shape::kLeaf;
    const bool empty = member.value.is_null() || (member.value.is_object() && member.value.size() == 0);
    if (leaf || empty || !named) out.insert(element);
    if (!leaf && !empty) TRY(add_fields(below, member.value, out.child(element)));
  }
  return {};
}

// All that only one of two versions has below `place`, and the place itself.
Result<> add_whole(NodeView node, const Value& value, FieldSet& out, const std::string& place) {
  out.insert(place);
  const Shape shape = shape_of(node, value);
  if (shape == Shape::kLeaf || value.size() == 0) return {};
  FieldSet& below = out.child(place);
  if (shape == Shape::kItems) {
    const Items items = TRY(items_of(node, value));
    for (size_t i = 0; i < items.order.size(); ++i)
      TRY(add_whole(node.element(), items.values[i], below, items.order[i]));
    return {};
  }
  for (const Member& member : value.members())
    if (!is_type_meta(node, member.key))
      TRY(add_whole(field_node(node, member.key), member.value, below, field_element(member.key)));
  return {};
}

class Comparer {
 public:
  explicit Comparer(FieldDifference& out) : out_(out) {}

  Result<> compare(NodeView node, const Value& old_value, const Value& new_value) {
    const Shape shape = shape_of(node, new_value);
    const bool empty = old_value.size() == 0 && new_value.size() == 0;
    // Null is the empty list or object, as in Go.
    const bool unlike = !old_value.is_null() && !new_value.is_null() && old_value.type() != new_value.type();
    if (shape != Shape::kLeaf && !empty && !unlike)
      return shape == Shape::kItems ? items(node, old_value, new_value) : fields(node, old_value, new_value);
    if (!path_.empty() && !equal(old_value, new_value)) parent(out_.modified).insert(path_.back());
    return {};
  }

 private:
  // The set that has the last element of the path.
  FieldSet& parent(FieldSet& set) const {
    FieldSet* at = &set;
    for (size_t i = 0; i + 1 < path_.size(); ++i) at = &at->child(path_[i]);
    return *at;
  }

  // Of values one may be missing (nullptr).
  Result<> below(NodeView node, std::string element, const Value* old_value, const Value* new_value) {
    // Most of two versions is the same.
    const bool both = old_value != nullptr && new_value != nullptr;
    if (both && equal(*old_value, *new_value)) return {};
    path_.push_back(std::move(element));
    TRY(both                   ? compare(node, *old_value, *new_value)
        : new_value != nullptr ? add_whole(node, *new_value, parent(out_.added), path_.back())
                               : add_whole(node, *old_value, parent(out_.removed), path_.back()));
    path_.pop_back();
    return {};
  }

  Result<> fields(NodeView node, const Value& old_value, const Value& new_value) {
    for (const Member& member : old_value.members())
      if (!is_type_meta(node, member.key))
        TRY(below(field_node(node, member.key), field_element(member.key), &member.value, new_value.find(member.key)));
    for (const Member& member : new_value.members())
      if (!is_type_meta(node, member.key) && old_value.find(member.key) == nullptr)
        TRY(below(field_node(node, member.key), field_element(member.key), nullptr, &member.value));
    return {};
  }

  Result<> items(NodeView node, const Value& old_value, const Value& new_value) {
    const Items before = TRY(items_of(node, old_value));
    const Items after = TRY(items_of(node, new_value));
    for (size_t i = 0; i < before.order.size(); ++i)
      TRY(below(node.element(), before.order[i], &before.values[i], after.find(before.order[i])));
    for (size_t i = 0; i < after.order.size(); ++i)
      if (before.find(after.order[i]) == nullptr) TRY(below(node.element(), after.order[i], nullptr, &after.values[i]));
    return {};
  }

  FieldDifference& out_;
  std::vector<std::string> path_;
};

class Merging {
 public:
  explicit Merging(Arena& arena) : arena_(arena) {}

  Result<Value> merge(NodeView node, const Value* live, const Value* config) {
    if (config == nullptr) return *live;
    if (live == nullptr || live->type() != config->type()) return *config;
    switch (shape_of(node, *config)) {
      case Shape::kLeaf: return *config;
      case Shape::kFields: return fields(node, *live, *config);
      case Shape::kItems: return items(node, *live, *config);
    }
    return *config;
  }

 private:
  Result<Value> fields(NodeView node, const Value& live, const Value& config) {
    Value out = Value::object_of(arena_, live.members());
    for (const Member& member : config.members()) {
      const Value* known = live.find(member.key);
      out.set(arena_, member.key, TRY(merge(field_node(node, member.key), known, &member.value)));
    }
    return out;
  }

  // Keeps the order of both: the config's where it says one, new items where they stand in it.
  Result<Value> items(NodeView node, const Value& live, const Value& config) {
    const Items left = TRY(items_of(node, live)), right = TRY(items_of(node, config));
    std::vector<std::string_view> shared;
    for (const std::string& element : right.order)
      if (left.find(element) != nullptr) shared.push_back(element);
    Value out = Value::array(arena_, left.order.size() + right.order.size());
    std::vector<bool> merged(right.order.size(), false);
    size_t i = 0, j = 0, next = 0;
    const auto take_right = [&]() -> Result<> {
      out.push(arena_, TRY(merge(node.element(), left.find(right.order[j]), &right.values[j])));
      merged[j] = true;
      if (next < shared.size() && shared[next] == right.order[j]) ++next;
      ++j;
      return {};
    };
    while (i < left.order.size() || j < right.order.size()) {
      if (i < left.order.size()) {
        const size_t* at = right.place(left.order[i]);
        if (at == nullptr) {
          out.push(arena_, left.values[i++]);
          continue;
        }
        if (j < right.order.size() && left.order[i] == right.order[j]) {
          TRY(take_right());
          ++i;
          continue;
        }
        const bool done = merged[*at];
        if (done || (next < shared.size() && shared[next] != left.order[i])) {
          ++i;
          continue;
        }
      }
      if (j < right.order.size()) TRY(take_right());
    }
    return out;
  }

  Arena& arena_;
};

std::string default_element_text(NodeView list, std::string_view key) {
  if (list.element().form() != Form::kStruct) return {};
  const FieldView field = list.element().type().find(key);
  return field ? std::string(field.node().default_json()) : std::string();
}

Result<> check(NodeView node, const Value& value, const std::string& path) {
  if (!node || value.is_null() || node.has(NodeRecord::kPreserve)) return {};
  switch (node.form()) {
    case Form::kStruct: {
      if (!value.is_object()) return fail(path.empty() ? "." : path, ": expected map, got &{", write_json(value), "}");
      for (const Member& member : value.members()) {
        if (is_type_meta(node, member.key)) continue;
        const FieldView field = node.type().find(member.key);
        const std::string below = cat(path, ".", member.key);
        if (!field) return fail(below, ": field not declared in schema");
        TRY(check(field.node(), member.value, below));
      }
      return {};
    }
    case Form::kMap:
      if (!value.is_object()) return fail(path, ": expected map, got &{", write_json(value), "}");
      for (const Member& member : value.members()) TRY(check(node.element(), member.value, cat(path, ".", member.key)));
      return {};
    case Form::kList: {
      if (!value.is_array()) return fail(path, ": expected list, got &{", write_json(value), "}");
      std::unordered_set<std::string> seen;
      for (size_t i = 0; i < value.size(); ++i) {
        const Value& item = value.items()[i];
        std::string element = cat("i:", i);
        if (!node.atomic()) {
          element = TRY_CTX(item_element(node, item), path, ": element ", i);
          if (!seen.insert(element).second) {
            FieldSet one;
            one.insert(element);
            return fail(path, ": duplicate entries for key ", one.paths()[0]);
          }
        }
        FieldSet one;
        one.insert(element);
        TRY(check(node.element(), item, cat(path, one.paths()[0])));
      }
      return {};
    }
    default: return {};
  }
}

}  // namespace

Result<std::string> item_element(NodeView list, const Value& item) {
  if (list.has(NodeRecord::kSet)) return cat("v:", write_json(item));
  if (!item.is_object()) return fail("associative list without keys has an element that's not a map");
  std::vector<std::string_view> keys = split(list.keys(), ',');
  std::ranges::sort(keys);
  std::string out = "k:{";
  size_t found = 0;
  for (const std::string_view key : keys) {
    const Value* value = item.find(key);
    std::string text = value != nullptr ? write_json(*value) : default_element_text(list, key);
    if (text.empty()) continue;
    out += cat(found++ == 0 ? "\"" : ",\"", key, "\":", text);
  }
  if (found == 0 && !keys.empty())
    return fail("associative list with keys has an element that omits key field \"", keys[0],
                "\" (and doesn't have default value)");
  return out + "}";
}

Result<FieldSet> fields_of(NodeView node, const Value& value) {
  FieldSet out;
  TRY(add_fields(node, value, out));
  return out;
}

Result<FieldDifference> compare_fields(NodeView node, const Value& old_value, const Value& new_value) {
  FieldDifference out;
  TRY(Comparer(out).compare(node, old_value, new_value));
  return out;
}

Result<Value> merge_fields(Arena& arena, NodeView node, const Value& live, const Value& config) {
  return Merging(arena).merge(node, &live, &config);
}

Value remove_fields(Arena& arena, NodeView node, const Value& value, const FieldSet& gone) {
  const Shape shape = shape_of(node, value);
  if (shape == Shape::kItems && value.is_array()) {
    Value out = Value::array(arena, value.size());
    for (const Value& item : value.items()) {
      const auto element = item_element(node, item);
      if (element && gone.has(*element)) continue;
      const FieldSet* below = element ? gone.find(*element) : nullptr;
      out.push(arena, below != nullptr && !below->empty() ? remove_fields(arena, node.element(), item, *below) : item);
    }
    return out;
  }
  if (shape != Shape::kFields || !value.is_object()) return value;
  Value out = Value::object(arena, value.size());
  for (const Member& member : value.members()) {
    const std::string element = field_element(member.key);
    if (gone.has(element)) continue;
    const FieldSet* below = gone.find(element);
    const NodeView inner = field_node(node, member.key);
    if (below == nullptr || below->empty()) {
      out.add(arena, member.key, member.value);
      continue;
    }
    const Value kept = remove_fields(arena, inner, member.value, *below);
    // What became empty is gone as well.
    if (kept.size() > 0 || member.value.size() == 0) out.add(arena, member.key, kept);
  }
  return out;
}

FieldSet with_named_fields(NodeView node, const FieldSet& set) {
  FieldSet out;
  for (const FieldSet::Entry& entry : set.entries()) {
    bool named = false;
    NodeView below;
    if (entry.element[0] == 'f')
      below = field_node(node, std::string_view(entry.element).substr(2), named);
    else if (entry.element[0] == 'k' && node && node.form() == Form::kList)
      below = node.element();
    if (entry.member || (named && !entry.below.empty())) out.insert(entry.element);
    if (!entry.below.empty()) out.child(entry.element) = with_named_fields(below, entry.below);
  }
  return out;
}

Result<> check_declared(NodeView node, const Value& value) { return check(node, value, ""); }

}  // namespace proa::kube
