#include "kube/patch/strategic.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

constexpr std::string_view kPatch = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kSetOrder = "$setElementOrder/";
constexpr std::string_view kDeletePrimitive = "$deleteFromPrimitiveList/";
constexpr int kMaxDepth = 200;

bool is_directive(std::string_view key) {
  return key == kPatch || key == kRetainKeys || key.starts_with(kSetOrder) || key.starts_with(kDeletePrimitive);
}

Failure bad_format(std::string_view directive) { return fail("invalid patch format of ", directive, " list"); }

// What a value is by the schema: unknown fields have no node.
NodeView child_of(NodeView node, std::string_view key) {
  if (!node) return {};
  if (node.form() == Form::kStruct) {
    const FieldView field = node.type().find(key);
    return field ? field.node() : NodeView();
  }
  return node.form() == Form::kMap ? node.element() : NodeView();
}

bool merges(NodeView node) {
  return node && (node.patch() == FacetRecord::kMerge || node.patch() == FacetRecord::kMergeRetainKeys);
}

// Where the items of a list are, by their merge key, or by value for primitives. Looks through short lists, and keeps
// an index of longer ones, so that large patches of large lists take no quadratic time. Of equal items the first
// counts.
class Positions {
 public:
  Positions(const Value& list, std::string_view key) : list_(list), key_(key) {
    if (list.size() <= kShort) return;
    index_.reserve(list.size());
    for (size_t i = 0; i < list.size(); ++i)
      if (const Value* id = id_of(list.items()[i])) index_.emplace(write_json(*id), i);
    indexed_ = list.size();
  }
  // After an item was pushed to the list.
  void pushed() {
    if (indexed_ == 0) {
      if (list_.size() > kShort) *this = Positions(list_, key_);
      return;
    }
    if (const Value* id = id_of(list_.items().back())) index_.emplace(write_json(*id), list_.size() - 1);
    indexed_ = list_.size();
  }
  // -1 if it is not there.
  ptrdiff_t find(const Value& id) const {
    if (indexed_ > 0) {
      const auto at = index_.find(write_json(id));
      return at == index_.end() ? -1 : static_cast<ptrdiff_t>(at->second);
    }
    const std::span<Value> items = list_.items();
    for (size_t i = 0; i < items.size(); ++i)
      if (const Value* other = id_of(items[i]); other != nullptr && equal(*other, id)) return static_cast<ptrdiff_t>(i);
    return -1;
  }

 private:
  static constexpr size_t kShort = 16;
  const Value* id_of(const Value& item) const { return key_.empty() ? &item : item.find(key_); }

  Value list_;  // the same list, not a copy
  std::string_view key_;
  std::unordered_map<std::string, size_t> index_;
  size_t indexed_ = 0;
};

class Merger {
 public:
  explicit Merger(Arena& arena) : arena_(arena) {}

  Result<Value> object(NodeView node, const Value& original, const Value& patch, int depth) {
    if (depth > kMaxDepth) return fail("the patch is nested too deeply");
    if (const Value* directive = patch.find(kPatch)) {
      const std::string_view what = directive->as_string();
      if (what == "replace") return without_directives(patch, depth);
      if (what == "delete") return Value::object(arena_);
      if (what != "merge") return fail("invalid patch type [", what, "]");
    }
    Value out = Value::object_of(arena_, original.members());
    TRY(retain_keys(patch, out));
    for (const Member& member : patch.members()) {
      if (member.key == kPatch || member.key == kRetainKeys) continue;
      if (member.key.starts_with(kDeletePrimitive)) {
        TRY(delete_primitives(member, out));
      } else if (member.key.starts_with(kSetOrder)) {
        const std::string_view field = member.key.substr(kSetOrder.size());
        if (!member.value.is_array()) return bad_format("setElementOrder");
        // With the field itself in the patch, that orders.
        if (patch.find(field) == nullptr) TRY(order_only(child_of(node, field), field, member.value, out));
      } else {
        TRY(field(child_of(node, member.key), member, patch, out, depth));
      }
    }
    return out;
  }

