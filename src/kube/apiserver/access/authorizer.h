// Whether a user may do something. From memory, on any thread, never waits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/access/user.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/request/info.h"

namespace proa::kube::api {

class Reader;

// What a user wants to do; views are valid for the call.
struct AccessQuestion {
  const User& user;
  bool is_resource = false;
  std::string_view verb;
  std::string_view group, version, ns, resource, subresource, name;
  std::string_view path;                            // if it is no resource
  std::string_view field_selector, label_selector;  // of a list
};
AccessQuestion question_of(const User& user, const RequestInfo& info);

enum class Decision : uint8_t { kNoOpinion, kAllow, kDeny };

struct Verdict {
  Decision decision = Decision::kNoOpinion;
  std::string_view reason;
  std::shared_ptr<const void> keep;  // holds the reason's text

  bool allowed() const { return decision == Decision::kAllow; }
  // `reason` lives as long as `keep`.
  static Verdict allow(std::string_view reason, std::shared_ptr<const void> keep) {
    return {.decision = Decision::kAllow, .reason = reason, .keep = std::move(keep)};
  }
  static Verdict no_opinion(std::string reason);
};

// What a user may do in a namespace, as far as that can be listed (SelfSubjectRulesReview).
struct UserRules {
  struct Resource {
    std::vector<std::string> verbs, groups, resources, names;
  };
  struct Url {
    std::vector<std::string> verbs, urls;
  };
  std::vector<Resource> resource_rules;
  std::vector<Url> url_rules;
  std::string error;  // what could not be listed
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Verdict authorize(const AccessQuestion& question) const = 0;
  // Adds to `out`; false if there is more than that.
  virtual bool rules_for(const User& user, std::string_view ns, UserRules& out) const = 0;
};

// system:masters, then Node, then RBAC. `reader` outlives it.
std::unique_ptr<Authorizer> standard_authorizer(const Reader& reader);

// 403 with upstream's words: `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace
// "y"`.
ApiError access_refused(const AccessQuestion& question, std::string_view reason);

}  // namespace proa::kube::api
