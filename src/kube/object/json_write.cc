#include <charconv>
#include <cmath>
#include <cstring>

#include "base/utf8.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

// What cannot stand in a string as it is, for encoding/json: control characters, quotes, <, >, & and what is
// not ASCII (looked at more closely).
constexpr auto kPlain = [] {
  struct {
    bool at[256];
  } table{};
  for (int c = 0x20; c < 0x7f; ++c) table.at[c] = true;
  table.at[0x7f] = true;
  for (const char c : {'"', '\\', '<', '>', '&'}) table.at[static_cast<unsigned char>(c)] = false;
  return table;
}();

// How many bytes at the begin of the text are plain, counted in whole blocks: most strings are plain all through.
size_t plain_blocks(std::string_view text) {
  using Block = unsigned char __attribute__((vector_size(16)));
  size_t at = 0;
  for (; at + sizeof(Block) <= text.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, text.data() + at, sizeof block);
    const auto odd = (block < 0x20) | (block >= 0x80) | (block == '"') | (block == '\\') | (block == '<') |
                     (block == '>') | (block == '&');
    uint64_t halves[2];
    std::memcpy(halves, &odd, sizeof halves);
    if ((halves[0] | halves[1]) != 0) break;
  }
  return at;
}

void escape(std::string& out, unsigned char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    default:
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

// floatEncoder of encoding/json: exponents below 1e-6 and from 1e21, "e-9" rather than "e-09".
void write_double(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char buffer[40];
  const double size = std::abs(number);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, number,
                                 exponent ? std::chars_format::scientific : std::chars_format::fixed);
  if (exponent && end - buffer >= 4 && end[-4] == 'e' && end[-3] == '-' && end[-2] == '0') {
    end[-2] = end[-1];
    --end;
  }
  out.append(buffer, end);
}

}  // namespace

void write_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t from = 0;
  const auto flush = [&](size_t to) { out.append(text.data() + from, to - from); };
  for (size_t i = plain_blocks(text); i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (kPlain.at[c]) {
      ++i;
      continue;
    }
    if (c < 0x80) {
      flush(i);
      escape(out, c);
      from = ++i;
      i += plain_blocks(text.substr(i));
      continue;
    }
    const utf8::Rune rune = utf8::decode(text.substr(i));
    if (!rune.valid || rune.value == 0x2028 || rune.value == 0x2029) {
      flush(i);
      out += !rune.valid ? "\\ufffd" : rune.value == 0x2028 ? "\\u2028" : "\\u2029";
      from = i + rune.length;
    }
    i += rune.length;
  }
  flush(text.size());
  out += '"';
}

void write_json(std::string& out, const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull: out += "null"; return;
    case Value::Type::kBool: out += value.as_bool() ? "true" : "false"; return;
    case Value::Type::kInt: {
      char buffer[24];
      out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value.as_int()).ptr);
      return;
    }
    case Value::Type::kDouble: write_double(out, value.as_double()); return;
    case Value::Type::kString: write_json_string(out, value.as_string()); return;
    case Value::Type::kArray: {
      out += '[';
      bool first = true;
      for (const Value& item : value.items()) {
        if (!first) out += ',';
        first = false;
        write_json(out, item);
      }
      out += ']';
      return;
    }
    case Value::Type::kObject: {
      out += '{';
      bool first = true;
      for (const Member& member : value.members()) {
        if (!first) out += ',';
        first = false;
        write_json_string(out, member.key);
        out += ':';
        write_json(out, member.value);
      }
      out += '}';
      return;
    }
  }
}

std::string write_json(const Value& value) {
  std::string out;
  write_json(out, value);
  return out;
}

}  // namespace proa::kube
