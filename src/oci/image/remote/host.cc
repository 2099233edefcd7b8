#include "oci/image/remote/host.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "oci/image/remote/api_error.h"

namespace proa::oci::image::remote {

using net::ClientResponse;
using net::Task;

namespace {

constexpr size_t kLongestError = 64u << 10;
constexpr int kMostRedirects = 10;

bool says_http(const Error& error) {
  for (const char* sign : {"does not speak TLS", "wrong version number", "http request", "packet length too long"})
    if (error.message().find(sign) != std::string::npos) return true;
  return false;
}

// In place of ours of the same name.
void add_headers(const HostSettings& settings, net::Headers& to) {
  for (const auto& [name, value] : settings.headers) to.remove(name);
  for (const auto& [name, value] : settings.headers) to.add(name, value);
}

}  // namespace

std::vector<std::string> Scope::texts() const {
  std::vector<std::string> out;
  if (!repository.empty()) out.push_back(cat("repository:", repository, ":", actions));
  if (!from.empty()) out.push_back(cat("repository:", from, ":pull"));
  return out;
}

Task<Turns::Held> Turns::enter() {
  while (busy_) {
    net::Event turn;
    waiting_.push_back(&turn);
    co_await turn.wait();
  }
  busy_ = true;
  co_return Held(*this);
}

void Turns::leave() {
  busy_ = false;
  if (waiting_.empty()) return;
  net::Event* const next = waiting_.front();
  waiting_.pop_front();
  next->notify();
}

Task<std::string> rest_of(ClientResponse& response) {
  auto text = co_await response.read_all(kLongestError);
  co_return text ? std::move(*text) : std::string();
}

Task<Error> error_of(ClientResponse& response, const Endpoint& endpoint) {
  const std::string type(response.headers.get("Content-Type"));
  const int status = response.status;
  const std::string text = co_await rest_of(response);
  Error error = api_error(status, type, text);
  if (error.code() == EACCES) co_return std::move(error).hint(cat("log in with 'proa login ", endpoint.domain, "'"));
  if (status == 429) co_return std::move(error).hint("the registry limits how much one may ask of it; log in, or wait");
  co_return error;
}

Error explain(Error error, const Endpoint& endpoint) {
  const std::string host = endpoint.mirror ? endpoint.base.authority() : endpoint.domain;
  if (says_http(error))
    return std::move(error).hint(cat("the server seems to speak plain HTTP: to allow that, set 'insecure: true' for ",
                                     host, " in ", registries_file()));
  if (error.message().find("certificate") != std::string::npos)
    return std::move(error).hint(cat("put the authority that signed it into /etc/docker/certs.d/", host,
                                     "/ca.crt, or set 'insecure: true' for it in ", registries_file()));
  return error;
}

std::optional<net::Duration> retry_after(const net::Headers& headers) {
  const auto seconds = parse_number<uint32_t>(net::trimmed(headers.get("Retry-After")));
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

Host::Host(Remote::State& remote, Endpoint endpoint, net::Client& client, std::optional<Credential> credential)
    : remote_(remote),
      endpoint_(std::move(endpoint)),
      client_(client),
      given_(std::move(credential)),
      base_(endpoint_.base),
      scheme_known_(!endpoint_.open_scheme) {}

net::Url Host::url(std::string_view repository, std::string_view rest) const {
  net::Url out = endpoint_.base;
  out.path += cat("/", repository, repository.empty() ? "" : "/", rest);
  // As containerd tells mirrors of several registries which is meant.
  if (endpoint_.foreign) out.query = cat("ns=", net::percent_encode(endpoint_.domain));
  return out;
}

Task<Result<ClientResponse>> Host::call(Call call) {
  net::Loop* const home = net::Loop::current();
  co_await client_.loop().enter();
  auto answer = co_await perform(call);
  if (home != nullptr) co_await home->enter();
  if (!answer) co_return std::unexpected(explain(std::move(answer).error(), endpoint_));
  co_return answer;
}

Task<Result<ClientResponse>> Host::perform(Call& call) {
  CO_TRY(co_await find_scheme());
  if (call.url.origin() == endpoint_.base.origin()) {
    // It was made before the scheme was known.
    call.url.scheme = base_.scheme;
    call.url.port = base_.port;
  }
  const RetryPolicy& policy = remote_.options.retries;
  net::Duration delay = policy.first_delay;
  for (int attempt = 1;; ++attempt) {
    auto answer = co_await authorized(call);
    const bool again = answer ? worth_repeating(answer->status) : worth_repeating(answer.error());
    if (!again || !call.repeatable || attempt >= policy.attempts) co_return answer;
    const auto wanted = answer ? retry_after(answer->headers) : std::nullopt;
    if (wanted && *wanted > policy.longest_wait) co_return answer;
    log::debug(call.method, " ", call.url.origin(), call.url.path, ": ",
               answer ? cat("status ", answer->status) : answer.error().message(), "; once more");
    if (answer) static_cast<void>(co_await rest_of(*answer));
    CO_TRY(co_await remote_.pause(wanted.value_or(delay)));
    delay = std::min(delay * 2, policy.longest_delay);
  }
}

Task<Result<ClientResponse>> Host::authorized(Call& call) {
  bool fresh = false;
  for (;;) {
    const std::string authorization = CO_TRY(co_await this->authorization(call.scope));
    bool own = true;
    auto answer = co_await follow(call, authorization, own);
    if (!answer || answer->status != 401 || !own || fresh) co_return answer;
    const net::Headers headers = answer->headers;
    const bool again = CO_TRY(co_await take_challenge(headers, call.scope, authorization));
    if (!again) co_return answer;
    static_cast<void>(co_await rest_of(*answer));
    fresh = true;
  }
}

Task<Result<ClientResponse>> Host::follow(const Call& call, const std::string& authorization, bool& own) {
  net::Url url = call.url;
  net::Client* client = &client_;
  for (int hops = 0;; ++hops) {
    own = url.origin() == base_.origin();
    if (!own) client = CO_TRY(remote_.client(url.authority()));
    net::ClientRequest request{.method = call.method, .url = url, .headers = call.headers, .body = call.body};
    if (call.upload) {
      request.source = call.upload->source();
      request.content_length = call.upload->size;
    }
    if (own && endpoint_.own != nullptr) add_headers(*endpoint_.own, request.headers);
    if (own && !authorization.empty()) request.headers.set("Authorization", authorization);
    ClientResponse answer = CO_TRY(co_await (own ? client_ : *client).send(std::move(request)));
    if (call.method != "GET" && call.method != "HEAD") co_return answer;
    auto redirect = CO_TRY(net::redirect_target(url, answer.status, answer.headers));
    if (!redirect) co_return answer;
    if (hops == kMostRedirects) co_return fail_errno(EPROTO, "more than ", kMostRedirects, " redirects");
    static_cast<void>(co_await rest_of(answer));
    url = std::move(redirect->url);
    url.user.clear();
    url.password.clear();
  }
}

// --- which scheme -----------------------------------------------------------------------------------------------

// Whether a registry answers there.
Task<Result<bool>> Host::answers(std::string scheme, int& status) {
  net::Url url = endpoint_.base;
  const bool own_port = url.port != net::Url::parse(cat(url.scheme, "://host")).value().port;
  if (!own_port) url.port = net::Url::parse(cat(scheme, "://host")).value().port;
  url.scheme = scheme;
  url.path += "/";
  ClientResponse answer = CO_TRY(co_await client_.send({.url = url}));
  status = answer.status;
  static_cast<void>(co_await rest_of(answer));
  // A TLS server that is spoken to in plain text says 400, or sends the client to its other self.
  const bool good = status == 200 || status == 401 || status == 403 || status == 404 || status == 429 || status >= 500;
  if (good) {
    base_.scheme = url.scheme;
    base_.port = url.port;
  }
  co_return good;
}

// Within the machine plain HTTP is the usual thing, elsewhere TLS comes first: credentials are not to be sent in the
// clear where they need not.
Task<Result<>> Host::find_scheme() {
  if (scheme_known_) co_return Result<>();
  const auto turn = co_await turns_.enter();
  if (scheme_known_) co_return Result<>();
  int status = 0;
  const char* const first = endpoint_.loopback ? "http" : "https";
  const char* const second = endpoint_.loopback ? "https" : "http";
  auto found = co_await answers(first, status);
  if (!found || !*found) {
    auto other = co_await answers(second, status);
    // What was tried first is what is meant, unless something there answered.
    if (!found && (!other || !*other)) co_return std::unexpected(std::move(found).error());
    if (!other) co_return std::unexpected(std::move(other).error());
    if (!*other) co_return fail_errno(EPROTO, "GET /v2/: status ", status, ": this is no registry");
  }
  scheme_known_ = true;
  co_return Result<>();
}

}  // namespace proa::oci::image::remote
