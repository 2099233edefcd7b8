#include "net/headers.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace proa::net {

namespace {

constexpr size_t kMaxName = UINT16_MAX;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

constexpr std::array<bool, 256> kTokenChars = [] {
  std::array<bool, 256> is{};
  for (unsigned c = '0'; c <= '9'; ++c) is[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) is[c] = is[c - 32] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) is[static_cast<unsigned char>(c)] = true;
  return is;
}();

constexpr bool token_char(char c) { return kTokenChars[static_cast<unsigned char>(c)]; }
constexpr bool value_char(char c) { return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\t'; }

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  return true;
}

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, token_char); }
bool is_field_value(std::string_view text) { return std::ranges::all_of(text, value_char); }

Headers::Headers(std::initializer_list<Field> fields) {
  for (const Field& field : fields) add(field.name, field.value);
}

void Headers::append(std::string_view name, std::string_view value) {
  Entry entry{.name = static_cast<uint32_t>(text_.size()),
              .value = static_cast<uint32_t>(text_.size() + name.size()),
              .value_size = static_cast<uint32_t>(value.size()),
              .name_size = static_cast<uint16_t>(name.size())};
  text_.append(name).append(value);
  entries_.push_back(entry);
}

void Headers::add(std::string_view name, std::string_view value) {
  name = name.substr(0, kMaxName);
  if (is_token(name) && is_field_value(value)) return append(name, trimmed(value));
  std::string clean_name(name.empty() ? "-" : name);
  std::string clean_value(value);
  std::ranges::replace_if(clean_name, [](char c) { return !token_char(c); }, '-');
  std::ranges::replace_if(clean_value, [](char c) { return !value_char(c); }, ' ');
  append(clean_name, trimmed(clean_value));
}

void Headers::set(std::string_view name, std::string_view value) {
  if (contains(name)) {
    const std::string kept(value);  // it may be one of the views of this
    const std::string kept_name(name);
    remove(kept_name);
    return add(kept_name, kept);
  }
  add(name, value);
}

void Headers::remove(std::string_view name) {
  if (!contains(name)) return;
  Headers rest;
  for (const Field field : *this)
    if (!equals_ignoring_case(field.name, name)) rest.append(field.name, field.value);
  *this = std::move(rest);
}

void Headers::clear() {
  text_.clear();
  entries_.clear();
}

Headers::Field Headers::operator[](size_t index) const {
  const Entry& entry = entries_[index];
  const std::string_view text = text_;
  return {text.substr(entry.name, entry.name_size), text.substr(entry.value, entry.value_size)};
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].name_size == name.size() && equals_ignoring_case((*this)[i].name, name)) return (*this)[i].value;
  return std::nullopt;
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field field : *this)
    if (equals_ignoring_case(field.name, name)) values.push_back(field.value);
  return values;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const Field field : *this) {
    if (!equals_ignoring_case(field.name, name)) continue;
    for (std::string_view rest = field.value; !rest.empty();)
      if (equals_ignoring_case(trimmed(cut(rest, ',')), token)) return true;
  }
  return false;
}

}  // namespace proa::net
