#include "oci/registry/call.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "net/conditional.h"
#include "oci/image/types.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {

using net::Request;
using net::Response;
using net::Task;

namespace {

constexpr uint64_t kLongestPage = 10'000;

void log_access(const Request& request, const Response& response, const Call& call, double seconds) {
  const auto milliseconds = static_cast<uint64_t>(seconds * 1000);
  log::info(request.peer().address, " ", call.user().empty() ? "-" : call.user(), " \"", request.method(), " ",
            request.target(), "\" ", response.status, " ", call.sent(), " ", milliseconds, "ms \"",
            request.headers().get("User-Agent"), "\"");
}

}  // namespace

Api::Api(Repositories repositories, Authenticator& authenticator, Metrics& metrics, ApiOptions options)
    : repositories_(std::move(repositories)),
      uploads_(repositories_),
      authenticator_(authenticator),
      metrics_(metrics),
      options_(options) {}

Task<Result<>> Api::handle(Request& request, Response& response) {
  const auto begin = net::Clock::now();
  ++metrics_.in_flight;
  Call call(*this, request, response);
  const Answer<> outcome = co_await call.run();
  Result<> result;
  if (!outcome && response.begun())
    result = fail(outcome.error().message);  // the connection is cut: the part must not be taken for the whole
  else if (!outcome)
    result = co_await call.refuse_with(outcome.error());
  --metrics_.in_flight;
  const double seconds = std::chrono::duration<double>(net::Clock::now() - begin).count();
  metrics_.count_request(call.place(), request.method(), response.status, seconds);
  metrics_.sent_bytes += call.sent();
  const bool own = call.place() == Place::kHealth || call.place() == Place::kMetrics;
  if (options_.access_log && !own && log::enabled(log::Level::kInfo)) log_access(request, response, call, seconds);
  co_return result;
}

Call::Call(Api& api, Request& request, Response& response)
    : api_(api), request_(request), response_(response), route_(route_of(request.path())), query_(request.query()) {}

Call::Reply Call::run() {
  if (route_.place == Place::kHealth) co_return co_await serve_health();
  const size_t limit = api_.options_.max_requests;
  if (limit != 0 && api_.metrics_.in_flight > limit) {
    ++api_.metrics_.refused_busy;
    co_return refuse(Code::kTooManyRequests, "the registry is busy with ", limit, " requests");
  }
  response_.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  if (route_.place == Place::kToken) co_return co_await api_.authenticator_.serve_token(request_, response_);
  if (!repository().empty() && !valid_repository(repository()))
    co_return refuse(Code::kNameInvalid, "\"", repository(), "\" is no repository name");
  if (!repository().empty())
    scope_ = scope_of(repository(), is_get() ? Action::kPull : is("DELETE") ? Action::kDelete : Action::kPush);
  identity_ = CO_TRY(co_await api_.authenticator_.identify(request_));
  CO_TRY(authorize());
  co_return co_await dispatch();
}

Answer<> Call::authorize() {
  Authenticator& auth = api_.authenticator_;
  if (!auth.enabled()) return {};
  if (!repository().empty()) {
    // An upload may be given up by who may push.
    const bool cancels = route_.place == Place::kUpload && !is_get();
    const Action action = is_get() && route_.place != Place::kUpload ? Action::kPull
                          : is("DELETE") && !cancels                 ? Action::kDelete
                                                                     : Action::kPush;
    scope_ = scope_of(repository(), action);
    return auth.require(identity_, repository(), action);
  }
  // The catalog shows what each may see; the base tells clients to log in.
  if (route_.place == Place::kCatalog && !identity_.user.empty()) scope_ = "registry:catalog:*";
  const bool closed = route_.place == Place::kBase || route_.place == Place::kMetrics;
  if (closed && identity_.user.empty() && !identity_.token)
    return refuse(Code::kUnauthorized, "this registry takes a login");
  return {};
}

Call::Reply Call::dispatch() {
  switch (route_.place) {
    case Place::kBase:
      if (!is_get()) return not_for("GET");
      return send_json("{}");
    case Place::kCatalog: return is_get() ? list_catalog() : not_for("GET");
    case Place::kTags: return is_get() ? list_tags() : not_for("GET");
    case Place::kReferrers: return is_get() ? list_referrers() : not_for("GET");
    case Place::kManifest:
      return is_get()       ? get_manifest()
             : is("PUT")    ? put_manifest()
             : is("DELETE") ? delete_manifest()
                            : not_for("GET, HEAD, PUT, DELETE");
    case Place::kBlob: return is_get() ? get_blob() : is("DELETE") ? delete_blob() : not_for("GET, HEAD, DELETE");
    case Place::kUploads: return is("POST") ? post_upload() : not_for("POST");
    case Place::kUpload: return use_upload();
    case Place::kMetrics: return serve_metrics();
    default: return unknown(Code::kUnsupported, cat("there is nothing at ", request_.path()));
  }
}

