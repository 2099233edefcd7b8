#include <cstring>

#include "kube/codec/protobuf.h"
#include "kube/codec/quantity.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube {
namespace {

constexpr std::string_view kMagic("k8s\0", 4);
constexpr int kMaxDepth = 100;

enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// One field as it stands on the wire.
struct Item {
  uint32_t number = 0;
  Wire wire = Wire::kVarint;
  uint64_t integer = 0;
  std::string_view bytes;
};

class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}
  bool done() const { return rest_.empty(); }

  Result<Item> next() {
    const uint64_t tag = TRY(varint());
    Item item{.number = static_cast<uint32_t>(tag >> 3), .wire = static_cast<Wire>(tag & 7), .integer = 0, .bytes = {}};
    if (item.number == 0 || (tag >> 3) > 0x1fffffff) return fail("proto: illegal tag ", tag >> 3);
    switch (item.wire) {
      case Wire::kVarint: item.integer = TRY(varint()); return item;
      case Wire::kFixed64: item.integer = TRY(fixed(8)); return item;
      case Wire::kFixed32: item.integer = TRY(fixed(4)); return item;
      case Wire::kBytes: {
        const uint64_t size = TRY(varint());
        if (size > rest_.size()) return fail("proto: unexpected end of the message");
        item.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return item;
      }
    }
    return fail("proto: illegal wireType ", tag & 7);
  }

 private:
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return fail("proto: unexpected end of the message");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return fail("proto: integer overflow");
  }
  Result<uint64_t> fixed(size_t size) {
    if (rest_.size() < size) return fail("proto: unexpected end of the message");
    uint64_t value = 0;
    std::memcpy(&value, rest_.data(), size);
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
};

class Decoder {
 public:
  explicit Decoder(Arena& arena) : arena_(arena) {}

  Result<> message(TypeView type, std::string_view bytes, Value& out, int depth) {
    if (depth > kMaxDepth) return fail("proto: nested too deeply");
    Reader reader(bytes);
    while (!reader.done()) {
      const Item item = TRY(reader.next());
      const FieldView field = type.find_number(item.number);
      if (!field) continue;
      TRY_CTX(add(field, item, out, depth), field.name());
    }
    return {};
  }

 private:
  Result<> add(FieldView field, const Item& item, Value& out, int depth) {
    const NodeView node = field.node();
    if (field.has(FieldRecord::kInline)) {
      TRY(wants(item, Wire::kBytes));
      return message(node.type(), item.bytes, out, depth + 1);
    }
    const std::string_view name = field.name();
    if (node.form() == Form::kList) {
      Value* list = out.find(name);
      if (list == nullptr) list = &out.add(arena_, name, Value::array(arena_));
      if (item.wire == Wire::kBytes && packable(node.element().form()))
        return packed(node.element(), item.bytes, *list);
      list->push(arena_, TRY(value(node.element(), item, depth)));
      return {};
    }
    if (node.form() == Form::kMap) {
      Value* map = out.find(name);
      if (map == nullptr) map = &out.add(arena_, name, Value::object(arena_));
      return entry(node.element(), item, *map, depth);
    }
    out.set(arena_, name, TRY(value(node, item, depth)));
    return {};
  }

  static Result<> wants(const Item& item, Wire wire) {
    if (item.wire != wire) return fail("proto: wrong wireType = ", static_cast<int>(item.wire));
    return {};
  }
  static bool packable(Form form) { return form == Form::kInt32 || form == Form::kInt64 || form == Form::kBool; }

  Result<> packed(NodeView element, std::string_view bytes, Value& list) {
    // Each number as if it had a tag of its own.
    std::string tagged;
    while (!bytes.empty()) {
      size_t size = 1;
      while (size < bytes.size() && (static_cast<unsigned char>(bytes[size - 1]) & 0x80) != 0) ++size;
      tagged.assign("\x08");
      tagged += bytes.substr(0, size);
      bytes.remove_prefix(size);
      const Item item = TRY(Reader(tagged).next());
      list.push(arena_, TRY(value(element, item, 0)));
    }
    return {};
  }

  Result<> entry(NodeView element, const Item& item, Value& map, int depth) {
    TRY(wants(item, Wire::kBytes));
    if (depth > kMaxDepth) return fail("proto: nested too deeply");
    std::string_view key;
    Item content{.number = 2, .wire = wire_of(element.form()), .integer = 0, .bytes = {}};
    Reader reader(item.bytes);
    while (!reader.done()) {
      const Item part = TRY(reader.next());
      if (part.number == 1 && part.wire == Wire::kBytes) key = part.bytes;
      if (part.number == 2) content = part;
    }
    map.set(arena_, arena_.copy(key), TRY(value(element, content, depth)));
    return {};
  }

  static Wire wire_of(Form form) {
    switch (form) {
      case Form::kInt32:
      case Form::kInt64:
      case Form::kBool: return Wire::kVarint;
      case Form::kDouble: return Wire::kFixed64;
      default: return Wire::kBytes;
    }
  }

