#include "kube/apiserver/audit/audit.h"

#include "base/text.h"
#include "kernel/file.h"
#include "kube/apiserver/access/reviews/reviews.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "net/loop.h"
#include "net/server.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr size_t kMostBytes = 8 << 20;
constexpr net::Duration kPause{5};

std::string micro_time(WallTime time) {
  const int64_t nanos = time.time_since_epoch().count();
  return format_micro_time({.seconds = nanos / 1'000'000'000, .nanos = static_cast<int32_t>(nanos % 1'000'000'000)});
}

// X-Forwarded-For, X-Real-Ip, and who is at the other end: as upstream tells it, all of them.
Value source_addresses(Arena& arena, const net::Request& request) {
  Value out = Value::array(arena);
  const auto add = [&](std::string_view address) {
    if (address.empty()) return;
    for (const Value& there : out.items())
      if (there.as_string() == address) return;
    out.push(arena, Value::text(arena, address));
  };
  for (const std::string_view field : request.headers().all("X-Forwarded-For"))
    for (const std::string_view each : split(field, ',')) add(net::trimmed(each));
  add(net::trimmed(request.headers().get("X-Real-Ip")));
  const auto peer = net::parse_host_port(request.peer().address);
  add(peer ? std::string_view(peer->host) : std::string_view(request.peer().address));
  return out;
}

void strip(Value object) {
  if (Value* metadata = object.find("metadata"); metadata != nullptr) metadata->erase("managedFields");
  if (const Value items = object.get("items"); items.is_array())
    for (const Value& item : items.items()) strip(item);
}

}  // namespace

Result<std::unique_ptr<Auditor>> Auditor::open(const AuditOptions& options) {
  if (options.policy_file.empty()) return nullptr;
  const std::string text = TRY(kernel::read_file(options.policy_file.c_str(), 1u << 20));
  AuditPolicy policy = TRY_CTX(AuditPolicy::parse(text), options.policy_file);
  auto log = TRY_CTX(AuditLog::open(options.log), "audit log");
  return std::make_unique<Auditor>(std::move(policy), std::move(log));
}

std::unique_ptr<AuditTrail> AuditTrail::begin(const Auditor& auditor, const net::Request& request,
                                              const RequestInfo& info, const Identity& identity,
                                              std::string_view audit_id) {
  const User& asks = identity.real ? *identity.real : identity.user;
  const AuditDecision decision = auditor.policy().decide(question_of(asks, info));
  if (decision.level == AuditLevel::kNone) return nullptr;
  std::unique_ptr<AuditTrail> out(new AuditTrail(auditor, decision, request, identity));
  out->audit_id_ = audit_id;
  out->verb_ = info.verb;
  out->is_resource_ = info.is_resource;
  out->group_ = info.group;
  out->version_ = info.version;
  out->resource_ = info.resource;
  out->subresource_ = info.subresource;
  out->ns_ = info.ns;
  out->name_ = info.name;
  out->received_ = Clock::system().wall();
  return out;
}

// One line, without what the policy does not want.
std::string AuditTrail::tidy(std::string json) const {
  while (json.ends_with('\n')) json.pop_back();
  if (!decision_.omit_managed_fields && json.find('\n') == std::string::npos) return json;
  const auto document = read_json(json);
  if (!document) return {};
  if (decision_.omit_managed_fields) strip(document->root);
  return write_json(document->root);
}

std::string AuditTrail::kept(const Value& object) const { return tidy(write_json(object)); }

void AuditTrail::set_request(const Value& object) {
  if (wants_request()) sent_ = kept(object);
}

void AuditTrail::set_response(const Value& object) {
  if (wants_response()) answered_ = kept(object);
}

void AuditTrail::add_response(std::string_view json) {
  if (!wants_response() || too_long_) return;
  too_long_ = answered_.size() + json.size() > kMostBytes;
  if (too_long_)
    answered_.clear();
  else
    answered_.append(json);
}

void AuditTrail::annotate(std::string_view key, std::string_view value) {
  for (const auto& [there, text] : annotations_)
    if (there == key) return;
  annotations_.emplace_back(key, value);
}

std::string AuditTrail::line(AuditStage stage, int code, const ApiError* error) const {
  Arena arena;
  Value out = Value::object(arena, 20);
  const auto put = [&](Value& to, std::string_view key, std::string_view value) {
    if (!value.empty()) to.add(arena, key, Value::text(arena, value));
  };
  put(out, "kind", "Event");
  put(out, "apiVersion", "audit.k8s.io/v1");
  put(out, "level", name_of(decision_.level));
  put(out, "auditID", audit_id_);
  put(out, "stage", name_of(stage));
  put(out, "requestURI", request_.target());
  put(out, "verb", verb_);
  out.add(arena, "user", user_info(arena, identity_.real ? *identity_.real : identity_.user));
  if (identity_.real) out.add(arena, "impersonatedUser", user_info(arena, identity_.user));
  out.add(arena, "sourceIPs", source_addresses(arena, request_));
  put(out, "userAgent", request_.headers().get("User-Agent"));
  if (is_resource_) {
    Value& reference = out.child(arena, "objectRef");
    put(reference, "resource", resource_);
    put(reference, "namespace", ns_);
    put(reference, "name", name_);
    put(reference, "apiGroup", group_);
    put(reference, "apiVersion", version_);
    put(reference, "subresource", subresource_);
  }
  if (code != 0) {
    Value status = error != nullptr ? error->status(arena) : Value::object(arena);
    Value& response = out.child(arena, "responseStatus");
    response.add(arena, "metadata", Value::object(arena));
    for (const std::string_view field : {"status", "message", "reason", "details"})
      if (const Value value = status.get(field); !value.is_null()) response.add(arena, field, value);
    response.add(arena, "code", Value::integer(code));
  }
  std::string text = write_json(out);
  text.pop_back();
  if (wants_request() && !sent_.empty()) text += cat(",\"requestObject\":", sent_);
  const bool answered = stage == AuditStage::kResponseComplete && wants_response() && answered_.starts_with('{');
  if (answered) text += cat(",\"responseObject\":", answered_);
  Value tail = Value::object(arena, 3);
  put(tail, "requestReceivedTimestamp", micro_time(received_));
  put(tail, "stageTimestamp", micro_time(Clock::system().wall()));
  if (!annotations_.empty()) {
    Value& annotations = tail.child(arena, "annotations");
    for (const auto& [key, value] : annotations_)
      annotations.add(arena, Value::text(arena, key).as_string(), Value::text(arena, value));
  }
  return cat(text, ",", write_json(tail).substr(1));
}

net::Task<> AuditTrail::tell(AuditStage stage, int code, const ApiError* error) {
  if (decision_.omits(stage)) co_return;
  if (stage == AuditStage::kResponseComplete) answered_ = tidy(std::move(answered_));
  auditor_.log().add(line(stage, code, error));
  while (auditor_.log().full()) co_await net::sleep(kPause);
}

}  // namespace proa::kube::api