Call::Reply Call::not_for(std::string_view allowed) {
  response_.headers.set("Allow", allowed);
  co_return refuse(Code::kUnsupported, "method ", request_.method(), " has no use here");
}

Call::Reply Call::unknown(Code code, std::string what) {
  if (code == Code::kUnsupported) co_return refuse(404, code, what);
  const bool known = CO_TRY(co_await net::blocking([&] { return repositories().exists(repository()); }));
  if (!known) co_return refuse(Code::kNameUnknown, "there is no repository ", repository());
  co_return refuse(code, what);
}

Call::Reply Call::serve_health() {
  response_.headers.set("Cache-Control", "no-store");
  CO_TRY(co_await response_.send(200, "text/plain; charset=utf-8", "ok\n"));
  co_return Answer<>();
}

Call::Reply Call::serve_metrics() {
  if (!api_.options_.metrics) co_return refuse(404, Code::kUnsupported, "metrics are served at another address");
  api_.metrics_.auth_failures = api_.authenticator_.failures();
  CO_TRY(co_await response_.send(200, "text/plain; version=0.0.4; charset=utf-8", api_.metrics_.text()));
  co_return Answer<>();
}

Call::Reply Call::send_json(std::string body) {
  CO_TRY(co_await response_.send(200, "application/json", body));
  co_return Answer<>();
}

Task<Result<>> Call::refuse_with(const Refusal& refusal) {
  if (refusal.code == Code::kUnknown && refusal.status != 502)
    log::error(request_.method(), " ", request_.path(), ": ", refusal.message);
  if (refusal.status == 401) {
    const bool insufficient =
        identity_.token.has_value() || request_.headers().get("Authorization").starts_with("Bearer ");
    response_.headers.set("WWW-Authenticate", api_.authenticator_.challenge(request_, scope_, insufficient));
  }
  if (refusal.status == 429) response_.headers.set("Retry-After", "1");
  for (const char* name : {"ETag", "Docker-Content-Digest", "Content-Length", "Accept-Ranges"})
    response_.headers.remove(name);
  const std::string body = refusal.body();
  co_return co_await response_.send(refusal.status, "application/json", body);
}

// --- for all kinds

bool Call::mirrored() const { return api_.mirror_ != nullptr && api_.mirror_->has(repository()); }

Answer<> Call::may_write() const {
  if (mirrored()) return refuse(Code::kUnsupported, "repository ", repository(), " mirrors another registry's");
  if (api_.options_.read_only) return refuse(Code::kUnsupported, "this registry is read-only");
  return {};
}

Answer<> Call::may_delete() const {
  if (api_.options_.read_only || !api_.options_.deletes)
    return refuse(Code::kUnsupported, "this registry does not let content be deleted");
  return {};
}

Answer<image::Digest> Call::digest_of(std::string_view text) const {
  auto digest = image::Digest::parse(text);
  if (!digest) return refuse(Code::kDigestInvalid, digest.error().message());
  return std::move(*digest);
}

bool Call::describe(const image::Digest& digest) {
  const std::string tag = cat("\"", digest.text(), "\"");
  response_.headers.set("Docker-Content-Digest", digest.text());
  response_.headers.set("ETag", tag);
  response_.headers.set("X-Content-Type-Options", "nosniff");
  const auto list = request_.headers().find("If-None-Match");
  if (!list || !net::etag_listed(*list, tag)) return false;
  response_.status = 304;
  return true;
}

Answer<std::optional<uint64_t>> Call::page_size() const {
  const auto text = query_.find("n");
  if (!text) return std::nullopt;
  const auto number = parse_number<uint64_t>(*text);
  if (!number) return refuse(400, Code::kUnsupported, "n: \"", *text, "\" is not a number of entries");
  return std::min(*number, kLongestPage);
}

void Call::link_to_next(const std::string& path, uint64_t n, const std::string& last) {
  net::Query next;
  next.add("last", last);
  next.add("n", cat(n));
  for (const auto& [name, value] : query_.parameters())
    if (name != "last" && name != "n") next.add(name, value);
  response_.headers.set("Link", cat("<", path, "?", next.text(), ">; rel=\"next\""));
}

}  // namespace proa::oci::registry
