#include "kube/apiserver/access/tokens/bootstrap_tokens.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "kernel/file.h"
#include "kube/apiserver/access/pki/digest.h"
#include "kube/codec/time.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kType = "bootstrap.kubernetes.io/token";
constexpr std::string_view kGroup = "system:bootstrappers";
constexpr size_t kIdSize = 6, kSecretSize = 16;

bool is_word(std::string_view text, size_t size) {
  return text.size() == size &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

// system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]
bool is_group(std::string_view group) {
  if (!group.starts_with("system:bootstrappers:")) return false;
  const std::string_view rest = group.substr(21);
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !rest.empty() && rest.size() <= 256 && plain(rest.back()) &&
         std::ranges::all_of(rest, [&](char c) { return plain(c) || c == ':' || c == '-'; });
}

class BootstrapTokens : public TokenSource {
 public:
  BootstrapTokens(const Reader& reader, std::function<int64_t()> now) : reader_(reader), now_(std::move(now)) {}

  Result<std::optional<Found>> check(std::string_view token, const std::vector<std::string>& audiences) const override {
    if (token.size() != kIdSize + 1 + kSecretSize || token[kIdSize] != '.') return std::nullopt;
    const std::string_view id = token.substr(0, kIdSize), secret = token.substr(kIdSize + 1);
    if (!is_word(id, kIdSize) || !is_word(secret, kSecretSize)) return std::nullopt;
    const StoredPtr stored = reader_.get("", "secrets", "kube-system", cat("bootstrap-token-", id));
    if (!stored || !is_good(stored->root(), id, secret)) return std::nullopt;
    Found found{.user = {.name = cat("system:bootstrap:", id), .uid = {}, .groups = {std::string(kGroup)}, .extra = {}},
                .audiences = audiences};
    const std::string extra = data(stored->root(), "auth-extra-groups");
    for (const std::string_view each : split(extra, ',')) {
      if (!is_group(each)) return fail("bootstrap token ", id, ": ", each, " is no group of system:bootstrappers");
      if (!found.user.in(each)) found.user.groups.emplace_back(each);
    }
    return found;
  }

 private:
  static std::string data(const Value& secret, std::string_view key) {
    return net::base64_decode(secret.get("data").string(key)).value_or("");
  }

  bool is_good(const Value& stored, std::string_view id, std::string_view secret) const {
    if (stored.string("type") != kType || !stored.string({"metadata", "deletionTimestamp"}).empty() ||
        !pki::same_secret(data(stored, "token-secret"), secret) || data(stored, "token-id") != id ||
        data(stored, "usage-bootstrap-authentication") != "true")
      return false;
    const std::string expiration = data(stored, "expiration");
    if (expiration.empty()) return true;
    const auto end = parse_time(expiration);
    return end && end->seconds > now_();
  }

  const Reader& reader_;
  const std::function<int64_t()> now_;
};

// --- a file

// The fields of a line of comma separated values; "" in quotes is a quote.
Result<std::vector<std::string>> fields_of(std::string_view line) {
  std::vector<std::string> out(1);
  bool within = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (within && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      out.back() += '"';
      ++i;
    } else if (c == '"' && (within || out.back().empty())) {
      within = !within;
    } else if (c == ',' && !within) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  if (within) return fail("a quote is not closed");
  return out;
}

class FileTokens : public TokenSource {
 public:
  // By the tokens' digests: looking for one tells nothing of the others.
  std::map<std::string, User> users;

  Result<std::optional<Found>> check(std::string_view token, const std::vector<std::string>& audiences) const override {
    const auto user = users.find(pki::sha256(token));
    if (user == users.end()) return std::nullopt;
    return Found{.user = user->second, .audiences = audiences};
  }
};

}  // namespace

std::unique_ptr<TokenSource> bootstrap_tokens(const Reader& reader, std::function<int64_t()> now) {
  return std::make_unique<BootstrapTokens>(reader, std::move(now));
}

Result<std::unique_ptr<TokenSource>> file_tokens(const std::string& path) {
  const std::string text = TRY(kernel::read_file(path.c_str()));
  auto out = std::make_unique<FileTokens>();
  std::string_view rest = text;
  for (int number = 1; !rest.empty(); ++number) {
    const std::string_view line = net::trimmed(cut(rest, '\n'));
    if (line.empty() || line.starts_with('#')) continue;
    const auto fields = TRY_CTX(fields_of(line), path, ", line ", number);
    if (fields.size() < 3) return fail(path, ", line ", number, ": has not token, user and uid");
    if (fields[0].empty()) return fail(path, ", line ", number, ": the token is empty");
    User user{.name = fields[1], .uid = fields[2], .groups = {}, .extra = {}};
    if (fields.size() > 3)
      for (const std::string_view group : split(fields[3], ',')) user.groups.emplace_back(net::trimmed(group));
    out->users.insert_or_assign(pki::sha256(fields[0]), std::move(user));
  }
  return out;
}

}  // namespace proa::kube::api
