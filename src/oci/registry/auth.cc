#include "oci/registry/auth.h"

#include <sys/stat.h>

#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "net/auth.h"
#include "net/url.h"

namespace proa::oci::registry {

using net::Request;
using net::Response;
using net::Task;

namespace {

// Passwords are hashed by the pool that does all else that blocks: few at a time.
constexpr unsigned kMostChecks = 12;
constexpr size_t kLongestForm = 64u << 10;

// Without the port: "192.0.2.1", "[2001:db8::1]".
std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

// What tells that a file is another one, or has other content.
std::string stamp_of(const std::string& path) {
  struct stat info{};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
  return cat(info.st_ino, ".", info.st_size, ".", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
}

std::unexpected<Refusal> wrong_credentials(std::string_view why) { return refuse(Code::kUnauthorized, why); }

}  // namespace

std::string scope_of(std::string_view repository, Action action) {
  const std::string_view actions = action == Action::kPull ? "pull" : action == Action::kPush ? "pull,push" : "delete";
  return cat("repository:", repository, ":", actions);
}

Result<std::unique_ptr<Authenticator>> Authenticator::create(AuthOptions options, const std::string& key_file,
                                                             const Clock& clock) {
  if (options.own_tokens && options.external_tokens())
    return fail("auth.token: either tokens of our own or an external issuer's, not both");
  if (options.own_tokens && options.htpasswd.empty()) return fail("auth.token: tokens of our own need auth.htpasswd");
  if (options.external_tokens() && (options.issuer.empty() || options.token_realm.empty()))
    return fail("auth.token: an external issuer needs both issuer and realm");
  if (options.issuer.empty()) options.issuer = options.service;
  std::unique_ptr<Authenticator> out(new Authenticator(std::move(options), clock));
  if (!out->enabled()) return out;
  const AuthOptions& said = out->options_;
  if (!said.htpasswd.empty()) out->passwords_ = TRY(Passwords::load(said.htpasswd, clock));
  if (said.own_tokens)
    out->key_ = TRY_CTX(SigningKey::load_or_make(said.token_key.empty() ? key_file : said.token_key), "token key");
  TRY(out->load_rules());
  for (const std::string& path : {said.htpasswd, said.policy, said.certificates, said.jwks})
    out->stamps_.push_back(stamp_of(path));
  return out;
}

Result<> Authenticator::load_rules() {
  auto fresh = std::make_shared<Rules>();
  fresh->access = Access::for_users(options_.anonymous_pull);
  const auto read = [](const std::string& path, auto use) -> Result<> {
    if (path.empty()) return {};
    const std::string text = TRY(kernel::read_file(path.c_str()));
    TRY_CTX(use(text), path);
    return {};
  };
  TRY_CTX(read(options_.policy,
               [&](const std::string& text) -> Result<> {
                 fresh->access = TRY(Access::parse(text));
                 return {};
               }),
          "access policy");
  TRY_CTX(read(options_.certificates, [&](const std::string& text) { return fresh->keys.add_pem(text); }),
          "token certificates");
  TRY_CTX(read(options_.jwks, [&](const std::string& text) { return fresh->keys.add_jwks(text); }), "token keys");
  if (key_) fresh->keys = key_->public_keys();
  const std::lock_guard lock(mutex_);
  rules_ = std::move(fresh);
  return {};
}

std::vector<Error> Authenticator::reload_changed() {
  std::vector<Error> errors;
  if (!enabled()) return errors;
  const std::string* paths[] = {&options_.htpasswd, &options_.policy, &options_.certificates, &options_.jwks};
  bool passwords = false, rules = false;
  for (size_t i = 0; i < stamps_.size(); ++i) {
    std::string stamp = stamp_of(*paths[i]);
    if (stamp == stamps_[i]) continue;
    stamps_[i] = std::move(stamp);
    (i == 0 ? passwords : rules) = true;
  }
  const auto note = [&](Result<> done, std::string_view what) {
    if (!done) errors.push_back(std::move(done).error());
    if (done) log::info("read ", what, " anew");
  };
  if (passwords) note(passwords_->reload(), "the passwords");
  if (rules) note(load_rules(), "the access rules");
  return errors;
}

std::shared_ptr<const Authenticator::Rules> Authenticator::rules() const {
  const std::lock_guard lock(mutex_);
  return rules_;
}

int64_t Authenticator::now() const {
  return std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
}

// --- who asks

Task<Answer<Identity>> Authenticator::check_password(const Request& request, std::string user, std::string password) {
  if (!passwords_) co_return wrong_credentials("this registry takes no passwords");
  if (checking_.fetch_add(1) >= kMostChecks) {
    --checking_;
    co_return refuse(Code::kTooManyRequests, "too many logins at a time");
  }
  const std::string address = host_of(request.peer().address);
  const Passwords::Checked checked = co_await net::blocking([&] { return passwords_->check(user, password, address); });
  --checking_;
  if (checked.verdict == Passwords::Verdict::kRight) co_return Identity{.user = std::move(user), .token = {}};
  ++failures_;
  if (checked.verdict == Passwords::Verdict::kTooMany) {
    log::warning("login of \"", user, "\" from ", address, " refused: too many wrong passwords; ", checked.wait,
                 " s to wait");
    co_return refuse(Code::kTooManyRequests, "too many wrong passwords; try again in ", checked.wait, " s");
  }
  log::warning("login of \"", user, "\" from ", address, " failed: wrong user or password");
  co_return wrong_credentials("wrong user name or password");
}

Task<Answer<Identity>> Authenticator::check_token(std::string text) {
  const auto rules = this->rules();
  const int64_t time = now();
  auto token = co_await net::blocking([&] {
    return verify_token(text, {.issuer = options_.issuer, .service = options_.service, .keys = &rules->keys}, time);
  });
  if (!token) {
    ++failures_;
    co_return wrong_credentials(token.error().message());
  }
  Identity out{.user = token->subject, .token = std::move(*token)};
  co_return out;
}

Task<Answer<Identity>> Authenticator::identify(Request& request) {
  const std::string_view header = request.headers().get("Authorization");
  if (header.empty()) {
    const net::PeerCertificate* certificate = request.peer().certificate.get();
    if (options_.client_certificates && certificate != nullptr)
      co_return Identity{.user = certificate->common_name, .token = {}};
    co_return Identity{};
  }
  if (auto basic = net::parse_basic(header))
    co_return co_await check_password(request, std::move(basic->user), std::move(basic->password));
  const auto bearer = net::parse_bearer(header);
  if (bearer && (options_.own_tokens || options_.external_tokens()))
    co_return co_await check_token(std::string(*bearer));
  co_return wrong_credentials("this registry does not take such credentials");
}

// --- what they may do

Actions Authenticator::allowed(const Identity& identity, std::string_view repository) const {
  if (!enabled()) return kAllActions;
  const Actions by_policy = rules()->access.allowed(identity.user, repository);
  if (!identity.token) return by_policy;
  Actions granted = 0;
  for (const Grant& each : identity.token->access)
    if (each.type == "repository" && each.name == repository)
      for (const std::string& word : each.actions) granted |= actions_of(word);
  return options_.external_tokens() ? granted : granted & by_policy;
}

bool Authenticator::allowed_by_another_token(const Identity& identity, std::string_view repository,
                                             Action action) const {
  return identity.token && options_.own_tokens && !has(allowed(identity, repository), action) &&
         has(rules()->access.allowed(identity.user, repository), action);
}

bool Authenticator::allows_catalog(const Identity& identity) const {
  if (!enabled()) return true;
  if (!identity.token || !options_.external_tokens()) return false;
  for (const Grant& each : identity.token->access)
    if (each.type == "registry" && each.name == "catalog" && each.allows("*")) return true;
  return false;
}

Answer<> Authenticator::require(const Identity& identity, std::string_view repository, Action action) const {
  if (has(allowed(identity, repository), action)) return {};
  const bool denied = !identity.user.empty() && !options_.external_tokens() &&
                      !has(rules()->access.allowed(identity.user, repository), action);
  if (denied) return refuse(Code::kDenied, "user \"", identity.user, "\" may not ", text_of(action), " ", repository);
  return refuse(Code::kUnauthorized, "to ", text_of(action), " ", repository, " takes a login");
}

std::string Authenticator::own_realm(const Request& request) const {
  if (!options_.token_realm.empty()) return options_.token_realm;
  const bool tls = request.peer().is_tls || request.headers().get("X-Forwarded-Proto") == "https";
  return cat(tls ? "https://" : "http://", request.host(), "/token");
}

std::string Authenticator::challenge(const Request& request, std::string_view scope, bool insufficient) const {
  if (!options_.own_tokens && !options_.external_tokens())
    return net::Challenge{.scheme = "Basic", .token68 = {}, .parameters = {{"realm", options_.realm}}}.text();
  net::Challenge out{
      .scheme = "Bearer", .token68 = {}, .parameters = {{"realm", own_realm(request)}, {"service", options_.service}}};
  if (!scope.empty()) out.parameters.emplace_back("scope", scope);
  if (insufficient) out.parameters.emplace_back("error", scope.empty() ? "invalid_token" : "insufficient_scope");
  return out.text();
}

// --- tokens of our own

Result<std::string> Authenticator::issue(const Identity& identity, const std::string& scope) const {
  Token token{
      .issuer = options_.issuer, .subject = identity.user, .id = TRY(random_hex(16)), .audience = {options_.service}};
  token.issued = now();
  token.not_before = token.issued - 5;
  token.expires = token.issued + options_.token_lifetime.count();
  for (const Grant& wish : parse_scope(scope)) {
    if (wish.type != "repository") continue;
    const Actions may = allowed(identity, wish.name);
    Grant grant{.type = wish.type, .name = wish.name, .actions = {}};
    for (const Action each : {Action::kPull, Action::kPush, Action::kDelete})
      if (has(may, each) && wish.allows(text_of(each))) grant.actions.emplace_back(text_of(each));
    token.access.push_back(std::move(grant));
  }
  const std::string text = TRY(sign(token, *key_));
  const std::string when = format_rfc3339(WallTime(std::chrono::seconds(token.issued)), TimePrecision::kSeconds);
  return json::to_line(boost::json::object{{"token", text},
                                           {"access_token", text},
                                           {"expires_in", options_.token_lifetime.count()},
                                           {"issued_at", when},
                                           {"scope", scope}});
}

// GET with basic credentials or none (Docker), POST with a form (OAuth 2, RFC 6749, 4.3).
Task<Answer<Identity>> Authenticator::token_identity(Request& request, std::string& scope) {
  if (request.method() == "GET") {
    const net::Query query(request.query());
    for (const std::string_view each : query.all("scope")) scope += cat(scope.empty() ? "" : " ", each);
    // A token must not be good for another one: it would never end.
    if (net::parse_bearer(request.headers().get("Authorization")))
      co_return wrong_credentials("a token is had for a user name and password");
    co_return co_await identify(request);
  }
  if (request.method() != "POST") co_return refuse(Code::kUnsupported, "tokens are had by GET or POST");
  const std::string body = CO_TRY(co_await request.read_all(kLongestForm));
  const net::Query form(body);
  for (const std::string_view each : form.all("scope")) scope += cat(scope.empty() ? "" : " ", each);
  if (form.get("grant_type") != "password") co_return refuse(400, Code::kUnsupported, "grant_type: must be password");
  co_return co_await check_password(request, std::string(form.get("username")), std::string(form.get("password")));
}

Task<Answer<>> Authenticator::serve_token(Request& request, Response& response) {
  if (!options_.own_tokens) co_return refuse(404, Code::kUnsupported, "this registry issues no tokens");
  std::string scope;
  Identity identity = CO_TRY(co_await token_identity(request, scope));
  identity.token.reset();
  const std::string body = CO_TRY(co_await net::blocking([&] { return issue(identity, scope); }));
  response.headers.set("Cache-Control", "no-store");
  CO_TRY(co_await response.send(200, "application/json", body));
  co_return Answer<>();
}

}  // namespace proa::oci::registry