 private:
  Result<> retain_keys(const Value& patch, Value& out) {
    const Value* retained = patch.find(kRetainKeys);
    if (retained == nullptr) return {};
    if (!retained->is_array()) return bad_format("retainKeys");
    const auto kept = [&](std::string_view key) {
      return std::ranges::any_of(retained->items(), [&](const Value& item) { return item.as_string() == key; });
    };
    for (const Member& member : patch.members())
      if (!is_directive(member.key) && !member.value.is_null() && !kept(member.key)) return bad_format("retainKeys");
    std::vector<std::string_view> gone;
    for (const Member& member : out.members())
      if (!kept(member.key)) gone.push_back(member.key);
    for (const std::string_view key : gone) out.erase(key);
    return {};
  }

  Result<> delete_primitives(const Member& directive, Value& out) {
    if (!directive.value.is_array()) return bad_format("deleteFromPrimitiveList");
    Value* list = out.find(directive.key.substr(kDeletePrimitive.size()));
    if (list == nullptr || !list->is_array()) return {};
    Value kept = Value::array(arena_, list->size());
    const Positions gone(directive.value, "");
    for (const Value& item : list->items())
      if (gone.find(item) < 0) kept.push(arena_, item);
    *list = kept;
    return {};
  }

  Result<> field(NodeView node, const Member& member, const Value& patch, Value& out, int depth) {
    const Value& value = member.value;
    if (value.is_null()) {
      out.erase(member.key);
      return {};
    }
    const Value* found = out.find(member.key);
    const bool replace = node && node.patch() == FacetRecord::kReplace;
    if (value.is_object() && !replace) {
      const Value original = found != nullptr && found->is_object() ? *found : Value::object(arena_);
      out.set(arena_, member.key, TRY(object(node, original, value, depth + 1)));
      return {};
    }
    if (value.is_array() && merges(node)) {
      const Value original = found != nullptr && found->is_array() ? *found : Value::array(arena_);
      const Value* order = nullptr;
      const std::string directive = cat(kSetOrder, member.key);
      if ((order = patch.find(directive)) != nullptr && !order->is_array()) return bad_format("setElementOrder");
      out.set(arena_, member.key, TRY(list(node, original, value, order, depth + 1)));
      return {};
    }
    out.set(arena_, member.key, value.is_array() ? TRY(without_directives(value, depth)) : value);
    return {};
  }

  Result<Value> list(NodeView node, const Value& original, const Value& patch, const Value* order, int depth) {
    const std::string_view key = node.merge_key();
    if (key.empty()) return primitives(original, patch, order);
    Value out = Value::array_of(arena_, original.items());
    Value additions = Value::array(arena_, patch.size()), deletions = Value::array(arena_);
    bool replace = false;
    for (const Value& item : patch.items()) {
      if (!item.is_object()) return fail("expected a map in the list to be merged by ", key);
      const std::string_view what = item.string(kPatch);
      if (what == "replace") replace = true;
      if (what.empty() || (what == "merge" && item.size() > 1)) additions.push(arena_, item);
      if (what == "delete") deletions.push(arena_, item);
      if (!what.empty() && what != "delete" && what != "replace" && what != "merge")
        return fail("invalid patch type [", what, "]");
    }
    if (deletions.size() > 0) TRY(delete_matching(out, deletions, key));
    if (replace) out = Value::array(arena_, additions.size());
    Positions known(out, key);
    for (const Value& item : additions.items()) {
      const Value* id = item.find(key);
      if (id == nullptr) return fail("map: ", write_json(item), " does not contain declared merge key: ", key);
      if (const ptrdiff_t at = known.find(*id); at >= 0) {
        Value& match = out.items()[static_cast<size_t>(at)];
        match = TRY(object(node.element(), match, item, depth));
      } else {
        out.push(arena_, TRY(object(node.element(), Value::object(arena_), item, depth)));
        known.pushed();
      }
    }
    return ordered(original, out, order == nullptr ? additions : *order, key);
  }

