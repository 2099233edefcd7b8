#include "kernel/cgroup/systemd/message.h"

#include <bit>
#include <cstring>

namespace proa::kernel::cgroup::dbus {
namespace {

static_assert(std::endian::native == std::endian::little);

// Header fields ("Header Fields" table of the specification).
enum Field : uint8_t { kPath = 1, kInterface, kMember, kErrorName, kReplySerial, kDestination, kSender, kSignature };

size_t alignment(char type) {
  switch (type) {
    case 'y':
    case 'g': return 1;
    case 'n':
    case 'q': return 2;
    case 'x':
    case 't':
    case 'd':
    case '(': return 8;
    default: return 4;
  }
}

constexpr size_t round_up(size_t size, size_t boundary) { return (size + boundary - 1) / boundary * boundary; }

// Reads forward in a message; every length is checked against what is there.
class Reader {
 public:
  explicit Reader(std::string_view bytes, size_t at = 0) : bytes_(bytes), at_(at) {}
  size_t at() const { return at_; }

  Result<> align(size_t boundary) {
    const size_t next = round_up(at_, boundary);
    if (next > bytes_.size()) return fail("D-Bus message: cut short");
    at_ = next;
    return {};
  }
  Result<uint8_t> u8() {
    if (at_ >= bytes_.size()) return fail("D-Bus message: cut short");
    return static_cast<uint8_t>(bytes_[at_++]);
  }
  Result<uint32_t> u32() {
    TRY(align(4));
    if (bytes_.size() - at_ < 4) return fail("D-Bus message: cut short");
    uint32_t value = 0;
    std::memcpy(&value, bytes_.data() + at_, 4);
    at_ += 4;
    return value;
  }
  Result<std::string> string() { return text(TRY(u32())); }
  Result<std::string> signature() { return text(TRY(u8())); }

 private:
  Result<std::string> text(size_t size) {
    if (size >= bytes_.size() - at_ || bytes_[at_ + size] != '\0')
      return fail("D-Bus message: a text runs over the end");
    std::string out(bytes_.substr(at_, size));
    at_ += size + 1;
    return out;
  }

