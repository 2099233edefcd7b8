#include "kube/apiserver/serve/api.h"

#include "base/ids.h"
#include "base/log.h"
#include "kube/apiserver/serve/documents.h"
#include "kube/apiserver/serve/health.h"
#include "kube/apiserver/serve/metrics.h"
#include "kube/apiserver/serve/resource_calls.h"
#include "kube/apiserver/serve/version.h"
#include "kube/apiserver/serve/writer.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

// Counts a request among those that run, for as long as it does.
class Running {
 public:
  Running(std::atomic<int64_t>& counter, int64_t limit) : counter_(counter), fits_(counter.fetch_add(1) < limit) {}
  ~Running() { counter_.fetch_sub(1); }
  Running(const Running&) = delete;
  bool fits() const { return fits_; }

 private:
  std::atomic<int64_t>& counter_;
  const bool fits_;
};

constexpr int64_t kUnlimited = INT64_MAX;

bool reads(const RequestInfo& info) {
  return info.verb == "get" || info.verb == "list" || info.verb == "watch" || info.verb == "head";
}

constexpr std::string_view kPaths[] = {"/.well-known/openid-configuration",
                                       "/api",
                                       "/api/v1",
                                       "/apis",
                                       "/healthz",
                                       "/healthz/etcd",
                                       "/healthz/ping",
                                       "/livez",
                                       "/livez/etcd",
                                       "/livez/ping",
                                       "/metrics",
                                       "/openapi/v2",
                                       "/openapi/v3",
                                       "/openid/v1/jwks",
                                       "/readyz",
                                       "/readyz/etcd",
                                       "/readyz/ping",
                                       "/version"};

std::string root_paths() {
  std::string out = R"({"paths":[)";
  for (const std::string_view path : kPaths) out += cat(out.ends_with('[') ? "\"" : ",\"", path, "\"");
  return out + "]}";
}

}  // namespace

Answer<> Api::identify(Call& call) const {
  User user = TRY(service_.authenticator.authenticate(call.request));
  call.identity = TRY(impersonate(std::move(user), call.request, service_.authorizer));
  return {};
}

Answer<> Api::authorize(const Call& call) const {
  AccessQuestion question = question_of(call.identity.user, call.info);
  // Nodes may list by selector what they may not list as a whole.
  const std::string_view text = call.request.query();
  net::Query query;
  if (call.info.is_resource && text.find("Selector=") != std::string_view::npos) {
    query = net::Query(text);
    question.field_selector = query.get("fieldSelector");
    question.label_selector = query.get("labelSelector");
  }
  const Verdict verdict = service_.authorizer.authorize(question);
  if (call.audit) {
    call.audit->annotate("authorization.k8s.io/decision", verdict.allowed() ? "allow" : "forbid");
    call.audit->annotate("authorization.k8s.io/reason", verdict.reason);
  }
  if (verdict.decision == Decision::kAllow) return {};
  return refuse(access_refused(question, verdict.reason));
}

bool Api::find_resource(Call& call) const {
  const RequestInfo& info = call.info;
  const Resource* found = call.catalog->find(info.group, info.version, info.resource);
  if (found == nullptr) return false;
  if (!info.subresource.empty()) {
    call.part = found->view.find_subresource(info.subresource);
    if (!call.part) return false;
  }
  if (found->namespaced() ? info.ns.empty() && info.verb != "list" && info.verb != "watch"
                          : !info.ns.empty() && info.resource != "namespaces")
    return false;
  call.resource = found;
  if (const std::string_view words = found->view.deprecation(); !words.empty()) call.warnings.emplace_back(words);
  return true;
}

// What others verify tokens of service accounts by.
Served Api::serve_issuer(Call& call) const {
  const bool keys = call.info.path == kKeysPath;
  call.response.headers.set("Cache-Control", kIssuerCacheControl);
  BodyWriter body(call, 200, keys ? kKeysType : "application/json");
  body.out() = keys ? service_.issuer.keys : service_.issuer.configuration;
  co_return co_await body.finish();
}

