// Challenges and their answers (RFC 9110, 11; RFC 6750; the Docker registry token protocol).
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "oci/image/json_fields.h"
#include "oci/image/remote/api_error.h"
#include "oci/image/remote/host.h"

namespace proa::oci::image::remote {

using net::ClientResponse;
using net::Task;

namespace {

constexpr size_t kLargestToken = 256u << 10;
constexpr int64_t kUsualLife = 60;  // seconds, where the service says nothing
constexpr std::chrono::seconds kMargin(5);
constexpr std::string_view kClientId = "proa";

std::string key_of(const Scope& scope) {
  std::string out;
  for (const std::string& each : scope.texts()) out += each + " ";
  return out;
}

void add_missing(std::vector<std::string>& to, std::string_view texts) {
  for (const std::string_view each : split(texts, ' '))
    if (std::ranges::find(to, each) == to.end()) to.emplace_back(each);
}

}  // namespace

Task<Result<Credential>> Host::credential(std::string repository) {
  if (given_) co_return *given_;
  if (const auto known = credentials_.find(repository); known != credentials_.end()) co_return known->second;
  const std::string domain = endpoint_.mirror ? endpoint_.base.authority() : endpoint_.domain;
  // Files and helpers block.
  auto found = co_await net::blocking([&] { return remote_.credentials.find(domain, repository); });
  if (!found) co_return std::unexpected(std::move(found).error().with_context(cat("credentials of ", domain)));
  co_return credentials_.emplace(repository, std::move(*found)).first->second;
}

Task<Result<std::string>> Host::authorization(const Scope& scope) {
  if (!basic_ && !bearer_) co_return std::string();
  const Credential own = CO_TRY(co_await credential(scope.repository));
  if (!own.registry_token.empty()) co_return cat("Bearer ", own.registry_token);
  if (bearer_) co_return cat("Bearer ", CO_TRY(co_await token(*bearer_, scope)));
  if (own.password.empty()) co_return std::string();
  co_return net::basic_authorization(own.user, own.password);
}

Task<Result<bool>> Host::take_challenge(const net::Headers& headers, const Scope& scope, const std::string& used) {
  const auto all = net::challenges(headers);
  const auto offered = [&](std::string_view scheme) { return std::ranges::find(all, scheme, &net::Challenge::scheme); };
  if (const auto bearer = offered("bearer"); bearer != all.end()) {
    const std::string_view realm = bearer->get("realm");
    Bearer next{.realm = CO_TRY_CTX(net::Url::parse(realm), "token service named by ", endpoint_.text()),
                .service = std::string(bearer->get("service"))};
    if (next.realm.scheme != "http" && next.realm.scheme != "https")
      co_return fail_errno(EPROTO, "token service of ", endpoint_.text(), ": neither http nor https");
    bearer_ = std::move(next);
    auto& scopes = scopes_[key_of(scope)];
    for (const std::string& each : scope.texts()) add_missing(scopes, each);
    add_missing(scopes, bearer->get("scope"));
    // A token that was refused is not shown again, unless another request has got a new one meanwhile.
    const auto cached = tokens_.find(key_of(scope));
    if (cached != tokens_.end() && used == cat("Bearer ", cached->second.text)) tokens_.erase(cached);
    co_return true;
  }
  if (offered("basic") == all.end()) co_return false;
  basic_ = true;
  // Another request may have learnt of it while this one was under way.
  const std::string next = CO_TRY(co_await authorization(scope));
  co_return !next.empty() && next != used;
}

Task<Result<std::string>> Host::token(Bearer bearer, Scope scope) {
  const std::string key = key_of(scope);
  const auto cached = [&]() -> const Token* {
    const auto found = tokens_.find(key);
    return found != tokens_.end() && found->second.until > net::Clock::now() ? &found->second : nullptr;
  };
  if (const Token* found = cached()) co_return found->text;
  // One asks, the others find what it got.
  const auto turn = co_await turns_.enter();
  if (const Token* found = cached()) co_return found->text;
  const Credential own = CO_TRY(co_await credential(scope.repository));
  auto scopes = scopes_.find(key);
  auto fetched = co_await fetch_token(bearer, scopes == scopes_.end() ? scope.texts() : scopes->second, own);
  if (!fetched)
    co_return std::unexpected(std::move(fetched).error().with_context(cat("get a token from ", bearer.realm.origin())));
  tokens_[key] = *fetched;
  co_return fetched->text;
}

Task<Result<Host::Token>> Host::fetch_token(const Bearer& bearer, const std::vector<std::string>& scopes,
                                            const Credential& own) {
  net::ClientRequest request{.url = bearer.realm};
  net::Query query(bearer.realm.query);
  const bool by_identity = !own.identity_token.empty();
  if (!own.empty() && base_.is_tls() && !bearer.realm.is_tls())
    co_return fail_errno(EPROTO, "is not protected by TLS as the registry is; no credentials are sent there");
  if (by_identity) {  // OAuth 2 (RFC 6749, section 6)
    net::Query form;
    form.add("grant_type", "refresh_token");
    form.add("service", bearer.service);
    form.add("client_id", kClientId);
    std::string joined;
    for (const std::string& each : scopes) joined += (joined.empty() ? "" : " ") + each;
    if (!joined.empty()) form.add("scope", joined);
    form.add("refresh_token", own.identity_token);
    request.method = "POST";
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    request.body = form.text();
  } else {
    if (!bearer.service.empty()) query.add("service", bearer.service);
    for (const std::string& each : scopes) query.add("scope", each);
    if (!own.password.empty()) {
      query.add("account", own.user);
      request.headers.set("Authorization", net::basic_authorization(own.user, own.password));
    }
    if (want_identity_token_) {
      query.add("client_id", kClientId);
      query.add("offline_token", "true");
    }
    request.url.query = query.text();
  }
  net::Client* client = CO_TRY(remote_.client(bearer.realm.authority()));
  if (bearer.realm.origin() == base_.origin()) client = &client_;
  ClientResponse answer = CO_TRY(co_await client->send(std::move(request)));
  if (answer.status != 200) {
    Error error = co_await error_of(answer, endpoint_);
    co_return std::unexpected(std::move(error));
  }
  const std::string text = CO_TRY(co_await answer.read_all(kLargestToken));
  co_return read_token(text);
}

Result<Host::Token> Host::read_token(std::string_view text) {
  const auto document = json::parse(text, {.max_bytes = kLargestToken, .max_depth = 16});
  if (!document) return fail_errno(EPROTO, "its answer is no JSON");
  const Fields in = TRY(Fields::of(*document, ""));
  Token out{.text = TRY(in.text("token")), .until = {}};
  if (out.text.empty()) out.text = TRY(in.text("access_token"));
  if (out.text.empty() || !net::is_field_value(out.text)) return fail_errno(EPROTO, "its answer has no token");
  const int64_t life = TRY(in.integer("expires_in"));
  out.until = net::Clock::now() + std::chrono::seconds(std::clamp<int64_t>(life <= 0 ? kUsualLife : life, 10, 86'400)) -
              kMargin;
  if (std::string identity = TRY(in.text("refresh_token")); !identity.empty()) identity_token_ = std::move(identity);
  return out;
}

}  // namespace proa::oci::image::remote
