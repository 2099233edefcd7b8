// Messages are written from their end to their beginning, so that a length is known when it is its turn.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kube/codec/protobuf.h"
#include "kube/codec/quantity.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube {
namespace {

class Writer {
 public:
  size_t size() const { return buffer_.size() - at_; }
  std::string take() && { return std::move(buffer_).substr(at_); }

  void bytes(std::string_view bytes) {
    if (bytes.size() > at_) grow(bytes.size());
    at_ -= bytes.size();
    bytes.copy(buffer_.data() + at_, bytes.size());
  }
  void varint(uint64_t value) {
    char out[10];
    size_t count = 0;
    do {
      out[count++] = static_cast<char>((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
      value >>= 7;
    } while (value != 0);
    bytes({out, count});
  }
  void tag(uint32_t number, uint32_t wire) { varint(static_cast<uint64_t>(number) << 3 | wire); }
  void integer(uint32_t number, int64_t value) {
    varint(static_cast<uint64_t>(value));
    tag(number, 0);
  }
  void text(uint32_t number, std::string_view text) {
    bytes(text);
    varint(text.size());
    tag(number, 2);
  }
  // Closes what was written since the size was `before` as field `number`.
  void close(uint32_t number, size_t before) {
    varint(size() - before);
    tag(number, 2);
  }

 private:
  void grow(size_t wanted) {
    const size_t used = size();
    const size_t capacity = std::max(buffer_.size() * 2, used + wanted + 256);
    std::string larger(capacity, '\0');
    std::memcpy(larger.data() + capacity - used, buffer_.data() + at_, used);
    buffer_ = std::move(larger);
    at_ = capacity - used;
  }

  std::string buffer_;
  size_t at_ = 0;
};

class Encoder {
 public:
  Writer& out() { return out_; }

  void message(TypeView type, const Value& object) {
    // In the order of numbers, as upstream writes, from the last.
    uint8_t order[256];
    const size_t count = std::min<size_t>(type.size(), std::size(order));
    for (size_t i = 0; i < count; ++i) order[i] = static_cast<uint8_t>(i);
    std::sort(order, order + count,
              [&](uint8_t a, uint8_t b) { return type.field(a).number() > type.field(b).number(); });
    for (size_t i = 0; i < count; ++i) {
      const FieldView field = type.field(order[i]);
      if (field.has(FieldRecord::kInline)) {
        const size_t before = out_.size();
        message(field.node().type(), object);
        out_.close(field.number(), before);
      } else if (const Value* value = object.find(field.name()); value != nullptr && field.number() != 0) {
        add(field.node(), field.number(), *value);
      }
    }
  }

 private:
  void add(NodeView node, uint32_t number, const Value& value) {
    if (node.form() == Form::kList) {
      const std::span<Value> items = value.items();
      for (size_t i = items.size(); i-- > 0;) scalar(node.element(), number, items[i]);
    } else if (node.form() == Form::kMap) {
      // By key, from the last; conformed maps are sorted.
      const std::span<Member> members = value.members();
      for (size_t i = members.size(); i-- > 0;) {
        const size_t before = out_.size();
        scalar(node.element(), 2, members[i].value);
        out_.text(1, members[i].key);
        out_.close(number, before);
      }
    } else if (!value.is_null()) {
      scalar(node, number, value);
    }
  }

  void scalar(NodeView node, uint32_t number, const Value& value) {
    switch (node.form()) {
      case Form::kString: out_.text(number, value.as_string()); return;
      case Form::kBool: out_.integer(number, value.as_bool() ? 1 : 0); return;
      case Form::kInt32:
      case Form::kInt64: out_.integer(number, value.as_int()); return;
      case Form::kDouble: {
        const double real = value.as_double();
        out_.bytes({reinterpret_cast<const char*>(&real), sizeof real});
        out_.tag(number, 1);
        return;
      }
      case Form::kBytes: out_.text(number, net::base64_decode(value.as_string()).value_or("")); return;
      default: break;
    }
    const size_t before = out_.size();
    content(node, value);
    out_.close(number, before);
  }

  // The inside of a message.
  void content(NodeView node, const Value& value) {
    switch (node.form()) {
      case Form::kStruct: message(node.type(), value); return;
      case Form::kAny:
      case Form::kRaw:
      case Form::kFields:
        if (!value.is_null()) out_.text(1, write_json(value));
        return;
      case Form::kQuantity: out_.text(1, value.as_string()); return;
      case Form::kTime:
      case Form::kMicroTime: {
        const auto time = parse_time(value.as_string());
        if (!time) return;
        out_.integer(2, time->nanos);
        out_.integer(1, time->seconds);
        return;
      }
      case Form::kDuration: out_.integer(1, parse_duration(value.as_string()).value_or(0)); return;
      case Form::kIntOrString:
        out_.text(3, value.as_string());
        out_.integer(2, value.as_int());
        out_.integer(1, value.is_string() ? 1 : 0);
        return;
      case Form::kStrings:
        for (size_t i = value.size(); i-- > 0;) out_.text(1, value.items()[i].as_string());
        return;
      default: schema(node.form(), value);
    }
  }

  void schema(Form form, const Value& value) {
    const TypeView type = builtin().find_type("apiextensions.k8s.io", "v1", "JSONSchemaProps");
    const auto nested = [&](uint32_t number, const Value& part) {
      const size_t before = out_.size();
      message(type, part);
      out_.close(number, before);
    };
    if (form == Form::kSchemaOrBool) {
      if (value.is_object()) nested(2, value);
      out_.integer(1, value.is_object() || value.as_bool() ? 1 : 0);
    } else if (value.is_object()) {
      nested(1, value);
    } else {
      for (size_t i = value.size(); i-- > 0;) {
        if (form == Form::kSchemaOrStrings)
          out_.text(2, value.items()[i].as_string());
        else
          nested(2, value.items()[i]);
      }
    }
  }

  Writer out_;
};

}  // namespace

std::string write_protobuf_message(TypeView type, const Value& object) {
  Encoder encoder;
  encoder.message(type, object);
  return std::move(encoder.out()).take();
}

std::string write_protobuf(TypeView type, const Value& object) {
  Encoder encoder;
  Writer& out = encoder.out();
  // The fields contentEncoding and contentType, empty as upstream leaves them.
  out.text(4, "");
  out.text(3, "");
  size_t before = out.size();
  encoder.message(type, object);
  out.close(2, before);
  before = out.size();
  out.text(2, object.string("kind"));
  out.text(1, object.string("apiVersion"));
  out.close(1, before);
  out.bytes({"k8s\0", 4});
  return std::move(out).take();
}

}  // namespace proa::kube