Served Api::serve_path(Call& call) const {
  const std::string& path = call.info.path;
  if (call.request.method() != "GET" && call.request.method() != "HEAD") {
    if (Documents::has(path) || Health::has(path) || path == "/version" || path == "/metrics")
      co_return refuse(method_not_supported(path, call.info.verb));
    co_return co_await send_text(call, 404, "404 page not found\n");
  }
  if (Documents::has(path)) co_return co_await service_.documents.serve(call);
  if (Health::has(path)) co_return co_await service_.health.serve(call);
  if (path == "/version" || path == "/version/") co_return co_await send_json(call, 200, version_document());
  if (path == "/metrics") {
    BodyWriter body(call, 200, "text/plain; version=0.0.4; charset=utf-8");
    body.out() = service_.metrics.text();
    co_return co_await body.finish();
  }
  if (path == kConfigurationPath || path == kKeysPath) co_return co_await serve_issuer(call);
  if (path == "/" || path.empty()) co_return co_await send_json(call, 200, root_paths());
  co_return co_await send_text(call, 404, "404 page not found\n");
}

Served Api::dispatch(Call& call) const {
  if (!call.info.is_resource) co_return co_await serve_path(call);
  if (!find_resource(call)) {
    // Upstream has two servers here: one for built-in groups, one for those of definitions.
    if (!builtin().find(call.info.group, call.info.version))
      co_return co_await send_text(call, 404, "404 page not found\n");
    ApiError missing = bad_request("the server could not find the requested resource");
    missing.code = 404;
    missing.reason = "NotFound";
    co_return refuse(std::move(missing));
  }
  co_return co_await serve_resource(call);
}

// Of a request that was let in; of others only that they were not.
net::Task<> Api::begin_audit(Call& call, bool known) const {
  if (service_.auditor == nullptr) co_return;
  call.audit = AuditTrail::begin(*service_.auditor, call.request, call.info, call.identity, call.audit_id);
  if (call.audit && known) co_await call.audit->tell(AuditStage::kRequestReceived, 0);
}

Served Api::serve(Call& call) const {
  const auto identified = identify(call);
  co_await begin_audit(call, identified.has_value());
  if (!identified) co_return refuse(identified.error());
  const bool watches = call.info.is_resource && call.info.verb == "watch";
  const bool reading = reads(call.info);
  const bool counted = !call.identity.user.in(kMastersGroup) && !watches && !Health::has(call.info.path);
  Metrics& metrics = service_.metrics;
  const Running running(watches   ? metrics.watching
                        : reading ? metrics.reading
                                  : metrics.writing,
                        !counted  ? kUnlimited
                        : reading ? limits_.reading
                                  : limits_.writing);
  if (!running.fits()) {
    metrics.dropped.fetch_add(1);
    call.response.headers.set("Retry-After", "1");
    co_return co_await send_text(call, 429, "Too many requests, please try again later.\n");
  }
  CO_TRY(authorize(call));
  co_return co_await dispatch(call);
}

net::Task<Result<>> Api::handle(net::Request& request, net::Response& response) const {
  const auto began = net::Clock::now();
  Call call(service_, request, response);
  call.info = parse_request(request.method(), request.target());
  call.catalog = service_.catalog.view();
  const std::string_view given = request.headers().get("Audit-ID");
  call.audit_id = given.empty() || given.size() > 64 ? random_uuid().value_or("") : std::string(given);
  response.headers.set("Audit-Id", call.audit_id);
  response.headers.set("Cache-Control", "no-cache, private");
  Answer<> answered = co_await serve(call);
  const bool refused = !answered && answered.error().code != kConnectionLost;
  const ApiError error = refused ? answered.error() : ApiError();
  if (refused && !response.begun()) answered = co_await send_error(call, error);
  if (call.audit) co_await call.audit->tell(AuditStage::kResponseComplete, response.status, refused ? &error : nullptr);
  service_.metrics.ended(call, response.status, net::Clock::now() - began);
  if (answered) co_return Result<>();
  co_return fail(answered.error().message);
}

}  // namespace proa::kube::api
