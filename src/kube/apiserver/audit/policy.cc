#include "kube/apiserver/audit/policy.h"

#include <algorithm>
#include <array>

#include "kube/object/yaml.h"

namespace proa::kube::api {
namespace {

using Texts = std::vector<std::string>;

constexpr std::array<std::string_view, 4> kLevels = {"None", "Metadata", "Request", "RequestResponse"};
constexpr std::array<std::string_view, 4> kStages = {"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"};

bool has(const Texts& list, std::string_view text) { return std::ranges::find(list, text) != list.end(); }

Result<Texts> texts_of(const Value& in, const std::string& at) {
  Texts out;
  if (in.is_null()) return out;
  if (!in.is_array()) return fail(at, ": must be a list");
  for (const Value& each : in.items()) {
    if (!each.is_string()) return fail(at, "[", out.size(), "]: must be a text");
    out.emplace_back(each.as_string());
  }
  return out;
}

Result<uint8_t> stages_of(const Value& in, const std::string& at) {
  uint8_t out = 0;
  for (const std::string& stage : TRY(texts_of(in, at))) {
    const auto* const found = std::ranges::find(kStages, stage);
    if (found == kStages.end())
      return fail(at, ": \"", stage, "\" is no stage: RequestReceived, ResponseStarted, ResponseComplete or Panic");
    out |= static_cast<uint8_t>(1u << (found - kStages.begin()));
  }
  return out;
}

// Fields that are misspelt would say nothing, and the log miss what it should have.
Result<> check_fields(const Value& in, const std::string& at, std::initializer_list<std::string_view> known) {
  if (!in.is_object()) return fail(at, ": must be an object");
  for (const Member& member : in.members())
    if (std::ranges::find(known, member.key) == known.end()) return fail(at, ".", member.key, ": is not known");
  return {};
}

bool url_fits(std::string_view pattern, std::string_view path) {
  if (pattern == "*" || pattern == path) return true;
  return pattern.ends_with('*') && path.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool resource_fits(std::string_view pattern, const AccessQuestion& in) {
  if (pattern == "*") return true;
  const size_t slash = pattern.find('/');
  const std::string_view resource = pattern.substr(0, slash);
  const std::string_view sub = slash == std::string_view::npos ? std::string_view() : pattern.substr(slash + 1);
  if (resource == in.resource && (sub == in.subresource || sub == "*")) return true;
  return resource == "*" && !in.subresource.empty() && sub == in.subresource;
}

}  // namespace

std::string_view name_of(AuditLevel level) { return kLevels[static_cast<size_t>(level)]; }
std::string_view name_of(AuditStage stage) { return kStages[static_cast<size_t>(stage)]; }

Result<AuditPolicy::Rule> AuditPolicy::parse_rule(const Value& in, const std::string& at, const AuditDecision& all) {
  TRY(check_fields(in, at,
                   {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages",
                    "omitManagedFields"}));
  Rule rule;
  rule.decision = all;
  const auto* const level = std::ranges::find(kLevels, in.string("level"));
  if (level == kLevels.end()) return fail(at, ".level: must be None, Metadata, Request or RequestResponse");
  rule.decision.level = static_cast<AuditLevel>(level - kLevels.begin());
  rule.decision.omitted |= TRY(stages_of(in.get("omitStages"), cat(at, ".omitStages")));
  if (in.get("omitManagedFields").is_bool()) rule.decision.omit_managed_fields = in.get("omitManagedFields").as_bool();
  rule.users = TRY(texts_of(in.get("users"), cat(at, ".users")));
  rule.groups = TRY(texts_of(in.get("userGroups"), cat(at, ".userGroups")));
  rule.verbs = TRY(texts_of(in.get("verbs"), cat(at, ".verbs")));
  rule.namespaces = TRY(texts_of(in.get("namespaces"), cat(at, ".namespaces")));
  rule.urls = TRY(texts_of(in.get("nonResourceURLs"), cat(at, ".nonResourceURLs")));
  for (const std::string& url : rule.urls)
    if (url != "*" && !url.starts_with('/')) return fail(at, ".nonResourceURLs: \"", url, "\" does not begin with /");
  size_t number = 0;
  for (const Value& each : in.get("resources").items()) {
    const std::string place = cat(at, ".resources[", number++, "]");
    TRY(check_fields(each, place, {"group", "resources", "resourceNames"}));
    Resources resources{.group = std::string(each.string("group")),
                        .resources = TRY(texts_of(each.get("resources"), cat(place, ".resources"))),
                        .names = TRY(texts_of(each.get("resourceNames"), cat(place, ".resourceNames")))};
    if (resources.resources.empty() && !resources.names.empty())
      return fail(place, ".resourceNames: needs resources beside it");
    rule.resources.push_back(std::move(resources));
  }
  if (!rule.urls.empty() && (!rule.resources.empty() || !rule.namespaces.empty()))
    return fail(at, ".nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs");
  return rule;
}

Result<AuditPolicy> AuditPolicy::parse(std::string_view text) {
  Arena arena;
  const Value in = TRY(read_yaml(arena, text, true));
  TRY(check_fields(in, "policy", {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}));
  if (in.string("apiVersion") != "audit.k8s.io/v1") return fail("apiVersion: must be audit.k8s.io/v1");
  if (in.string("kind") != "Policy") return fail("kind: must be Policy");
  if (!in.get("rules").is_array() || in.get("rules").size() == 0) return fail("rules: there are none");
  AuditDecision all;
  all.omitted = TRY(stages_of(in.get("omitStages"), "omitStages"));
  all.omit_managed_fields = in.get("omitManagedFields").as_bool();
  AuditPolicy out;
  for (const Value& rule : in.get("rules").items())
    out.rules_.push_back(TRY(parse_rule(rule, cat("rules[", out.rules_.size(), "]"), all)));
  return out;
}

bool AuditPolicy::fits(const Rule& rule, const AccessQuestion& in) {
  if (!rule.users.empty() && !has(rule.users, in.user.name)) return false;
  if (!rule.groups.empty() && std::ranges::none_of(rule.groups, [&](const std::string& g) { return in.user.in(g); }))
    return false;
  if (!rule.verbs.empty() && !has(rule.verbs, in.verb)) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) {
    if (!in.is_resource) return false;
    if (!rule.namespaces.empty() && !has(rule.namespaces, in.ns)) return false;
    if (rule.resources.empty()) return true;
    return std::ranges::any_of(rule.resources, [&](const Resources& each) {
      if (each.group != in.group) return false;
      if (each.resources.empty()) return true;
      return (each.names.empty() || has(each.names, in.name)) &&
             std::ranges::any_of(each.resources, [&](const std::string& r) { return resource_fits(r, in); });
    });
  }
  if (rule.urls.empty()) return true;
  return !in.is_resource &&
         std::ranges::any_of(rule.urls, [&](const std::string& url) { return url_fits(url, in.path); });
}

AuditDecision AuditPolicy::decide(const AccessQuestion& request) const {
  for (const Rule& rule : rules_)
    if (fits(rule, request)) return rule.decision;
  return {};
}

}  // namespace proa::kube::api