  std::string_view bytes_;
  size_t at_;
};

Result<> parse_field(Reader& reader, Message& message) {
  TRY(reader.align(8));
  const uint8_t code = TRY(reader.u8());
  const std::string type = TRY(reader.signature());
  if (type == "u") {
    const uint32_t value = TRY(reader.u32());
    if (code == kReplySerial) message.reply_serial = value;
    return {};
  }
  if (type != "s" && type != "o" && type != "g") return fail("D-Bus message: header field of type \"", type, "\"");
  std::string text = type == "g" ? TRY(reader.signature()) : TRY(reader.string());
  switch (code) {
    case kPath: message.path = std::move(text); break;
    case kInterface: message.interface = std::move(text); break;
    case kMember: message.member = std::move(text); break;
    case kErrorName: message.error_name = std::move(text); break;
    case kSignature: message.signature = std::move(text); break;
    default: break;
  }
  return {};
}

void write_field(Writer& writer, Field code, char type, std::string_view text) {
  if (text.empty()) return;
  writer.align(8);
  writer.u8(code);
  writer.signature(std::string_view(&type, 1));
  if (type == 'g') {
    writer.signature(text);
  } else {
    writer.string(text);
  }
}

}  // namespace

void Writer::fixed(const void* data, size_t size) {
  align(size);
  bytes_.append(static_cast<const char*>(data), size);
}

void Writer::string(std::string_view text) {
  u32(static_cast<uint32_t>(text.size()));
  bytes_.append(text).push_back('\0');
}

void Writer::signature(std::string_view text) {
  u8(static_cast<uint8_t>(text.size()));
  bytes_.append(text).push_back('\0');
}

void Writer::basic(char type, const Value& value, size_t& item) {
  const auto& leaf = value.items[item++];
  if (const auto* text = std::get_if<std::string>(&leaf)) {
    if (type == 'g') {
      signature(*text);
    } else {
      string(*text);
    }
    return;
  }
  if (const auto* real = std::get_if<double>(&leaf)) return fixed(real, sizeof *real);
  const uint64_t number = std::get<uint64_t>(leaf);
  switch (type) {
    case 'y': u8(static_cast<uint8_t>(number)); break;
    case 'n':
    case 'q': {
      const auto narrow = static_cast<uint16_t>(number);
      fixed(&narrow, sizeof narrow);
      break;
    }
    case 'x':
    case 't': u64(number); break;
    default: u32(static_cast<uint32_t>(number)); break;
  }
}

void Writer::value(const Value& value) {
  const std::string& type = value.signature;
  size_t item = 0;
  if (type.front() != 'a') return basic(type.front(), value, item);
  const bool tuple = type[1] == '(';
  const std::string_view element =
      tuple ? std::string_view(type).substr(2, type.size() - 3) : std::string_view(type).substr(1);
  Array array(*this, alignment(type[1]));
  while (item < value.items.size()) {
    if (tuple) align(8);
    for (const char leaf : element) basic(leaf, value, item);
  }
  array.close();
}

void Writer::variant(const Value& contents) {
  signature(contents.signature);
  value(contents);
}

void Writer::properties(const std::vector<Property>& properties) {
  Array array(*this, 8);
  for (const Property& property : properties) {
    align(8);
    string(property.name);
    variant(property.value);
  }
  array.close();
}

Writer::Array::Array(Writer& writer, size_t boundary) : writer_(writer) {
  writer_.u32(0);
  length_at_ = writer_.bytes_.size() - 4;
  writer_.align(boundary);  // belongs to the array even when it is empty, but is not counted
  start_ = writer_.bytes_.size();
}

void Writer::Array::close() {
  const auto length = static_cast<uint32_t>(writer_.bytes_.size() - start_);
  std::memcpy(writer_.bytes_.data() + length_at_, &length, sizeof length);
}

std::string make_call(uint32_t serial, const Call& call, const std::string& body) {
  Writer header;
  header.u8('l');
  header.u8(static_cast<uint8_t>(Kind::kCall));
  header.u8(0);
  header.u8(1);
  header.u32(static_cast<uint32_t>(body.size()));
  header.u32(serial);
  Writer::Array fields(header, 8);
  write_field(header, kPath, 'o', call.path);
  write_field(header, kMember, 's', call.member);
  write_field(header, kInterface, 's', call.interface);
  write_field(header, kDestination, 's', call.destination);
  write_field(header, kSignature, 'g', call.signature);
  fields.close();
  header.align(8);
  return header.bytes() + body;
}

Result<size_t> message_size(std::string_view start) {
  if (start.size() < kFixedHeader) return fail("D-Bus message: cut short");
  if (start[0] != 'l' || start[3] != 1) return fail("D-Bus message: unknown byte order or version");
  uint32_t body = 0, fields = 0;
  std::memcpy(&body, start.data() + 4, 4);
  std::memcpy(&fields, start.data() + 12, 4);
  if (body > kMessageLimit || fields > kMessageLimit)
    return fail("D-Bus message: larger than ", kMessageLimit, " bytes");
  return round_up(kFixedHeader + fields, 8) + body;
}

Result<Message> parse_message(std::string_view bytes) {
  const size_t size = TRY(message_size(bytes));
  if (size != bytes.size()) return fail("D-Bus message: wrong length");
  Message message;
  message.kind = static_cast<Kind>(bytes[1]);
  std::memcpy(&message.serial, bytes.data() + 8, 4);
  uint32_t fields = 0, body = 0;
  std::memcpy(&body, bytes.data() + 4, 4);
  std::memcpy(&fields, bytes.data() + 12, 4);
  Reader reader(bytes.substr(0, kFixedHeader + fields), kFixedHeader);
  while (reader.at() < kFixedHeader + fields) TRY(parse_field(reader, message));
  message.body = bytes.substr(size - body);
  return message;
}

Result<std::string> Message::text_argument(size_t index) const {
  Reader reader(body);
  for (const char type : signature) {
    if (type == 'u' || type == 'b' || type == 'i') {
      TRY(reader.u32());
    } else if (type == 's' || type == 'o') {
      std::string text = TRY(reader.string());
      if (index-- == 0) return text;
    } else {
      break;
    }
  }
  return fail("D-Bus message ", member, ": has no such argument (signature \"", signature, "\")");
}

}  // namespace proa::kernel::cgroup::dbus
