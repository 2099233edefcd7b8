// Boost.JSON's tokenizer with a handler of our own: its number conversion is inexact (1.81), its values lose
// duplicate keys and are twice the size.
#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {
namespace bj = boost::json;

// Up to so many members, keys are compared one by one; more are sorted to find equal ones.
constexpr size_t kFewMembers = 16;

class Handler {
 public:
  static constexpr size_t max_object_size = size_t(-1);
  static constexpr size_t max_array_size = size_t(-1);
  static constexpr size_t max_key_size = size_t(-1);
  static constexpr size_t max_string_size = size_t(-1);

  Handler(Arena* arena, std::vector<std::string>* duplicates) : arena_(arena), duplicates_(duplicates) {}

  Value root() const { return values_.empty() ? Value() : values_.back(); }

  // NOLINTBEGIN(readability-convert-member-functions-to-static): the parser's interface
  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) { return open(); }
  bool on_array_begin(bj::error_code&) { return open(); }
  bool on_array_end(size_t count, bj::error_code&) {
    close();
    const Value array = Value::array_of(*arena_, std::span(values_).last(count));
    values_.resize(values_.size() - count);
    return add(array);
  }
  bool on_object_end(size_t count, bj::error_code&) {
    close();
    members_.resize(count);
    for (size_t i = 0; i < count; ++i)
      members_[i] = {keys_[keys_.size() - count + i], values_[values_.size() - count + i]};
    keys_.resize(keys_.size() - count);
    values_.resize(values_.size() - count);
    unite_duplicates();
    return add(Value::object_of(*arena_, members_));
  }
  bool on_key_part(bj::string_view part, size_t, bj::error_code&) { return append(part); }
  bool on_key(bj::string_view part, size_t, bj::error_code&) {
    keys_.push_back(take(part));
    return true;
  }
  bool on_string_part(bj::string_view part, size_t, bj::error_code&) { return append(part); }
  bool on_string(bj::string_view part, size_t, bj::error_code&) { return add(Value::view(take(part))); }
  bool on_number_part(bj::string_view part, bj::error_code&) { return append(part); }
  bool on_int64(int64_t number, bj::string_view, bj::error_code&) {
    partial_.clear();
    return add(Value::integer(number));
  }
  bool on_uint64(uint64_t, bj::string_view text, bj::error_code& ec) { return on_double(0, text, ec); }
  bool on_double(double about, bj::string_view text, bj::error_code& ec) {
    partial_.append(text.data(), text.size());
    double number = 0;
    const auto [end, error] = std::from_chars(partial_.data(), partial_.data() + partial_.size(), number);
    const bool small = error == std::errc::result_out_of_range && std::abs(about) < 1;  // rounds to zero
    partial_.clear();
    if ((error != std::errc() && !small) || !std::isfinite(number)) {
      ec = bj::error::exponent_overflow;
      return false;
    }
    return add(Value::real(number));
  }
  bool on_bool(bool b, bj::error_code&) { return add(Value::boolean(b)); }
  bool on_null(bj::error_code&) { return add(Value()); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }
  // NOLINTEND(readability-convert-member-functions-to-static)

 private:
  // Where an open object or array has its first key and its first value.
  struct Open {
    size_t key;
    size_t value;
  };

  bool open() {
    open_.push_back({keys_.size(), values_.size()});
    return true;
  }
  void close() { open_.pop_back(); }
  bool add(const Value& value) {
    values_.push_back(value);
    return true;
  }
  bool append(bj::string_view part) {
    partial_.append(part.data(), part.size());
    return true;
  }
  std::string_view take(bj::string_view part) {
    if (partial_.empty()) return arena_->copy({part.data(), part.size()});
    partial_.append(part.data(), part.size());
    const std::string_view out = arena_->copy(partial_);
    partial_.clear();
    return out;
  }

  // Where the parser stands: the keys and indices of everything that is open.
  std::string path(std::string_view key) const {
    std::string out;
    for (size_t i = 0; i < open_.size(); ++i) {
      // An object has as many keys before its open member's value as ... one more key than values.
      const size_t next_key = i + 1 < open_.size() ? open_[i + 1].key : key_end_;
      const size_t next_value = i + 1 < open_.size() ? open_[i + 1].value : value_end_;
      if (next_key > open_[i].key) {
        if (!out.empty()) out += '.';
        out += keys_[next_key - 1];
      } else {
        out += cat("[", next_value - open_[i].value, "]");
      }
    }
    if (!out.empty()) out += '.';
    out += key;
    return out;
  }

  void report(std::string_view key) {
    if (duplicates_ == nullptr || duplicates_->size() >= 100) return;
    key_end_ = keys_.size();
    value_end_ = values_.size();
    std::string where = path(key);
    if (std::ranges::find(*duplicates_, where) == duplicates_->end()) duplicates_->push_back(std::move(where));
  }

  void unite_duplicates() {
    if (!has_duplicates()) return;
    std::vector<Member> kept;
    for (const Member& member : members_) {
      const auto same = std::ranges::find(kept, member.key, &Member::key);
      if (same == kept.end()) {
        kept.push_back(member);
        continue;
      }
      report(member.key);
      same->value = member.value;
    }
    members_ = std::move(kept);
  }
  bool has_duplicates() {
    if (members_.size() <= kFewMembers) {
      for (size_t i = 1; i < members_.size(); ++i)
        for (size_t j = 0; j < i; ++j)
          if (members_[i].key == members_[j].key) return true;
      return false;
    }
    sorted_.clear();
    for (const Member& member : members_) sorted_.push_back(member.key);
    std::ranges::sort(sorted_);
    return std::ranges::adjacent_find(sorted_) != sorted_.end();
  }

  Arena* arena_;
  std::vector<std::string>* duplicates_;
  std::vector<Open> open_;
  std::vector<std::string_view> keys_;
  std::vector<Value> values_;
  std::vector<Member> members_;
  std::vector<std::string_view> sorted_;
  std::string partial_;
  size_t key_end_ = 0, value_end_ = 0;
};

std::string where(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line = static_cast<size_t>(std::ranges::count(before, '\n')) + 1;
  const size_t start = before.rfind('\n');
  return cat("line ", line, ", column ", start == std::string_view::npos ? offset + 1 : offset - start);
}

}  // namespace

Result<Value> read_json(Arena& arena, std::string_view text, const JsonOptions& options) {
  if (text.size() > options.max_bytes)
    return fail("JSON of ", text.size(), " bytes is over the limit of ", options.max_bytes);
  try {
    bj::parse_options parser_options;
    parser_options.max_depth = options.max_depth;
    bj::basic_parser<Handler> parser(parser_options, &arena, options.duplicates);
    bj::error_code ec;
    size_t used = parser.write_some(false, text.data(), text.size(), ec);
    if (!ec && used < text.size()) {
      used = std::min(text.find_first_not_of(" \t\r\n", used), text.size());
      if (used < text.size()) ec = bj::error::extra_data;
    }
    if (ec) return fail("not valid JSON at ", where(text, used), ": ", ec.message());
    return parser.handler().root();
  } catch (const std::exception& error) {
    return fail("JSON: ", error.what());
  }
}

Result<Document> read_json(std::string_view text, const JsonOptions& options) {
  Document document{Arena(text.size() * 2 + 512), {}};
  document.root = TRY(read_json(document.arena, text, options));
  return document;
}

}  // namespace proa::kube
