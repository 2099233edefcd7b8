#include "net/auth.h"

#include <algorithm>

#include "base/error.h"
#include "net/base64.h"

namespace proa::net {

namespace {

constexpr size_t kMaxChallenges = 16;
constexpr size_t kMaxParameters = 64;

// Takes apart scheme, token68 and parameters; all rules are RFC 9110, 11.2 and 5.6.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  size_t skip_spaces() {
    const size_t end = std::min(rest_.find_first_not_of(" \t"), rest_.size());
    rest_.remove_prefix(end);
    return end;
  }
  void skip_separators() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t,"), rest_.size())); }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view token() {
    size_t end = 0;
    while (end < rest_.size() && is_token(rest_.substr(end, 1))) ++end;
    return take(end);
  }
  // Letters, digits, -._~+/ and padding, up to a comma or the end; "" if something else follows.
  std::string_view token68() {
    size_t end = std::min(
        rest_.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"), rest_.size());
    if (end == 0) return {};
    end = std::min(rest_.find_first_not_of('=', end), rest_.size());
    const size_t next = std::min(rest_.find_first_not_of(" \t", end), rest_.size());
    if (next < rest_.size() && rest_[next] != ',') return {};
    return take(end);
  }
  // Nothing when the closing quote is missing.
  std::optional<std::string> value() {
    if (!take('"')) {
      const std::string_view plain = token();
      return plain.empty() ? std::nullopt : std::optional<std::string>(plain);
    }
    std::string out;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return out;
      if (c == '\\') {
        if (rest_.empty()) break;
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      out += c;
    }
    return std::nullopt;
  }
  // Whether `name =` comes next: then it is a parameter, not a scheme.
  bool parameter_next() const {
    Scanner ahead = *this;
    if (ahead.token().empty()) return false;
    ahead.skip_spaces();
    return ahead.take('=');
  }

 private:
  std::string_view take(size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
};

// False when the parameters are malformed: what was read before them counts.
bool parse_parameters(Scanner& scanner, Challenge& challenge) {
  while (scanner.parameter_next()) {
    std::string name = ascii_lower(scanner.token());
    scanner.skip_spaces();
    scanner.take('=');
    scanner.skip_spaces();
    auto value = scanner.value();
    if (!value || challenge.parameters.size() == kMaxParameters) return false;
    challenge.parameters.emplace_back(std::move(name), std::move(*value));
    scanner.skip_spaces();
    if (!scanner.at_end() && !scanner.take(',')) return false;
    scanner.skip_separators();
  }
  return true;
}

}  // namespace

std::string_view Challenge::get(std::string_view name) const {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return {};
}

std::string Challenge::text() const {
  std::string out = scheme;
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] & ~0x20);
  if (!token68.empty()) return out.append(" ").append(token68);
  char separator = ' ';
  for (const auto& [name, value] : parameters) {
    out.append(1, separator).append(name).append("=\"");
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
    separator = ',';
  }
  return out;
}

std::vector<Challenge> parse_challenges(std::string_view value) {
  std::vector<Challenge> found;
  Scanner scanner(value);
  scanner.skip_separators();
  while (!scanner.at_end() && found.size() < kMaxChallenges) {
    const std::string_view scheme = scanner.token();
    if (scheme.empty()) break;
    Challenge challenge{.scheme = ascii_lower(scheme)};
    const bool spaced = scanner.skip_spaces() > 0;
    if (spaced && !scanner.at_end()) challenge.token68 = scanner.token68();
    const bool fine = !challenge.token68.empty() || !spaced || parse_parameters(scanner, challenge);
    found.push_back(std::move(challenge));
    if (!fine) break;
    scanner.skip_separators();
  }
  return found;
}

std::vector<Challenge> challenges(const Headers& headers, std::string_view name) {
  std::vector<Challenge> found;
  for (const std::string_view value : headers.all(name))
    for (Challenge& challenge : parse_challenges(value)) found.push_back(std::move(challenge));
  return found;
}

std::string basic_authorization(std::string_view user, std::string_view password) {
  return cat("Basic ", base64_encode(cat(user, ":", password)));
}

std::optional<Credentials> parse_basic(std::string_view authorization) {
  if (authorization.size() < 6 || !equals_ignoring_case(authorization.substr(0, 6), "basic ")) return std::nullopt;
  const auto decoded = base64_decode(trimmed(authorization.substr(6)));
  const size_t colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{.user = decoded->substr(0, colon), .password = decoded->substr(colon + 1)};
}

std::optional<std::string_view> parse_bearer(std::string_view authorization) {
  if (authorization.size() < 7 || !equals_ignoring_case(authorization.substr(0, 7), "bearer ")) return std::nullopt;
  const std::string_view token = trimmed(authorization.substr(7));
  return token.empty() ? std::nullopt : std::optional(token);
}

bool equals_secret(std::string_view a, std::string_view b) {
  unsigned char differ = a.size() != b.size();
  for (size_t i = 0; i < a.size(); ++i)
    differ = static_cast<unsigned char>(differ | (a[i] ^ (b.empty() ? 0 : b[i % b.size()])));
  return differ == 0;
}

}  // namespace proa::net
