#include "kube/custom/invariants.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "kube/object/json.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

// --- values as Go prints them, which upstream's messages show

std::string go_text(const Value& value) {
  if (value.is_null()) return "<nil>";
  if (value.is_string()) return std::string(value.as_string());
  if (!value.is_array() && !value.is_object()) return write_json(value);
  std::string out;
  for (const Value& item : value.items()) out += cat(out.empty() ? "" : " ", go_text(item));
  if (value.is_array()) return cat("[", out, "]");
  std::vector<Member> members(value.members().begin(), value.members().end());
  std::ranges::sort(members, {}, &Member::key);
  for (const Member& member : members) out += cat(out.empty() ? "" : " ", member.key, ":", go_text(member.value));
  return cat("map[", out, "]");
}

std::string_view go_type(const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull: return "<nil>";
    case Value::Type::kBool: return "bool";
    case Value::Type::kInt: return "int64";
    case Value::Type::kDouble: return "float64";
    case Value::Type::kString: return "string";
    case Value::Type::kArray: return "[]interface {}";
    case Value::Type::kObject: return "map[string]interface {}";
  }
  return {};
}

// --- scale

// What is at ".spec.replicas"; `fault` says what stands in the way.
Value found_at(const Value& object, std::string_view path, std::string_view wanted_type, std::string& fault) {
  const auto blame = [&](std::string_view place, const Value& value, std::string_view wanted) {
    fault = cat(place, " accessor error: ", go_text(value), " is of the type ", go_type(value), ", expected ", wanted);
    return Value();
  };
  Value value = object;
  for (std::string_view rest = path.substr(path.starts_with('.') ? 1 : 0); !rest.empty();) {
    if (!value.is_object()) {
      if (value.is_null()) return {};
      return blame(path.substr(0, path.size() - rest.size() - 1), value, "map[string]interface {}");
    }
    const Value* next = value.find(cut(rest, '.'));
    if (next == nullptr) return {};
    value = *next;
  }
  if (go_type(value) != wanted_type) return blame(path, value, wanted_type);
  return value;
}

void blame_path(const Spot& root, std::string_view path, std::string_view value, std::string_view detail) {
  root[path].add(FieldError::Type::kInvalid, std::string(value), detail);
}

void check_replicas(const Spot& root, std::string_view path) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  std::string fault;
  const int64_t replicas = found_at(root.value(), path, "int64", fault).as_int();
  if (!fault.empty())
    blame_path(root, path, "0", fault);
  else if (replicas < 0)
    blame_path(root, path, cat(replicas), "should be a non-negative integer");
  else if (replicas > kMost)
    blame_path(root, path, cat(replicas), cat("should be less than or equal to ", kMost));
}

// --- embedded objects

// "apps/v1" or "v1".
std::string version_fault(std::string_view version) {
  if (std::ranges::count(version, '/') <= 1) return {};
  return cat("unexpected GroupVersion string: ", version);
}

void check_type_field(const Spot& spot, std::string_view name) {
  const Spot field = spot[name];
  const Value* found = spot.value().find(name);
  if (found == nullptr) return field.required();
  if (!found->is_string()) return field.invalid("must be a string");
  if (found->as_string().empty()) return field.invalid("must not be empty");
  if (name == "apiVersion") {
    if (const std::string fault = version_fault(found->as_string()); !fault.empty()) field.invalid(fault);
    return;
  }
  std::string lower(found->as_string());
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string faults;
  for (const std::string& fault : dns1035_label_faults(lower)) faults += cat(faults.empty() ? "" : ",", fault);
  if (!faults.empty()) field.invalid(cat("may have mixed case, but should otherwise match: ", faults));
}

void check_whole(const Spot& spot) {
  check_type_field(spot, "apiVersion");
  check_type_field(spot, "kind");
  const Spot metadata = spot["metadata"];
  if (!metadata.value().is_object()) return;
  // A name may be missing.
  Arena arena;
  Value named = Value::object_of(arena, metadata.value().members());
  if (named.string("name").empty()) named.set(arena, "name", Value::view("fakename"));
  validate_metadata(metadata.with(named), !named.string("namespace").empty(), path_segment_faults, true);
}

// Calls `visit(node, spot)` for all that the schema knows below.
void walk(NodeView node, const Spot& spot, const auto& visit) {
  visit(node, spot);
  const Value& value = spot.value();
  if (node.form() == Form::kStruct && value.is_object()) {
    for (const Member& member : value.members())
      if (const FieldView field = node.type().find(member.key); field && !field.node().has(NodeRecord::kBase))
        walk(field.node(), spot[member.key], visit);
  } else if (node.form() == Form::kMap) {
    for (const Member& member : value.members()) walk(node.element(), spot.key(member.key), visit);
  } else if (node.form() == Form::kList) {
    for (size_t i = 0; i < value.size(); ++i) walk(node.element(), spot.item(i), visit);
  }
}

}  // namespace

void check_scale_spec(const ResourceView& resource, const Spot& root) {
  if (!resource.scale_spec().empty()) check_replicas(root, resource.scale_spec());
}

void check_scale_status(const ResourceView& resource, const Spot& root) {
  if (resource.scale_spec().empty()) return;
  check_replicas(root, resource.scale_status());
  const std::string_view selector = resource.scale_selector();
  if (selector.empty()) return;
  std::string fault;
  static_cast<void>(found_at(root.value(), selector, "string", fault));
  if (!fault.empty()) blame_path(root, selector, "\"\"", fault);
}

void check_embedded(NodeView node, const Spot& spot) {
  walk(node, spot, [](NodeView here, const Spot& at) {
    if (here.has(NodeRecord::kEmbedded) && at.value().is_object()) check_whole(at);
  });
}

std::string item_identity(NodeView list, const Value& item) {
  if (!list.has(NodeRecord::kKeyed)) return write_json(item);
  std::string out = "{";
  for (const std::string_view key : split(list.keys(), ','))
    out += cat(out.size() > 1 ? "," : "", "\"", key, "\":", write_json(item.get(key)));
  return out + "}";
}

void check_unique_items(NodeView node, const Spot& spot) {
  walk(node, spot, [](NodeView here, const Spot& at) {
    if (here.form() != Form::kList || !(here.has(NodeRecord::kSet) || here.has(NodeRecord::kKeyed))) return;
    std::unordered_map<std::string, int> seen;
    for (size_t i = 0; i < at.size(); ++i) {
      std::string id = item_identity(here, at.item(i).value());
      // Told once, of the first that is there again.
      if (++seen[id] == 2) at.item(i).add(FieldError::Type::kDuplicate, std::move(id), {});
    }
  });
}

}  // namespace proa::kube
