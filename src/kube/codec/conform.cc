#include "kube/codec/conform.h"

#include <algorithm>

#include "kube/codec/quantity.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube {
namespace {

// Where the conversion stands; chained on the stack, made text only for messages.
struct Place {
  const Place* up = nullptr;
  std::string_view key;  // of a struct field or map
  size_t index = 0;      // of a list, when the key is empty
  bool map = false;
};

std::string strict_path(const Place* place) {
  if (place == nullptr || place->up == nullptr) return "";
  std::string out = strict_path(place->up);
  if (place->key.empty()) return cat(out, "[", place->index, "]");
  return out.empty() ? std::string(place->key) : cat(out, ".", place->key);
}

// Go names fields only: no indices, no keys of maps.
std::string go_path(const Place* place) {
  if (place == nullptr || place->up == nullptr) return "";
  std::string out = go_path(place->up);
  if (place->key.empty() || place->map) return out;
  return out.empty() ? std::string(place->key) : cat(out, ".", place->key);
}

std::string go_package(TypeView type) { return std::string(type.group_version().version()); }

std::string go_type(NodeView node) {
  switch (node.form()) {
    case Form::kStruct: return cat(go_package(node.type()), ".", node.type().name());
    case Form::kList: return cat("[]", go_type(node.element()));
    case Form::kMap: return cat("map[string]", go_type(node.element()));
    case Form::kInt32: return "int32";
    case Form::kInt64: return "int64";
    case Form::kDouble: return "float64";
    case Form::kBool: return "bool";
    case Form::kBytes: return "[]uint8";
    case Form::kStrings: return "[]string";
    default: return "string";
  }
}

std::string json_kind(const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull: return "null";
    case Value::Type::kBool: return "bool";
    case Value::Type::kInt:
    case Value::Type::kDouble: return "number";
    case Value::Type::kString: return "string";
    case Value::Type::kArray: return "array";
    case Value::Type::kObject: return "object";
  }
  return {};
}

class Conformer {
 public:
  Conformer(Arena& arena, const ConformOptions& options) : arena_(arena), options_(options) {}

  Result<Value> object(TypeView type, const Value& in, const Place* place) {
    // A Go struct decoded from null stays as it is.
    if (!in.is_object() && !in.is_null()) return mismatch(in, go_name(type), place);
    Value out = Value::object(arena_, in.size() + 2);
    size_t known = 0;
    if (type.is_kind()) {
      for (const std::string_view key : {"kind", "apiVersion"}) {
        const Value* value = in.find(key);
        if (value == nullptr) continue;
        ++known;
        if (!value->is_string() && !value->is_null()) {
          const Place here{place, key, 0, false};
          return mismatch(*value, "string", &here, type.name());
        }
        if (!value->as_string().empty()) out.add(arena_, key, *value);
      }
    }
    TRY(fields(type, in, out, known, place));
    if (known < in.size()) note_unknown(type, in, place);
    return out;
  }

 private:
  static std::string go_name(TypeView type) { return cat(go_package(type), ".", type.name()); }

  Failure mismatch(const Value& in, std::string_view wanted, const Place* place, std::string_view type = {}) {
    std::string kind = json_kind(in);
    if (in.is_double() || (in.is_int() && (wanted == "int32"))) kind += cat(" ", write_json(in));
    const std::string path = go_path(place);
    if (path.empty()) return fail("json: cannot unmarshal ", kind, " into Go value of type ", wanted);
    return fail("json: cannot unmarshal ", kind, " into Go struct field ", type.empty() ? struct_ : type, ".", path,
                " of type ", wanted);
  }

  void note_unknown(TypeView type, const Value& in, const Place* place) {
    if (options_.unknown == nullptr) return;
    for (const Member& member : in.members()) {
      if (type.find(member.key) || (type.is_kind() && (member.key == "kind" || member.key == "apiVersion"))) continue;
      if (options_.unknown->size() >= 100) return;
      const Place here{place, member.key, 0, false};
      options_.unknown->push_back(strict_path(&here));
    }
  }

  Result<> fields(TypeView type, const Value& in, Value& out, size_t& known, const Place* place) {
    size_t hint = 0;
    const std::span<Member> members = in.members();
    for (size_t i = 0; i < type.size(); ++i) {
      const FieldView field = type.field(i);
      if (field.has(FieldRecord::kInline)) {
        TRY(fields(field.node().type(), in, out, known, place));
        continue;
      }
      // Documents tend to have their fields in about the schema's order.
      const std::string_view name = field.name();
      const Value* found = nullptr;
      for (size_t step = 0; step < members.size(); ++step) {
        const size_t at = hint + step < members.size() ? hint + step : hint + step - members.size();
        if (members[at].key != name) continue;
        found = &members[at].value;
        hint = at + 1;
        ++known;
        break;
      }
      TRY(add_field(type, field, found, out, place));
    }
    return {};
  }

