#include "base/log_format.h"

#include <algorithm>
#include <cstdio>

#include "base/utf8.h"

namespace proa::log {
namespace {

// Code points beyond ASCII that Go does not print: controls, spaces other than U+0020, formats,
// private use and noncharacters. Unassigned ones are taken as printable.
bool printable(uint32_t c) {
  static constexpr struct {
    uint32_t from, to;
  } kHidden[] = {{0x80, 0xa0},     {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},
                 {0x70f, 0x70f},   {0x1680, 0x1680},   {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},
                 {0x205f, 0x206f}, {0x3000, 0x3000},   {0xd800, 0xf8ff},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},
                 {0xfffe, 0xffff}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0x40000, 0xe00ff}, {0xf0000, 0x10ffff}};
  return std::ranges::none_of(kHidden, [c](const auto& range) { return c >= range.from && c <= range.to; });
}

void append_escape(std::string& out, const char* format, uint32_t value) {
  char buffer[12];
  const int length = std::snprintf(buffer, sizeof buffer, format, value);
  out.append(buffer, static_cast<size_t>(length));
}

void quote_ascii(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\a': out += "\\a"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\v': out += "\\v"; return;
    default: break;
  }
  if (c < ' ' || c == 0x7f)
    append_escape(out, "\\x%02x", static_cast<unsigned char>(c));
  else
    out += c;
}

void json_ascii(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (c < ' ' || c == '<' || c == '>' || c == '&')
    append_escape(out, "\\u%04x", static_cast<unsigned char>(c));
  else
    out += c;
}

// logrus leaves a value of only these characters bare.
bool needs_quotes(std::string_view text) {
  return !std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._/@^+").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const utf8::Rune rune = utf8::decode(text);
    if (!rune.valid)
      append_escape(out, "\\x%02x", static_cast<unsigned char>(text.front()));
    else if (rune.length == 1)
      quote_ascii(out, text.front());
    else if (printable(rune.value))
      out += text.substr(0, rune.length);
    else
      append_escape(out, rune.value < 0x10000 ? "\\u%04x" : "\\U%08x", rune.value);
    text.remove_prefix(rune.length);
  }
  return out += '"';
}

std::string go_json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const utf8::Rune rune = utf8::decode(text);
    if (!rune.valid)
      out += "\\ufffd";
    else if (rune.length == 1)
      json_ascii(out, text.front());
    else if (rune.value == 0x2028 || rune.value == 0x2029)
      append_escape(out, "\\u%04x", rune.value);
    else
      out += text.substr(0, rune.length);
    text.remove_prefix(rune.length);
  }
  return out += '"';
}

std::string format_line(Format format, std::string_view level, std::string_view message, WallTime time) {
  const std::string stamp = format_rfc3339(time, TimePrecision::kSeconds);
  if (format == Format::kJson)
    return cat("{\"level\":\"", level, "\",\"msg\":", go_json_string(message), ",\"time\":\"", stamp, "\"}\n");
  std::string line = cat("time=\"", stamp, "\" level=", level);
  if (needs_quotes(message)) return cat(line, " msg=", go_quote(message), "\n");
  return cat(line, " msg=", message, "\n");
}

}  // namespace proa::log
