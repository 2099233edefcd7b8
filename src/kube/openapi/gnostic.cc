#include "kube/openapi/gnostic.h"

#include <bit>
#include <cstdint>
#include <span>

#include "kube/object/json.h"

namespace proa::kube {
namespace {

// What a member of the JSON is on the wire.
enum class Kind : uint8_t {
  kText,
  kTexts,
  kFlag,
  kInteger,
  kReal,
  kAny,        // a message with its YAML text, which JSON is
  kAnys,       // one for each element
  kMessage,    // by `of`
  kMessages,   // one for each element
  kNamed,      // a message of named messages, one for each member
  kType,       // of a schema: a list of one text
  kItems,      // ... a list of one schema
  kSchemaOr,   // ... a schema or a boolean
  kParameters  // each of the message that its place needs
};

struct Message;
struct Field {
  std::string_view name;
  uint32_t number;
  Kind kind;
  const Message* of = nullptr;
  uint32_t inner = 1;  // of kNamed: the number of the named ones; of kMessage: of a message around it, 0 without
};
// Members that begin with x- are its extensions.
struct Message {
  std::span<const Field> fields;
  uint32_t extensions;
};

extern const Message kSchema;

constexpr Field kSchemaFields[] = {{"$ref", 1, Kind::kText},
                                   {"format", 2, Kind::kText},
                                   {"title", 3, Kind::kText},
                                   {"description", 4, Kind::kText},
                                   {"default", 5, Kind::kAny},
                                   {"multipleOf", 6, Kind::kReal},
                                   {"maximum", 7, Kind::kReal},
                                   {"exclusiveMaximum", 8, Kind::kFlag},
                                   {"minimum", 9, Kind::kReal},
                                   {"exclusiveMinimum", 10, Kind::kFlag},
                                   {"maxLength", 11, Kind::kInteger},
                                   {"minLength", 12, Kind::kInteger},
                                   {"pattern", 13, Kind::kText},
                                   {"maxItems", 14, Kind::kInteger},
                                   {"minItems", 15, Kind::kInteger},
                                   {"uniqueItems", 16, Kind::kFlag},
                                   {"maxProperties", 17, Kind::kInteger},
                                   {"minProperties", 18, Kind::kInteger},
                                   {"required", 19, Kind::kTexts},
                                   {"enum", 20, Kind::kAnys},
                                   {"additionalProperties", 21, Kind::kSchemaOr, &kSchema},
                                   {"type", 22, Kind::kType},
                                   {"items", 23, Kind::kItems, &kSchema},
                                   {"allOf", 24, Kind::kMessages, &kSchema},
                                   {"properties", 25, Kind::kNamed, &kSchema}};
constexpr Message kSchema{kSchemaFields, 31};

constexpr Field kBodyFields[] = {{"description", 1, Kind::kText},
                                 {"name", 2, Kind::kText},
                                 {"in", 3, Kind::kText},
                                 {"required", 4, Kind::kFlag},
                                 {"schema", 5, Kind::kMessage, &kSchema, 0}};
constexpr Message kBody{kBodyFields, 6};
constexpr Field kQueryFields[] = {{"required", 1, Kind::kFlag},    {"in", 2, Kind::kText},
                                  {"description", 3, Kind::kText}, {"name", 4, Kind::kText},
                                  {"type", 6, Kind::kText},        {"uniqueItems", 20, Kind::kFlag}};
constexpr Message kQuery{kQueryFields, 23};
constexpr Field kPathFields[] = {{"required", 1, Kind::kFlag},    {"in", 2, Kind::kText},
                                 {"description", 3, Kind::kText}, {"name", 4, Kind::kText},
                                 {"type", 5, Kind::kText},        {"uniqueItems", 19, Kind::kFlag}};
constexpr Message kPath{kPathFields, 22};

constexpr Field kResponseFields[] = {{"description", 1, Kind::kText}, {"schema", 2, Kind::kMessage, &kSchema, 1}};
constexpr Message kResponse{kResponseFields, 5};
// A ResponseValue, one of two.
constexpr Field kOperationFields[] = {{"tags", 1, Kind::kTexts},
                                      {"summary", 2, Kind::kText},
                                      {"description", 3, Kind::kText},
                                      {"operationId", 5, Kind::kText},
                                      {"produces", 6, Kind::kTexts},
                                      {"consumes", 7, Kind::kTexts},
                                      {"parameters", 8, Kind::kParameters},
                                      {"responses", 9, Kind::kNamed, &kResponse, 1},
                                      {"schemes", 10, Kind::kTexts}};
constexpr Message kOperation{kOperationFields, 13};
constexpr Field kItemFields[] = {
    {"get", 2, Kind::kMessage, &kOperation, 0},     {"put", 3, Kind::kMessage, &kOperation, 0},
    {"post", 4, Kind::kMessage, &kOperation, 0},    {"delete", 5, Kind::kMessage, &kOperation, 0},
    {"options", 6, Kind::kMessage, &kOperation, 0}, {"head", 7, Kind::kMessage, &kOperation, 0},
    {"patch", 8, Kind::kMessage, &kOperation, 0},   {"parameters", 9, Kind::kParameters}};
constexpr Message kItem{kItemFields, 10};
constexpr Field kInfoFields[] = {{"title", 1, Kind::kText}, {"version", 2, Kind::kText}};
constexpr Message kInfo{kInfoFields, 7};
constexpr Field kDocumentFields[] = {{"swagger", 1, Kind::kText},
                                     {"info", 2, Kind::kMessage, &kInfo, 0},
                                     {"paths", 8, Kind::kNamed, &kItem, 2},
                                     {"definitions", 9, Kind::kNamed, &kSchema, 1}};
constexpr Message kDocument{kDocumentFields, 16};

class Writer {
 public:
  std::string message(const Message& type, const Value& value) {
    std::string out;
    for (const Field& field : type.fields)
      if (const Value* found = value.find(field.name); found != nullptr && !found->is_null()) write(out, field, *found);
    for (const Member& member : value.members())
      if (member.key.starts_with("x-")) bytes(out, type.extensions, named(member.key, any(member.value)));
    return out;
  }