  Result<> add_field(TypeView type, FieldView field, const Value* found, Value& out, const Place* place) {
    const NodeView node = field.node();
    const std::string_view name = field.name();
    const bool pointer = field.has(FieldRecord::kPointer);
    const Place here{place, name, 0, false};
    if (found == nullptr || found->is_null()) return add_absent(type, field, out, &here);
    struct_ = type.name();
    const Value value = TRY(convert(node, *found, &here));
    if (value.is_null()) return add_absent(type, field, out, &here);
    if (!pointer && is_zero(node, value)) {
      if (options_.defaults && !node.default_json().empty()) return add_absent(type, field, out, &here);
      if (!field.has(FieldRecord::kKeep)) return {};
    }
    out.add(arena_, name, value);
    return {};
  }

  Result<> add_absent(TypeView type, FieldView field, Value& out, const Place* here) {
    const NodeView node = field.node();
    const bool pointer = field.has(FieldRecord::kPointer);
    if (options_.defaults && !node.default_json().empty()) {
      Value value = default_of(arena_, node);
      if (node.form() == Form::kStruct) {
        struct_ = type.name();
        value = TRY(object(node.type(), value, here));
      }
      out.add(arena_, field.name(), value);
      return {};
    }
    if (field.has(FieldRecord::kKeep)) out.add(arena_, field.name(), pointer ? Value() : TRY(zero_of(node, here)));
    return {};
  }

  Result<Value> zero_of(NodeView node, const Place* place) {
    switch (node.form()) {
      case Form::kString: return Value::view("");
      case Form::kInt32:
      case Form::kInt64:
      case Form::kIntOrString: return Value::integer(0);
      case Form::kDouble: return Value::integer(0);
      case Form::kBool: return Value::boolean(false);
      case Form::kQuantity: return Value::view("0");
      case Form::kDuration: return Value::view("0s");
      case Form::kStruct: return object(node.type(), Value(), place);
      default: return Value();
    }
  }

  static bool is_zero(NodeView node, const Value& value) {
    switch (value.type()) {
      case Value::Type::kNull: return true;
      case Value::Type::kBool: return !value.as_bool();
      case Value::Type::kInt: return value.as_int() == 0 && node.form() != Form::kIntOrString;
      case Value::Type::kDouble: return value.as_double() == 0;
      case Value::Type::kString: return value.as_string().empty() && node.form() != Form::kIntOrString;
      case Value::Type::kArray: return value.size() == 0;
      case Value::Type::kObject: return value.size() == 0 && node.form() != Form::kAny && node.form() != Form::kRaw;
    }
    return false;
  }

  Result<Value> convert(NodeView node, const Value& in, const Place* place) {
    switch (node.form()) {
      case Form::kAny:
      case Form::kRaw:
      case Form::kFields: return in;
      case Form::kString: return in.is_string() ? Result<Value>(in) : wrong(node, in, place);
      case Form::kBool: return in.is_bool() ? Result<Value>(in) : wrong(node, in, place);
      case Form::kInt32:
        if (!in.is_int() || in.as_int() != static_cast<int32_t>(in.as_int())) return wrong(node, in, place);
        return in;
      case Form::kInt64: return in.is_int() ? Result<Value>(in) : wrong(node, in, place);
      case Form::kDouble: return in.is_number() ? Result<Value>(in) : wrong(node, in, place);
      case Form::kBytes: return bytes(node, in, place);
      case Form::kTime:
      case Form::kMicroTime: return time(node, in, place);
      case Form::kDuration: return duration(node, in, place);
      case Form::kQuantity: return quantity(node, in, place);
      case Form::kIntOrString:
        if (in.is_string()) return in;
        if (in.is_int() && in.as_int() == static_cast<int32_t>(in.as_int())) return in;
        return mismatch(in, in.is_number() ? "int32" : "string", place);
      case Form::kStrings:
      case Form::kList: return list(node, in, place);
      case Form::kMap: return map(node, in, place);
      case Form::kStruct: return object(node.type(), in, place);
      case Form::kSchemaOrBool:
        if (in.is_bool()) return in;
        return schema_part(in, place);
      case Form::kSchemaOrList:
        if (in.is_array()) return schema_list(in, place);
        return schema_part(in, place);
      case Form::kSchemaOrStrings:
        if (in.is_array()) return strings(in, place);
        return schema_part(in, place);
    }
    return in;
  }

  Failure wrong(NodeView node, const Value& in, const Place* place) { return mismatch(in, go_type(node), place); }

