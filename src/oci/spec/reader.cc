#include "oci/spec/reader.h"

#include "base/json.h"

namespace proa::oci::reader {
namespace {

constexpr size_t kShownBytes = 48;

// A string short enough for an error line, cut between characters.
std::string shown(std::string_view text) {
  if (text.size() <= kShownBytes) return json::quote(text);
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return cat(json::quote(text.substr(0, end)), "...");
}

std::string found(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::string: return cat("string ", shown(value.get_string()));
    case boost::json::kind::array: return "an array";
    case boost::json::kind::object: return "an object";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_: return cat("number ", json::to_line(value));
    default: return json::to_line(value);  // true, false, null
  }
}

}  // namespace

std::string Place::text() const {
  std::string out = outer != nullptr ? outer->text() : std::string();
  switch (kind) {
    case Kind::kField:
      if (!out.empty()) out += '.';
      out += name;
      break;
    case Kind::kEntry: out += cat("[", shown(name), "]"); break;
    case Kind::kItem: out += cat("[", index, "]"); break;
  }
  return out;
}

void Cursor::fail(std::string_view message, std::string_view hint) const {
  if (failed()) return;
  Error error(std::string{message});
  if (const std::string where = place_ != nullptr ? place_->text() : std::string(); !where.empty())
    error.context(where);
  failure_->emplace(std::move(error).hint(hint));
}

void Cursor::expected(std::string_view what) const {
  if (!failed()) fail(cat("expected ", what, ", found ", found(value())));
}

void Cursor::too_many(size_t limit) const { fail(cat("more than ", limit, " entries")); }

void read(const Cursor& in, bool& out) {
  const bool* value = in.value().if_bool();
  if (value == nullptr) return in.expected("true or false");
  out = *value;
}

std::optional<std::string_view> read_text(const Cursor& in) {
  const boost::json::string* text = in.value().if_string();
  if (text == nullptr) {
    in.expected("a string");
    return std::nullopt;
  }
  // The kernel's strings end at the first NUL: what follows would be silently lost.
  if (const std::string_view view(text->data(), text->size()); view.find('\0') == std::string_view::npos) return view;
  in.fail("contains a NUL byte");
  return std::nullopt;
}

void read(const Cursor& in, std::string& out) {
  if (auto text = read_text(in)) out = *text;
}

std::optional<int64_t> read_signed(const Cursor& in, int64_t lowest, int64_t highest) {
  const boost::json::value& value = in.value();
  if (const int64_t* number = value.if_int64(); number != nullptr && *number >= lowest && *number <= highest)
    return *number;
  if (value.is_int64() || value.is_uint64())
    in.fail(cat("must be ", lowest, " to ", highest, ", found ", found(value)));
  else
    in.expected("an integer");
  return std::nullopt;
}

std::optional<uint64_t> read_unsigned(const Cursor& in, uint64_t highest) {
  const boost::json::value& value = in.value();
  if (const int64_t* number = value.if_int64(); number != nullptr && *number >= 0) {
    if (static_cast<uint64_t>(*number) <= highest) return static_cast<uint64_t>(*number);
  } else if (const uint64_t* big = value.if_uint64(); big != nullptr && *big <= highest) {
    return *big;
  } else if (big == nullptr) {
    in.expected("an unsigned integer");
    return std::nullopt;
  }
  in.fail(cat("must be 0 to ", highest, ", found ", found(value)));
  return std::nullopt;
}

std::optional<uint64_t> read_name(const Cursor& in, kernel::NameTable table) {
  const std::optional<std::string_view> name = read_text(in);
  if (!name) return std::nullopt;
  const std::optional<uint64_t> number = kernel::number_of(table, *name);
  if (!number) in.fail(cat(shown(*name), " is not known"), cat("one of ", kernel::joined_names(table)));
  return number;
}

void read(const Cursor& in, const NamedBits& target) {
  each_item(in, kMaxItems, [&](const Cursor& item) {
    if (auto bit = read_name(item, target.table)) target.out |= *bit;
  });
}

bool check_key(const Cursor& in, std::string_view key) {
  if (key.empty())
    in.fail("a key is empty");
  else if (key.find('\0') != std::string_view::npos)
    in.fail("a key contains a NUL byte");
  else
    return true;
  return false;
}

}  // namespace proa::oci::reader
