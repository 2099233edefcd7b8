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
  std::string reason;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Verdict authorize(const AccessQuestion& question) const = 0;
};

// system:masters, then Node, then RBAC. `reader` outlives it.
std::unique_ptr<Authorizer> standard_authorizer(const Reader& reader);

// 403 with upstream's words: `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace
// "y"`.
ApiError access_refused(const AccessQuestion& question, std::string_view reason);

}  // namespace proa::kube::api