  Result<> delete_matching(Value& list, const Value& deletions, std::string_view key) {
    for (const Value& item : deletions.items())
      if (item.find(key) == nullptr)
        return fail("map: ", write_json(item), " does not contain declared merge key: ", key);
    const Positions gone(deletions, key);
    size_t kept = 0;
    const std::span<Value> items = list.items();
    for (const Value& item : items) {
      const Value* id = item.find(key);
      if (id == nullptr || gone.find(*id) < 0) items[kept++] = item;
    }
    list.truncate(kept);
    return {};
  }

  Result<Value> primitives(const Value& original, const Value& patch, const Value* order) {
    Value out = Value::array(arena_, original.size() + patch.size());
    Positions known(out, "");
    for (const Value* from : {&original, &patch})
      for (const Value& item : from->items())
        if (known.find(item) < 0) {
          out.push(arena_, item);
          known.pushed();
        }
    return ordered(original, out, order == nullptr ? patch : *order, "");
  }

  Result<> order_only(NodeView node, std::string_view field, const Value& order, Value& out) {
    Value* list = out.find(field);
    if (list != nullptr && list->is_array() && merges(node)) *list = ordered(*list, *list, order, node.merge_key());
    return {};
  }

  // Those that `order` names come in its order; what only the server has keeps its place relative to those it knew.
  Value ordered(const Value& server, const Value& merged, const Value& order, std::string_view key) {
    const Positions in_order(order, key), on_server(server, key);
    const auto position = [&](const Positions& positions, const Value& item) {
      return positions.find(key.empty() ? item : item.get(key));
    };
    std::vector<std::pair<ptrdiff_t, Value>> named, others;
    for (const Value& item : merged.items()) {
      const ptrdiff_t at = position(in_order, item);
      if (at >= 0)
        named.emplace_back(at, item);
      else
        others.emplace_back(position(on_server, item), item);
    }
    const auto by_position = [](const auto& a, const auto& b) { return a.first < b.first; };
    std::ranges::sort(named, by_position);
    std::ranges::sort(others, by_position);
    Value out = Value::array(arena_, merged.size());
    size_t i = 0, j = 0;
    while (i < named.size() || j < others.size()) {
      // As upstream: what is named comes first, unless both were known and the other one came before.
      bool take_named = i < named.size();
      if (take_named && j < others.size()) {
        const ptrdiff_t known = position(on_server, named[i].second);
        take_named = known < 0 || others[j].first < 0 || known <= others[j].first;
      }
      out.push(arena_, take_named ? named[i++].second : others[j++].second);
    }
    return out;
  }

  // What a patch adds where there was nothing: nulls and directives are left out.
  Result<Value> without_directives(const Value& value, int depth) {
    if (depth > kMaxDepth) return fail("the patch is nested too deeply");
    if (value.is_array()) {
      Value out = Value::array(arena_, value.size());
      for (const Value& item : value.items()) {
        if (item.is_object() && item.string(kPatch) == "delete") continue;
        out.push(arena_, TRY(without_directives(item, depth + 1)));
      }
      return out;
    }
    if (!value.is_object()) return value;
    Value out = Value::object(arena_, value.size());
    for (const Member& member : value.members())
      if (!is_directive(member.key) && !member.value.is_null())
        out.add(arena_, member.key, TRY(without_directives(member.value, depth + 1)));
    return out;
  }

  Arena& arena_;
};

}  // namespace

Result<Value> apply_strategic_patch(Arena& arena, TypeView type, const Value& object, const Value& patch) {
  if (!patch.is_object()) return fail("a strategic merge patch is an object");
  return Merger(arena).object(type.node(), object, patch, 0);
}

}  // namespace proa::kube
