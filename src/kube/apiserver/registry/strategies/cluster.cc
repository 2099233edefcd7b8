// Namespaces, accounts, certificate requests, quotas and service CIDRs.
#include <algorithm>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/quota/usage.h"
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kNamespaceFinalizer = "kubernetes";

}  // namespace

// --- namespaces

void prepare_namespace(Admission& w) {
  if (creates(w)) {
    Value& finalizers = list_in(w.arena, w.object.child(w.arena, "spec"), "finalizers");
    if (std::ranges::none_of(finalizers.items(),
                             [](const Value& known) { return known.as_string() == kNamespaceFinalizer; }))
      finalizers.push(w.arena, Value::view(kNamespaceFinalizer));
    Value status = Value::object(w.arena, 1);
    status.add(w.arena, "phase", Value::view("Active"));
    w.object.set(w.arena, "status", status);
    return;
  }
  if (w.subresource == "finalize") return keep_all_but(w, {{"spec", "finalizers"}});
  if (w.subresource.empty()) {
    // Only the finalize subresource takes finalizers away.
    if (const Value* spec = w.old_object.find("spec")) w.object.set(w.arena, "spec", *spec);
  }
}

bool namespace_keeps(const Value& space) { return space.get({"spec", "finalizers"}).size() > 0; }

void namespace_deleting(Admission& w) {
  w.object.child(w.arena, "status").set(w.arena, "phase", Value::view("Terminating"));
}

// --- accounts

void prepare_service_account(Admission& w) {
  // Of the secrets an account names only the names are kept.
  Value* secrets = w.object.find("secrets");
  if (secrets == nullptr) return;
  for (Value& secret : secrets->items()) {
    Value name = Value::object(w.arena, 1);
    name.add(w.arena, "name", secret.get("name"));
    secret = name;
  }
}

// --- certificate signing requests

namespace {

bool decides(const Value& condition) {
  const std::string_view type = condition.string("type");
  return type == "Approved" || type == "Denied";
}

void set_requester(Admission& w) {
  Value& spec = w.object.child(w.arena, "spec");
  const auto text = [&](std::string_view field, const std::string& value) {
    if (value.empty())
      spec.erase(field);
    else
      spec.set(w.arena, field, Value::text(w.arena, value));
  };
  const auto list = [&](const std::vector<std::string>& values) {
    Value out = Value::array(w.arena, values.size());
    for (const std::string& value : values) out.push(w.arena, Value::text(w.arena, value));
    return out;
  };
  text("username", w.user.name);
  text("uid", w.user.uid);
  spec.erase("groups");
  spec.erase("extra");
  if (!w.user.groups.empty()) spec.set(w.arena, "groups", list(w.user.groups));
  if (w.user.extra.empty()) return;
  Value& extra = spec.child(w.arena, "extra");
  for (const auto& [key, values] : w.user.extra) extra.add(w.arena, w.arena.copy(key), list(values));
}

// Conditions get the times they do not have.
void stamp_conditions(Admission& w, Value& conditions) {
  const std::string_view now = w.arena.copy(format_time(w.now));
  const std::span<Value> before = w.old_object.get({"status", "conditions"}).items();
  for (Value& condition : conditions.items()) {
    if (condition.get("lastUpdateTime").is_null()) condition.set(w.arena, "lastUpdateTime", Value::view(now));
    if (!condition.get("lastTransitionTime").is_null()) continue;
    const auto known = std::ranges::find_if(
        before, [&](const Value& other) { return other.string("type") == condition.string("type"); });
    const bool same = known != before.end() && known->string("status") == condition.string("status") &&
                      !known->get("lastTransitionTime").is_null();
    condition.set(w.arena, "lastTransitionTime", same ? known->get("lastTransitionTime") : Value::view(now));
  }
}

// A certificate's issuer cannot approve or deny, nor take back either.
void keep_decisions(Admission& w) {
  Value kept = Value::array(w.arena);
  for (const Value& condition : w.old_object.get({"status", "conditions"}).items())
    if (decides(condition)) kept.push(w.arena, condition);
  for (const Value& condition : w.object.get({"status", "conditions"}).items())
    if (!decides(condition)) kept.push(w.arena, condition);
  if (kept.size() > 0) w.object.child(w.arena, "status").set(w.arena, "conditions", kept);
}

}  // namespace

void prepare_certificate_request(Admission& w) {
  if (creates(w)) return set_requester(w);
  if (w.subresource.empty()) {
    for (const std::string_view field : {"spec", "status"})
      if (const Value* known = w.old_object.find(field)) w.object.set(w.arena, field, *known);
    return;
  }
  if (w.subresource == "approval") keep_all_but(w, {{"status", "conditions"}});
  if (w.subresource == "status") keep_decisions(w);
  if (Value* conditions = w.object.find({"status", "conditions"})) stamp_conditions(w, *conditions);
}

// --- service CIDRs

// Ranges are ready as they are: addresses are taken in the transaction of the service that gets them.
void prepare_service_cidr(Admission& w) {
  if (!creates(w)) return;
  Value ready = Value::object(w.arena, 5);
  ready.add(w.arena, "type", Value::view("Ready"));
  ready.add(w.arena, "status", Value::view("True"));
  ready.add(w.arena, "lastTransitionTime", Value::text(w.arena, format_time(w.now)));
  ready.add(w.arena, "reason", Value::view(""));
  ready.add(w.arena, "message", Value::view("Kubernetes Service CIDR is ready"));
  Value status = Value::object(w.arena, 1);
  list_in(w.arena, status, "conditions").push(w.arena, ready);
  w.object.set(w.arena, "status", status);
}

// --- quotas

// A quota's status is right from its first moment on.
Answer<> fill_quota(Admission& w, const Reader& reader) {
  if (!w.subresource.empty()) return {};
  const Value spec = w.object.get("spec");
  if (!creates(w) && equal(spec, w.old_object.get("spec"))) return {};
  w.object.set(w.arena, "status", quota::quota_status(w.arena, spec, quota::current_usage(reader, w.ns, spec)));
  quota::begin_epoch(w, reader);
  return {};
}

}  // namespace proa::kube::api