  Result<Value> bytes(NodeView node, const Value& in, const Place* place) {
    if (!in.is_string()) return wrong(node, in, place);
    if (in.as_string().find_first_of("-_\r\n") == std::string_view::npos && in.as_string().size() % 4 == 0 &&
        net::base64_decode(in.as_string()))
      return in;
    const size_t bad =
        in.as_string().find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n");
    return fail("illegal base64 data at input byte ",
                bad == std::string_view::npos ? in.as_string().size() / 4 * 4 : bad);
  }

  Result<Value> time(NodeView node, const Value& in, const Place* place) {
    if (!in.is_string()) return wrong(node, in, place);
    const Instant time = TRY(parse_time(in.as_string()));
    // Most are canonical already.
    const std::string text = node.form() == Form::kTime ? format_time(time.seconds) : format_micro_time(time);
    return text == in.as_string() ? in : Value::text(arena_, text);
  }

  Result<Value> duration(NodeView node, const Value& in, const Place* place) {
    if (!in.is_string()) return wrong(node, in, place);
    return Value::text(arena_, format_duration(TRY(parse_duration(in.as_string()))));
  }

  Result<Value> quantity(NodeView node, const Value& in, const Place* place) {
    if (!in.is_string() && !in.is_number()) return wrong(node, in, place);
    const std::string text = in.is_string() ? std::string(in.as_string()) : write_json(in);
    const std::string canonical = TRY(Quantity::parse(text)).text();
    return in.is_string() && canonical == text ? in : Value::text(arena_, canonical);
  }

  Result<Value> strings(const Value& in, const Place* place) {
    Value out = Value::array(arena_, in.size());
    for (const Value& item : in.items()) {
      if (!item.is_string() && !item.is_null()) return mismatch(item, "string", place);
      out.push(arena_, item.is_null() ? Value::view("") : item);
    }
    return out;
  }

  Result<Value> list(NodeView node, const Value& in, const Place* place) {
    if (!in.is_array()) return wrong(node, in, place);
    if (node.form() == Form::kStrings) return strings(in, place);
    const NodeView element = node.element();
    Value out = Value::array(arena_, in.size());
    size_t index = 0;
    for (const Value& item : in.items()) {
      const Place here{place, {}, index++, false};
      out.push(arena_, item.is_null() && element.form() != Form::kAny ? TRY(zero_of(element, &here))
                                                                      : TRY(convert(element, item, &here)));
    }
    return out;
  }

  Result<Value> map(NodeView node, const Value& in, const Place* place) {
    if (!in.is_object()) return wrong(node, in, place);
    const NodeView element = node.element();
    Value out = Value::object(arena_, in.size());
    bool sorted = true;
    std::string_view last;
    for (const Member& member : in.members()) {
      const Place here{place, member.key, 0, true};
      out.add(arena_, member.key,
              member.value.is_null() ? TRY(zero_of(element, &here)) : TRY(convert(element, member.value, &here)));
      sorted &= last <= member.key;
      last = member.key;
    }
    if (!sorted) std::ranges::sort(out.members(), {}, &Member::key);
    return out;
  }

  // JSONSchemaProps, which refers to itself by these forms.
  Result<Value> schema_part(const Value& in, const Place* place) {
    if (!in.is_object()) return mismatch(in, "v1.JSONSchemaProps", place);
    return object(builtin().find_type("apiextensions.k8s.io", "v1", "JSONSchemaProps"), in, place);
  }
  Result<Value> schema_list(const Value& in, const Place* place) {
    Value out = Value::array(arena_, in.size());
    for (const Value& item : in.items()) out.push(arena_, TRY(schema_part(item, place)));
    return out;
  }

  Arena& arena_;
  const ConformOptions& options_;
  std::string_view struct_;  // the type whose field is being converted
};

}  // namespace

std::vector<std::string> strict_messages(const std::vector<std::string>& unknown,
                                         const std::vector<std::string>& duplicates) {
  std::vector<std::string> out;
  for (const std::string& path : unknown) out.push_back(cat("unknown field \"", path, "\""));
  for (const std::string& path : duplicates) out.push_back(cat("duplicate field \"", path, "\""));
  return out;
}

std::string strict_error(const std::vector<std::string>& messages) {
  std::string out = "strict decoding error: ";
  for (size_t i = 0; i < messages.size(); ++i) out += cat(i == 0 ? "" : ", ", messages[i]);
  return out;
}

Value default_of(Arena& arena, NodeView node) {
  const std::string_view text = node.default_json();
  if (text.empty()) return {};
  // Plain words need no parser.
  if (text.size() >= 2 && text.front() == '"' && text.find('\\') == std::string_view::npos)
    return Value::view(text.substr(1, text.size() - 2));
  if (text == "true" || text == "false") return Value::boolean(text == "true");
  return read_json(arena, text).value_or(Value());
}

Result<Value> conform(Arena& arena, TypeView type, const Value& in, const ConformOptions& options) {
  const Place root;
  return Conformer(arena, options).object(type, in, &root);
}

}  // namespace proa::kube
