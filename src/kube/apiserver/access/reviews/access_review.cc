#include "kube/apiserver/access/reviews/access_review.h"

#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kGroup = "authorization.k8s.io";

Value texts(Arena& arena, const std::vector<std::string>& list) {
  Value out = Value::array(arena, list.size());
  for (const std::string& each : list) out.push(arena, Value::text(arena, each));
  return out;
}

void check_target(const Spot& spec) {
  const Spot resource = spec["resourceAttributes"], path = spec["nonResourceAttributes"];
  if (resource.present() && path.present()) path.invalid("cannot be specified in combination with resourceAttributes");
  if (!resource.present() && !path.present())
    resource.invalid("exactly one of nonResourceAttributes or resourceAttributes must be specified");
}

bool is_empty_metadata(const Value& metadata, bool local) {
  for (const Member& member : metadata.members())
    if (member.key != "managedFields" && !(local && member.key == "namespace") && !member.value.is_null()) return false;
  return true;
}

Answer<> check(AccessReview kind, const Context& context, const Value& body) {
  Checks checks;
  const Spot root = checks.root(body);
  const Spot spec = root["spec"];
  check_target(spec);
  if (kind != AccessReview::kSelf && spec["user"].empty() && spec["groups"].empty())
    spec["user"].invalid("at least one of user or group must be specified");
  if (!is_empty_metadata(body.get("metadata"), kind == AccessReview::kLocal))
    root["metadata"].invalid(kind == AccessReview::kLocal ? "must be empty except for namespace" : "must be empty");
  if (kind == AccessReview::kLocal) {
    if (spec["resourceAttributes"].present() && spec["resourceAttributes"]["namespace"].text() != context.ns)
      spec["resourceAttributes"]["namespace"].invalid("must match metadata.namespace");
    if (spec["nonResourceAttributes"].present())
      spec["nonResourceAttributes"].invalid("disallowed on this kind of request");
  }
  if (checks.errors().empty()) return {};
  return refuse(invalid(kGroup, context.resource->kind(), "", checks.errors()));
}

User user_of(const Value& spec) {
  User out{.name = std::string(spec.string("user")), .uid = std::string(spec.string("uid")), .groups = {}, .extra = {}};
  for (const Value& group : spec.get("groups").items()) out.groups.emplace_back(group.as_string());
  for (const Member& member : spec.get("extra").members())
    for (const Value& value : member.value.items()) out.extra[std::string(member.key)].emplace_back(value.as_string());
  return out;
}

// A selector's requirements as text; only equalities help an authorizer.
std::string selector_text(const Value& selector) {
  std::string out(selector.string("rawSelector"));
  for (const Value& each : selector.get("requirements").items())
    if (each.string("operator") == "In" && each.get("values").size() == 1)
      out += cat(out.empty() ? "" : ",", each.string("key"), "=", each.get("values").items()[0].as_string());
  return out;
}

}  // namespace

Answer<Value> review_access(const Authorizer& authorizer, AccessReview kind, Context& context, const Value& body) {
  TRY(check(kind, context, body));
  const Value spec = body.get("spec");
  const User user = kind == AccessReview::kSelf ? *context.user : user_of(spec);
  const Value resource = spec.get("resourceAttributes"), path = spec.get("nonResourceAttributes");
  const std::string fields = selector_text(resource.get("fieldSelector"));
  const std::string labels = selector_text(resource.get("labelSelector"));
  const AccessQuestion question{.user = user,
                                .is_resource = !resource.is_null(),
                                .verb = resource.is_null() ? path.string("verb") : resource.string("verb"),
                                .group = resource.string("group"),
                                .version = resource.string("version"),
                                .ns = resource.string("namespace"),
                                .resource = resource.string("resource"),
                                .subresource = resource.string("subresource"),
                                .name = resource.string("name"),
                                .path = path.string("path"),
                                .field_selector = fields,
                                .label_selector = labels};
  const Verdict verdict = authorizer.authorize(question);
  Arena& arena = context.arena;
  Value status = Value::object(arena, 3);
  status.add(arena, "allowed", Value::boolean(verdict.allowed()));
  if (verdict.decision == Decision::kDeny) status.add(arena, "denied", Value::boolean(true));
  if (!verdict.reason.empty()) status.add(arena, "reason", Value::text(arena, verdict.reason));
  Value out = Value::object_of(arena, body.members());
  out.set(arena, "status", status);
  return out;
}

Answer<Value> review_rules(const Authorizer& authorizer, Context& context, const Value& body) {
  const std::string_view ns = body.string({"spec", "namespace"});
  if (ns.empty()) return refuse(bad_request("no namespace on request"));
  UserRules rules;
  const bool whole = authorizer.rules_for(*context.user, ns, rules);
  Arena& arena = context.arena;
  Value resources = Value::array(arena, rules.resource_rules.size());
  for (const UserRules::Resource& rule : rules.resource_rules) {
    Value entry = Value::object(arena, 4);
    entry.add(arena, "verbs", texts(arena, rule.verbs));
    entry.add(arena, "apiGroups", texts(arena, rule.groups));
    entry.add(arena, "resources", texts(arena, rule.resources));
    if (!rule.names.empty()) entry.add(arena, "resourceNames", texts(arena, rule.names));
    resources.push(arena, entry);
  }
  Value urls = Value::array(arena, rules.url_rules.size());
  for (const UserRules::Url& rule : rules.url_rules) {
    Value entry = Value::object(arena, 2);
    entry.add(arena, "verbs", texts(arena, rule.verbs));
    entry.add(arena, "nonResourceURLs", texts(arena, rule.urls));
    urls.push(arena, entry);
  }
  Value status = Value::object(arena, 4);
  status.add(arena, "resourceRules", resources);
  status.add(arena, "nonResourceRules", urls);
  status.add(arena, "incomplete", Value::boolean(!whole));
  if (!rules.error.empty()) status.add(arena, "evaluationError", Value::text(arena, rules.error));
  Value out = Value::object_of(arena, body.members());
  out.set(arena, "status", status);
  return out;
}

}  // namespace proa::kube::api
