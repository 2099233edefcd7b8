#include "kube/apiserver/access/authorizer.h"

#include "base/error.h"
#include "kube/apiserver/access/node/node_authorizer.h"
#include "kube/apiserver/access/rbac/authorizer.h"
#include "kube/validation/names.h"

namespace proa::kube::api {
namespace {

// Asked in turn; the first with an opinion has it.
class Standard : public Authorizer {
 public:
  explicit Standard(const Reader& reader) : node_(reader), rbac_(reader) {}

  Verdict authorize(const AccessQuestion& question) const override {
    if (question.user.in(kMastersGroup)) return {.decision = Decision::kAllow, .reason = {}, .keep = {}};
    Verdict node = node_.authorize(question);
    if (node.decision != Decision::kNoOpinion) return node;
    Verdict rbac = rbac_.authorize(question);
    if (rbac.decision != Decision::kNoOpinion || node.reason.empty()) return rbac;
    if (rbac.reason.empty()) return node;
    return Verdict::no_opinion(cat(node.reason, "\n", rbac.reason));
  }

  bool rules_for(const User& user, std::string_view ns, UserRules& out) const override {
    const bool node = node_.rules_for(user, ns, out);
    return rbac_.rules_for(user, ns, out) && node;
  }

 private:
  NodeAuthorizer node_;
  rbac::RbacAuthorizer rbac_;
};

// "deployments.apps", "pods".
std::string qualified(std::string_view group, std::string_view resource) {
  return group.empty() ? std::string(resource) : cat(resource, ".", group);
}

std::string what_is_refused(const AccessQuestion& in) {
  const std::string user = quoted(in.user.name);
  if (!in.is_resource) return cat("User ", user, " cannot ", in.verb, " path ", quoted(in.path));
  const std::string resource =
      in.subresource.empty() ? std::string(in.resource) : cat(in.resource, "/", in.subresource);
  const std::string start =
      cat("User ", user, " cannot ", in.verb, " resource ", quoted(resource), " in API group ", quoted(in.group));
  return in.ns.empty() ? cat(start, " at the cluster scope") : cat(start, " in the namespace ", quoted(in.ns));
}

}  // namespace

Verdict Verdict::no_opinion(std::string reason) {
  if (reason.empty()) return {};
  const auto kept = std::make_shared<const std::string>(std::move(reason));
  return {.decision = Decision::kNoOpinion, .reason = *kept, .keep = kept};
}

AccessQuestion question_of(const User& user, const RequestInfo& info) {
  return {.user = user,
          .is_resource = info.is_resource,
          .verb = info.verb,
          .group = info.group,
          .version = info.version,
          .ns = info.ns,
          .resource = info.resource,
          .subresource = info.subresource,
          .name = info.name,
          .path = info.path,
          .field_selector = {},
          .label_selector = {}};
}

ApiError access_refused(const AccessQuestion& in, std::string_view reason) {
  std::string why = what_is_refused(in);
  if (!reason.empty()) why += cat(": ", reason);
  if (!in.is_resource) return forbidden("", "", why);
  ApiError error = forbidden(qualified(in.group, in.resource), in.name, why);
  error.kind = in.resource;
  error.group = in.group;
  return error;
}

std::unique_ptr<Authorizer> standard_authorizer(const Reader& reader) { return std::make_unique<Standard>(reader); }

}  // namespace proa::kube::api