  Result<Value> value(NodeView node, const Item& item, int depth) {
    TRY(wants(item, wire_of(node.form())));
    switch (node.form()) {
      case Form::kString: return Value::text(arena_, item.bytes);
      case Form::kBool: return Value::boolean(item.integer != 0);
      case Form::kInt32: return Value::integer(static_cast<int32_t>(item.integer));
      case Form::kInt64: return Value::integer(static_cast<int64_t>(item.integer));
      case Form::kDouble: {
        double number = 0;
        std::memcpy(&number, &item.integer, sizeof number);
        return Value::real(number);
      }
      case Form::kBytes: return Value::text(arena_, net::base64_encode(item.bytes));
      case Form::kStruct: {
        Value out = Value::object(arena_);
        TRY(message(node.type(), item.bytes, out, depth + 1));
        return out;
      }
      case Form::kAny:
      case Form::kRaw:
      case Form::kFields: return raw(item.bytes, depth);
      default: return special(node, item.bytes, depth);
    }
  }

  // A message of one bytes field that holds JSON, or another enveloped object.
  Result<Value> raw(std::string_view bytes, int depth) {
    Reader reader(bytes);
    std::string_view text;
    while (!reader.done())
      if (const Item item = TRY(reader.next()); item.number == 1) text = item.bytes;
    if (text.empty()) return Value();
    if (!is_protobuf(text)) return read_json(arena_, text);
    const ProtobufEnvelope envelope = TRY(open_envelope(text));
    std::string_view group = envelope.api_version;
    const size_t slash = group.find('/');
    const std::string_view version = slash == std::string_view::npos ? group : group.substr(slash + 1);
    group = slash == std::string_view::npos ? std::string_view() : group.substr(0, slash);
    const TypeView type = builtin().find_type(group, version, envelope.kind);
    if (!type) return fail("no kind \"", envelope.kind, "\" is registered for version \"", envelope.api_version, "\"");
    Value out = Value::object(arena_);
    out.add(arena_, "kind", Value::text(arena_, envelope.kind));
    out.add(arena_, "apiVersion", Value::text(arena_, envelope.api_version));
    TRY(message(type, envelope.raw, out, depth + 1));
    return out;
  }

  Result<Value> special(NodeView node, std::string_view bytes, int depth) {
    uint64_t numbers[3] = {};
    std::string_view texts[4] = {};
    Value list = Value::array(arena_);
    bool second = false;
    Reader reader(bytes);
    while (!reader.done()) {
      const Item item = TRY(reader.next());
      if (item.number > 3) continue;
      if (item.number < 3 && item.wire == Wire::kVarint) numbers[item.number] = item.integer;
      if (item.wire != Wire::kBytes) continue;
      texts[item.number] = item.bytes;
      const bool strings = (node.form() == Form::kStrings && item.number == 1) ||
                           (node.form() == Form::kSchemaOrStrings && item.number == 2);
      if (strings) list.push(arena_, Value::text(arena_, item.bytes));
      if (node.form() == Form::kSchemaOrList && item.number == 2) list.push(arena_, TRY(schema(item.bytes, depth)));
      second |= item.number == 2;
    }
    const Instant time{static_cast<int64_t>(numbers[1]), static_cast<int32_t>(numbers[2])};
    switch (node.form()) {
      case Form::kStrings: return list;
      case Form::kQuantity: return Value::text(arena_, texts[1]);
      case Form::kTime: return time == Instant{} ? Value() : Value::text(arena_, format_time(time.seconds));
      case Form::kMicroTime: return time == Instant{} ? Value() : Value::text(arena_, format_micro_time(time));
      case Form::kDuration: return Value::text(arena_, format_duration(static_cast<int64_t>(numbers[1])));
      case Form::kIntOrString:
        if (numbers[1] != 0) return Value::text(arena_, texts[3]);
        return Value::integer(static_cast<int32_t>(numbers[2]));
      case Form::kSchemaOrBool:
        return second ? schema(texts[2], depth) : Result<Value>(Value::boolean(numbers[1] != 0));
      case Form::kSchemaOrList:
      case Form::kSchemaOrStrings: return second ? Result<Value>(list) : schema(texts[1], depth);
      default: return Value();
    }
  }

  Result<Value> schema(std::string_view bytes, int depth) {
    Value out = Value::object(arena_);
    TRY(message(builtin().find_type("apiextensions.k8s.io", "v1", "JSONSchemaProps"), bytes, out, depth + 1));
    return out;
  }

  Arena& arena_;
};

}  // namespace

bool is_protobuf(std::string_view body) { return body.starts_with(kMagic); }

Result<ProtobufEnvelope> open_envelope(std::string_view body) {
  if (!is_protobuf(body))
    return fail("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  ProtobufEnvelope out;
  Reader reader(body.substr(kMagic.size()));
  while (!reader.done()) {
    const Item item = TRY(reader.next());
    if (item.wire != Wire::kBytes) continue;
    if (item.number == 2) out.raw = item.bytes;
    if (item.number != 1) continue;
    Reader meta(item.bytes);
    while (!meta.done()) {
      const Item part = TRY(meta.next());
      if (part.number == 1) out.api_version = part.bytes;
      if (part.number == 2) out.kind = part.bytes;
    }
  }
  return out;
}

Result<Value> read_protobuf(Arena& arena, TypeView type, std::string_view message, std::string_view api_version,
                            std::string_view kind) {
  Value out = Value::object(arena, 8);
  if (!kind.empty()) out.add(arena, "kind", Value::text(arena, kind));
  if (!api_version.empty()) out.add(arena, "apiVersion", Value::text(arena, api_version));
  TRY(Decoder(arena).message(type, message, out, 0));
  return out;
}

}  // namespace proa::kube
