// Pruning and defaulting of custom objects.
#include "kube/codec/conform.h"

#include <algorithm>

#include "base/error.h"
#include "kube/custom/custom.h"

namespace proa::kube {
namespace {

constexpr int kMaxDepth = 200;

class Conformer {
 public:
  Conformer(Arena& arena, const CustomOptions& options) : arena_(arena), options_(options) {}

  Result<Value> value(NodeView node, const Value& in, const std::string& path, int depth) {
    if (depth > kMaxDepth) return fail("nested too deeply");
    if (in.is_object() && node.form() == Form::kStruct) return object(node, in, path, depth);
    if (in.is_object() && node.form() == Form::kMap) {
      Value out = Value::object(arena_, in.size());
      for (const Member& member : in.members())
        if (!is_nothing(node.element(), member.value))
          out.add(arena_, member.key, TRY(value(node.element(), member.value, cat(path, ".", member.key), depth + 1)));
      return sorted(out);
    }
    if (in.is_array() && node.form() == Form::kList) {
      Value out = Value::array(arena_, in.size());
      for (size_t i = 0; i < in.size(); ++i) {
        const Value& item = in.items()[i];
        const bool absent = is_nothing(node.element(), item) && !node.element().default_json().empty();
        out.push(arena_, TRY(value(node.element(), absent ? default_of(arena_, node.element()) : item,
                                   cat(path, "[", i, "]"), depth + 1)));
      }
      return out;
    }
    return in;
  }

 private:
  static Value sorted(Value out) {
    std::ranges::sort(out.members(), {}, &Member::key);
    return out;
  }

  // A null that may not be is as if it were missing.
  static bool is_nothing(NodeView node, const Value& in) { return in.is_null() && !node.has(NodeRecord::kNullable); }

  Result<Value> object(NodeView node, const Value& in, const std::string& path, int depth) {
    const TypeView type = node.type();
    Value out = Value::object(arena_, in.size() + 2);
    for (const Member& member : in.members()) {
      const std::string below = path.empty() ? std::string(member.key) : cat(path, ".", member.key);
      if (type.is_kind() && (member.key == "apiVersion" || member.key == "kind")) {
        out.add(arena_, member.key, member.value);
        continue;
      }
      const FieldView field = type.find(member.key);
      if (!field) {
        if (node.has(NodeRecord::kPreserve))
          out.add(arena_, member.key, member.value);
        else if (options_.unknown != nullptr && options_.unknown->size() < 100)
          options_.unknown->push_back(below);
        continue;
      }
      if (field.node().has(NodeRecord::kBase)) {
        out.add(arena_, member.key, TRY_CTX(metadata(field.node(), member.value, below), "json"));
        continue;
      }
      if (is_nothing(field.node(), member.value)) continue;
      out.add(arena_, member.key, TRY(value(field.node(), member.value, below, depth + 1)));
    }
    if (options_.defaults) TRY(defaults(type, out, path, depth));
    return sorted(out);
  }

  Result<Value> metadata(NodeView node, const Value& in, const std::string& path) {
    std::vector<std::string> unknown;
    const Value out = TRY(conform(arena_, node.type(), in, {.defaults = false, .unknown = &unknown}));
    for (const std::string& field : unknown)
      if (options_.unknown != nullptr && options_.unknown->size() < 100)
        options_.unknown->push_back(cat(path, ".", field));
    return out;
  }

  Result<> defaults(TypeView type, Value& out, const std::string& path, int depth) {
    for (size_t i = 0; i < type.size(); ++i) {
      const FieldView field = type.field(i);
      if (field.node().default_json().empty() || out.find(field.name()) != nullptr) continue;
      // A default may have defaults inside.
      out.add(arena_, field.name(),
              TRY(value(field.node(), default_of(arena_, field.node()), cat(path, ".", field.name()), depth + 1)));
    }
    return {};
  }

  Arena& arena_;
  const CustomOptions& options_;
};

}  // namespace

Result<Value> conform_custom(Arena& arena, const ResourceView& resource, const Value& in,
                             const CustomOptions& options) {
  if (!in.is_object()) return fail("json: cannot unmarshal into Go value of type map[string]interface {}");
  return Conformer(arena, options).value(resource.node(), in, "", 0);
}

}  // namespace proa::kube
