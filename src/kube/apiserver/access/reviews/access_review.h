// Whether somebody may do something: the kinds of authorization.k8s.io.
#pragma once

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"

namespace proa::kube::api {

enum class AccessReview : uint8_t { kAnybody, kSelf, kLocal };

// `body` is conformed; the answer is it with its status.
Answer<Value> review_access(const Authorizer& authorizer, AccessReview kind, Context& context, const Value& body);
Answer<Value> review_rules(const Authorizer& authorizer, Context& context, const Value& body);

}  // namespace proa::kube::api
