#include "kube/apiserver/access/reviews/reviews.h"

#include "kube/apiserver/access/reviews/access_review.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

using Review = std::function<Answer<Value>(Context& context, const Value& body, bool dry_run)>;

Value texts(Arena& arena, const std::vector<std::string>& list) {
  Value out = Value::array(arena, list.size());
  for (const std::string& each : list) out.push(arena, Value::text(arena, each));
  return out;
}

Subresource answered(Review review) {
  return {.show = nullptr,
          .take = nullptr,
          .create = [review = std::move(review)](Objects&, Context& context, Value body,
                                                 WriteOptions options) -> net::Task<Answer<Written>> {
            auto answer = review(context, body, options.dry_run);
            if (!answer) co_return refuse(std::move(answer).error());
            co_return Written{.object = *answer, .created = true, .record = nullptr};
          }};
}

Answer<Value> review_self(Context& context, const TokenIssuer& issuer) {
  Arena& arena = context.arena;
  Value out = Value::object(arena, 4);
  out.add(arena, "kind", Value::view("SelfSubjectReview"));
  out.add(arena, "apiVersion", Value::view("authentication.k8s.io/v1"));
  out.child(arena, "metadata").add(arena, "creationTimestamp", Value::text(arena, format_time(issuer.options().now())));
  out.child(arena, "status").add(arena, "userInfo", user_info(arena, *context.user));
  return out;
}

std::vector<std::string> texts_of(const Value& list) {
  std::vector<std::string> out;
  for (const Value& each : list.items()) out.emplace_back(each.as_string());
  return out;
}

Answer<Value> review_token(const Authenticator& authenticator, Context& context, const Value& body) {
  Arena& arena = context.arena;
  const Value spec = body.get("spec");
  if (spec.string("token").empty()) return refuse(bad_request("token is required for TokenReview in authentication"));
  std::vector<std::string> audiences = texts_of(spec.get("audiences"));
  const auto user = authenticator.check_token(spec.string("token"), audiences);
  Value out = Value::object_of(arena, body.members());
  Value status = Value::object(arena, 4);
  if (user) {
    status.add(arena, "authenticated", Value::boolean(true));
    status.add(arena, "user", user_info(arena, *user));
    if (!audiences.empty()) status.add(arena, "audiences", texts(arena, audiences));
  } else {
    status.add(arena, "user", Value::object(arena));
    status.add(arena, "error", Value::text(arena, user.error().message));
  }
  out.set(arena, "status", status);
  return out;
}

}  // namespace

Value user_info(Arena& arena, const User& user) {
  Value out = Value::object(arena, 4);
  out.add(arena, "username", Value::text(arena, user.name));
  if (!user.uid.empty()) out.add(arena, "uid", Value::text(arena, user.uid));
  if (!user.groups.empty()) out.add(arena, "groups", texts(arena, user.groups));
  if (user.extra.empty()) return out;
  Value& extra = out.child(arena, "extra");
  for (const auto& [key, values] : user.extra)
    extra.add(arena, Value::text(arena, key).as_string(), texts(arena, values));
  return out;
}

void add_reviews(Subresources& to, const ReviewParts& parts) {
  const Authorizer* authorizer = &parts.authorizer;
  to.add("serviceaccounts/token", answered([parts](Context& context, const Value& body, bool dry_run) {
           return request_token(parts, context, body, dry_run);
         }));
  to.add("tokenreviews.authentication.k8s.io",
         answered([authenticator = &parts.authenticator](Context& context, const Value& body, bool) {
           return review_token(*authenticator, context, body);
         }));
  to.add("selfsubjectreviews.authentication.k8s.io",
         answered(
             [issuer = &parts.issuer](Context& context, const Value&, bool) { return review_self(context, *issuer); }));
  const auto access = [&](std::string_view name, AccessReview kind) {
    to.add(cat(name, ".authorization.k8s.io"), answered([authorizer, kind](Context& context, const Value& body, bool) {
             return review_access(*authorizer, kind, context, body);
           }));
  };
  access("subjectaccessreviews", AccessReview::kAnybody);
  access("selfsubjectaccessreviews", AccessReview::kSelf);
  access("localsubjectaccessreviews", AccessReview::kLocal);
  to.add("selfsubjectrulesreviews.authorization.k8s.io",
         answered([authorizer](Context& context, const Value& body, bool) {
           return review_rules(*authorizer, context, body);
         }));
}

}  // namespace proa::kube::api
