// D-Bus messages, as much as talking to a service manager takes: writing method calls, reading replies
// and signals. Wire format: D-Bus specification 0.43, "Message Protocol". Little-endian only, as every
// machine this runs on is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace proa::kernel::cgroup::dbus {

// A value by its signature: a basic type, or an array of basic types or of tuples of them ("t", "as",
// "a(ss)"). `items` are its leaves in order; integers of every width are uint64_t, booleans 0 or 1.
struct Value {
  std::string signature;
  std::vector<std::variant<uint64_t, double, std::string>> items;

  static Value boolean(bool value) { return {"b", {uint64_t{value}}}; }
  static Value number(uint64_t value) { return {"t", {value}}; }
  static Value text(std::string value) { return {"s", {std::move(value)}}; }
  bool operator==(const Value&) const = default;
};

struct Property {
  std::string name;
  Value value;
  bool operator==(const Property&) const = default;
};

// Appends values at the alignment the protocol wants, counted from the start of what is written.
class Writer {
 public:
  void align(size_t boundary) { bytes_.resize((bytes_.size() + boundary - 1) / boundary * boundary, '\0'); }
  void u8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void u32(uint32_t value) { fixed(&value, sizeof value); }
  void u64(uint64_t value) { fixed(&value, sizeof value); }
  void string(std::string_view text);
  void signature(std::string_view text);
  // The value alone; with its signature before it that is a variant.
  void value(const Value& value);
  void variant(const Value& value);
  // a(sv)
  void properties(const std::vector<Property>& properties);

  // Writes the length of an array, with elements aligned to `boundary`, once it is known.
  class Array {
   public:
    Array(Writer& writer, size_t boundary);
    void close();

   private:
    Writer& writer_;
    size_t length_at_, start_;
  };

  const std::string& bytes() const { return bytes_; }

 private:
  void fixed(const void* data, size_t size);
  void basic(char type, const Value& value, size_t& item);

  std::string bytes_;
};

struct Call {
  std::string_view destination, path, interface, member, signature;
};
// A whole method call with its body.
std::string make_call(uint32_t serial, const Call& call, const std::string& body);

enum class Kind : uint8_t { kCall = 1, kReply = 2, kError = 3, kSignal = 4 };

struct Message {
  Kind kind = Kind::kCall;
  uint32_t serial = 0, reply_serial = 0;
  std::string path, interface, member, error_name, signature;
  std::string body;

  // The string or object path that starts at the body's first such argument, counted from 0; only for
  // bodies that are all strings, object paths and 32-bit numbers (replies and signals used here).
  Result<std::string> text_argument(size_t index) const;
};

inline constexpr size_t kFixedHeader = 16;
inline constexpr size_t kMessageLimit = 4u << 20;
// How long the whole message is, by its first 16 bytes; an error for a malformed or oversized one.
Result<size_t> message_size(std::string_view start);
Result<Message> parse_message(std::string_view bytes);

}  // namespace proa::kernel::cgroup::dbus