 private:
  static void varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
  }
  static void bytes(std::string& out, uint32_t number, std::string_view text) {
    varint(out, uint64_t{number} << 3 | 2);
    varint(out, text.size());
    out.append(text);
  }
  static std::string in(uint32_t number, std::string_view text) {
    std::string out;
    bytes(out, number, text);
    return out;
  }
  static std::string named(std::string_view name, std::string_view value) { return in(1, name) + in(2, value); }
  static std::string any(const Value& value) { return in(2, write_json(value) + "\n"); }

  void write(std::string& out, const Field& field, const Value& value) {
    switch (field.kind) {
      case Kind::kText: return bytes(out, field.number, value.as_string());
      case Kind::kTexts:
        for (const Value& item : value.items()) bytes(out, field.number, item.as_string());
        return;
      case Kind::kFlag:
      case Kind::kInteger:
        varint(out, uint64_t{field.number} << 3);
        return varint(out,
                      field.kind == Kind::kFlag ? (value.as_bool() ? 1 : 0) : static_cast<uint64_t>(value.as_int()));
      case Kind::kReal: return real(out, field.number, value.as_double());
      case Kind::kAny: return bytes(out, field.number, any(value));
      case Kind::kAnys:
        for (const Value& item : value.items()) bytes(out, field.number, any(item));
        return;
      case Kind::kMessage: {
        const std::string inner = message(*field.of, value);
        return bytes(out, field.number, field.inner == 0 ? inner : in(field.inner, inner));
      }
      case Kind::kMessages:
        for (const Value& item : value.items()) bytes(out, field.number, message(*field.of, item));
        return;
      case Kind::kNamed: return bytes(out, field.number, all_named(field, value));
      case Kind::kType: return bytes(out, field.number, in(1, value.as_string()));
      case Kind::kItems: return bytes(out, field.number, in(1, message(*field.of, value)));
      case Kind::kSchemaOr:
        return bytes(
            out, field.number,
            value.is_bool() ? std::string{0x10, static_cast<char>(value.as_bool())} : in(1, message(*field.of, value)));
      case Kind::kParameters:
        for (const Value& item : value.items()) bytes(out, field.number, parameter(item));
        return;
    }
  }

  static void real(std::string& out, uint32_t number, double value) {
    varint(out, uint64_t{number} << 3 | 1);
    uint64_t bits = std::bit_cast<uint64_t>(value);
    for (int i = 0; i < 8; ++i, bits >>= 8) out.push_back(static_cast<char>(bits));
  }

  std::string all_named(const Field& field, const Value& value) {
    std::string out;
    for (const Member& member : value.members()) {
      std::string inner = message(*field.of, member.value);
      // A response stands in a choice of two.
      if (field.of == &kResponse) inner = in(1, inner);
      bytes(out, field.inner, named(member.key, inner));
    }
    return out;
  }

  // ParametersItem { Parameter { body | others { query | path } } }
  std::string parameter(const Value& value) {
    const std::string_view place = value.string("in");
    if (place == "body") return in(1, in(1, message(kBody, value)));
    const bool query = place == "query";
    return in(1, in(2, in(query ? 3 : 4, message(query ? kQuery : kPath, value))));
  }
};

}  // namespace

std::string openapi_v2_protobuf(std::string_view json) {
  const auto document = read_json(json, {.max_bytes = size_t{1} << 30});
  return document ? Writer().message(kDocument, document->root) : std::string();
}

}  // namespace proa::kube
