#include "kube/apiserver/access/rbac/escalation.h"

#include <set>

#include "base/error.h"
#include "kube/apiserver/access/rbac/rule.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

using rbac::Rule;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

std::vector<Rule> full_authority() {
  Rule resources, urls;
  resources.verbs = resources.groups = resources.resources = {"*"};
  urls.verbs = urls.urls = {"*"};
  return {resources, urls};
}

std::string quoted_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const std::string& each : list) out += cat(out.size() > 1 ? " " : "", quoted(each));
  return out + "]";
}

class Escalation : public AdmissionPlugin {
 public:
  Escalation(const Reader& reader, const Authorizer& authorizer) : reader_(reader), authorizer_(authorizer) {}

  std::string_view name() const override { return "RBACEscalation"; }

  Answer<> mutate(Admission& w) override {
    if (w.object.is_null() || !w.subresource.empty() || w.resource.view.group_version().group() != kGroup) return {};
    if (w.user.in(kMastersGroup)) return {};
    const std::string_view plural = w.resource.view.plural();
    return plural.ends_with("bindings") ? check_binding(w) : check_role(w, plural == "clusterroles");
  }

 private:
  bool may(const Admission& w, std::string_view verb, std::string_view resource, std::string_view name) const {
    const AccessQuestion question{.user = w.user,
                                  .is_resource = true,
                                  .verb = verb,
                                  .group = kGroup,
                                  .version = "v1",
                                  .ns = w.ns,
                                  .resource = resource,
                                  .subresource = {},
                                  .name = name,
                                  .path = {},
                                  .field_selector = {},
                                  .label_selector = {}};
    return authorizer_.authorize(question).allowed();
  }

  // Only metadata differs: the garbage collector and finalizers need no rights of the role's.
  static bool same(const Admission& w, std::initializer_list<std::string_view> fields) {
    if (w.old_object.is_null()) return false;
    for (const std::string_view field : fields)
      if (!equal(w.object.get(field), w.old_object.get(field))) return false;
    return true;
  }

  Answer<> check_role(const Admission& w, bool cluster) const {
    if (same(w, {"rules", "aggregationRule"})) return {};
    if (may(w, "escalate", w.resource.view.plural(), w.name)) return {};
    TRY(confirm(w, rbac::parse_rules(w.object.get("rules"))));
    const bool aggregates =
        !w.object.get("aggregationRule").is_null() || !w.old_object.get("aggregationRule").is_null();
    if (cluster && aggregates && !what_is_missing(w, full_authority()).empty())
      return refuse(
          forbidden(w.resource.qualified, name_of(w), "must have cluster-admin privileges to use an aggregationRule"));
    return {};
  }

  Answer<> check_binding(const Admission& w) const {
    if (same(w, {"subjects", "roleRef"})) return {};
    const bool cluster = w.object.string({"roleRef", "kind"}) == "ClusterRole";
    const std::string_view plural = cluster ? "clusterroles" : "roles", role = w.object.string({"roleRef", "name"});
    if (may(w, "bind", plural, role)) return {};
    const StoredPtr there = reader_.get(kGroup, plural, cluster ? std::string_view() : w.ns, role);
    if (!there) return refuse(not_found(cat(plural, ".", kGroup), role));
    return confirm(w, rbac::parse_rules(there->root().get("rules")));
  }

  std::vector<Rule> what_is_missing(const Admission& w, const std::vector<Rule>& wanted,
                                    std::string* error = nullptr) const {
    UserRules has;
    authorizer_.rules_for(w.user, w.ns, has);
    std::vector<Rule> rules;
    for (UserRules::Resource& each : has.resource_rules) {
      Rule& rule = rules.emplace_back();
      rule.verbs = std::move(each.verbs);
      rule.groups = std::move(each.groups);
      rule.resources = std::move(each.resources);
      rule.names = std::move(each.names);
    }
    for (UserRules::Url& each : has.url_rules) {
      Rule& rule = rules.emplace_back();
      rule.verbs = std::move(each.verbs);
      rule.urls = std::move(each.urls);
    }
    if (error != nullptr) *error = std::move(has.error);
    std::vector<Rule> missing;
    rbac::covers(rules, wanted, &missing);
    return missing;
  }

  Answer<> confirm(const Admission& w, const std::vector<Rule>& wanted) const {
    std::string error;
    const std::vector<Rule> missing = what_is_missing(w, wanted, &error);
    if (missing.empty()) return {};
    std::set<std::string> lines;
    for (const Rule& rule : rbac::compact(missing)) lines.insert(rule.text());
    std::string why = cat("user ", quoted(w.user.name), " (groups=", quoted_list(w.user.groups),
                          ") is attempting to grant RBAC permissions not currently held:");
    for (const std::string& line : lines) why += cat("\n", line);
    if (!error.empty()) why += cat("; resolution errors: [", error, "]");
    return refuse(forbidden(w.resource.qualified, name_of(w), why));
  }

  static std::string_view name_of(const Admission& w) {
    return w.name.empty() ? w.object.string({"metadata", "name"}) : w.name;
  }

  const Reader& reader_;
  const Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> rbac_escalation(const Reader& reader, const Authorizer& authorizer) {
  return std::make_unique<Escalation>(reader, authorizer);
}

}  // namespace proa::kube::api
