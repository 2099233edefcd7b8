#include "kernel/cgroup/systemd/gvariant.h"

#include <array>
#include <limits>

#include "base/text.h"

namespace proa::kernel::cgroup::dbus {
namespace {

struct TypeName {
  std::string_view word;
  char type;
};
constexpr std::array<TypeName, 12> kTypes = {{{"boolean", 'b'},
                                              {"byte", 'y'},
                                              {"int16", 'n'},
                                              {"uint16", 'q'},
                                              {"int32", 'i'},
                                              {"uint32", 'u'},
                                              {"int64", 'x'},
                                              {"uint64", 't'},
                                              {"double", 'd'},
                                              {"string", 's'},
                                              {"objectpath", 'o'},
                                              {"signature", 'g'}}};

bool is_basic(char type) {
  for (const TypeName& name : kTypes)
    if (name.type == type) return true;
  return false;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<Value> whole() {
    Value value = TRY(any());
    skip_space();
    if (!rest_.empty()) return fail("\"", rest_, "\" follows the value");
    return value;
  }

 private:
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\n'))
      rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view word() {
    skip_space();
    const size_t end = rest_.find_first_of(" \t\n,]'\"[");
    const std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(out.size());
    return out;
  }

  // A type before the value, as "uint64" or "@as"; "" when there is none.
  Result<std::string> type_prefix() {
    skip_space();
    if (take('@')) {
      const std::string_view type = word();
      const std::string_view element = type.starts_with('a') ? type.substr(1) : type;
      if (element.size() != 1 || !is_basic(element[0])) return fail("type \"", type, "\" is not supported");
      return std::string(type);
    }
    for (const TypeName& name : kTypes) {
      if (!rest_.starts_with(name.word) || rest_.size() == name.word.size() || rest_[name.word.size()] != ' ') continue;
      rest_.remove_prefix(name.word.size());
      return std::string(1, name.type);
    }
    return std::string();
  }

  Result<Value> any() {
    const std::string type = TRY(type_prefix());
    skip_space();
    if (rest_.starts_with('[')) return array(type);
    if (type.starts_with('a')) return fail("type \"", type, "\" needs a value in []");
    return basic(type);
  }

  Result<Value> array(const std::string& type) {
    if (!type.empty() && type[0] != 'a') return fail("type \"", type, "\" before an array");
    take('[');
    Value out{type, {}};
    if (take(']')) {
      if (type.empty()) return fail("an empty array needs its type, as in \"@as []\"");
      return out;
    }
    std::string element = type.empty() ? "" : type.substr(1);
    do {
      std::string own = TRY(type_prefix());
      Value value = TRY(basic(own.empty() ? element : own));
      if (element.empty()) element = value.signature;
      if (value.signature != element) return fail("the elements of an array must be of one type");
      out.items.push_back(std::move(value.items.front()));
    } while (take(','));
    if (!take(']')) return fail("an array is not closed");
    out.signature = cat("a", element);
    return out;
  }

  Result<Value> basic(const std::string& type) {
    skip_space();
    if (rest_.empty()) return fail("the value is missing");
    const char quote = rest_.front();
    if (quote == '\'' || quote == '"') {
      std::string text = TRY(quoted(quote));
      if (!type.empty() && type != "s" && type != "o" && type != "g")
        return fail("a text is not of type \"", type, "\"");
      return Value{type.empty() ? "s" : type, {std::move(text)}};
    }
    const std::string_view token = word();
    if (token == "true" || token == "false") {
      if (!type.empty() && type != "b") return fail("\"", token, "\" is not of type \"", type, "\"");
      return Value::boolean(token == "true");
    }
    return number(token, type);
  }

  Result<std::string> quoted(char quote) {
    std::string out;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != quote) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\0') break;
      if (c == '\\') {
        if (rest_.empty()) break;
        c = rest_.front();
        rest_.remove_prefix(1);
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
      }
      out.push_back(c);
    }
    if (!take(quote)) return fail("a text is not closed");
    return out;
  }

  template <typename T>
  static Result<Value> integer(std::string_view token, const std::string& type) {
    bool negative = token.starts_with('-');
    std::string_view digits = negative ? token.substr(1) : token;
    int base = 10;
    if (digits.starts_with("0x")) {
      digits.remove_prefix(2);
      base = 16;
    }
    uint64_t magnitude = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
    if (ec != std::errc() || digits.empty() || end != digits.data() + digits.size())
      return fail("\"", token, "\" is not a value");
    const auto most = static_cast<uint64_t>(std::numeric_limits<T>::max());
    const uint64_t limit = negative ? (std::numeric_limits<T>::is_signed ? most + 1 : 0) : most;
    if (magnitude > limit) return fail("\"", token, "\" is out of the range of its type");
    return Value{type, {negative ? -magnitude : magnitude}};
  }

  static Result<Value> number(std::string_view token, const std::string& type) {
    const bool real = token.find_first_of(".eE") != std::string_view::npos && !token.starts_with("0x");
    if (type == "d" || (type.empty() && real)) {
      const auto value = parse_number<double>(token);
      if (!value) return fail("\"", token, "\" is not a value");
      return Value{"d", {*value}};
    }
    switch (type.empty() ? 'i' : type[0]) {
      case 'y': return integer<uint8_t>(token, type);
      case 'n': return integer<int16_t>(token, type);
      case 'q': return integer<uint16_t>(token, type);
      case 'i': return integer<int32_t>(token, "i");
      case 'u': return integer<uint32_t>(token, type);
      case 'x': return integer<int64_t>(token, type);
      case 't': return integer<uint64_t>(token, type);
      default: return fail("\"", token, "\" is not of type \"", type, "\"");
    }
  }

  std::string_view rest_;
};

}  // namespace

Result<Value> parse_gvariant(std::string_view text) { return Parser(text).whole(); }

}  // namespace proa::kernel::cgroup::dbus
