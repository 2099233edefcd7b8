#include "base/toml.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 8
#include <toml++/toml.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <sstream>
#include <tuple>
#include <vector>

#include "base/digest.h"
#include "base/utf8.h"

namespace proa::toml {
namespace {

namespace bj = boost::json;

// The library (3.3) has undefined behaviour for most characters beyond ASCII, so it is shown none: each of their bytes,
// and '~', goes in as "~hh", which may stand wherever they may: in strings and comments alone.
constexpr char kMark = '~';

std::string masked(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == kMark || static_cast<unsigned char>(c) >= 0x80)
      out.append(1, kMark).append(to_hex({&c, 1}));
    else
      out += c;
  }
  return out;
}

std::string unmasked(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const bool is_mark = text[i] == kMark && i + 2 < text.size() &&
                         std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3;
    out += is_mark ? static_cast<char>(byte) : text[i];
    if (is_mark) i += 2;
  }
  return out;
}

Result<bj::value> to_json(const ::toml::node& node);

std::string place(const ::toml::source_region& at) { return cat("line ", at.begin.line, ", column ", at.begin.column); }

// The library sorts keys; the file's order is that of their values.
Result<bj::value> object_of(const ::toml::table& table) {
  struct Member {
    ::toml::source_position at;
    std::string_view key;
    const ::toml::node* value;
  };
  std::vector<Member> members;
  members.reserve(table.size());
  for (const auto& [key, value] : table) members.push_back({value.source().begin, key.str(), &value});
  std::ranges::stable_sort(members, {}, [](const Member& m) { return std::tuple(m.at.line, m.at.column); });
  bj::object out;
  for (const Member& member : members) out[unmasked(member.key)] = TRY(to_json(*member.value));
  return out;
}

Result<bj::value> array_of(const ::toml::array& array) {
  bj::array out;
  for (const auto& each : array) out.push_back(TRY(to_json(each)));
  return out;
}

template <typename T>
bj::value text_of(const T& value) {
  std::ostringstream out;
  out << value;
  return bj::value(out.str());
}

Result<bj::value> to_json(const ::toml::node& node) {
  if (const auto* table = node.as_table()) return object_of(*table);
  if (const auto* array = node.as_array()) return array_of(*array);
  if (const auto* text = node.as_string()) return bj::value(unmasked(text->get()));
  if (const auto* number = node.as_integer()) return bj::value(number->get());
  if (const auto* flag = node.as_boolean()) return bj::value(flag->get());
  if (const auto* real = node.as_floating_point()) {
    if (!std::isfinite(real->get())) return fail(place(node.source()), ": is no finite number");
    return bj::value(real->get());
  }
  if (const auto* date = node.as_date()) return text_of(date->get());
  if (const auto* time = node.as_time()) return text_of(time->get());
  if (const auto* both = node.as_date_time()) return text_of(both->get());
  return bj::value();
}

// The library follows dotted keys as deep as they go, and comes back by recursion.
Result<> check_depth(std::string_view text, size_t most) {
  size_t line = 1, dots = 0;
  for (const char c : text) {
    if (c == '\n') ++line, dots = 0;
    if (c == '.' && ++dots > most) return fail("line ", line, ": more than ", most, " dots");
  }
  return {};
}

}  // namespace

Result<bj::value> parse(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.max_bytes) return fail("more than ", limits.max_bytes, " bytes");
  if (!utf8::valid(text)) return fail("is not UTF-8");
  TRY(check_depth(text, limits.max_dots));
  for (const std::string_view escape : {"\\u007e", "\\u007E", "\\U0000007e", "\\U0000007E"})
    if (text.contains(escape)) return fail("\"", escape, "\": is not taken").hint("write ~");
  const std::string ascii = masked(text);
  const ::toml::parse_result parsed = ::toml::parse(std::string_view(ascii));
  if (!parsed) return fail(place(parsed.error().source()), ": ", parsed.error().description());
  return object_of(parsed.table());
}

}  // namespace proa::toml
