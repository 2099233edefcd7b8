#include <algorithm>

#include "kube/apiserver/access/reviews/reviews.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/codec/time.h"
#include "kube/validation/names.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr int64_t kDefaultSeconds = 3600, kLeastSeconds = 600, kMostSeconds = int64_t{1} << 32;
// What nodes ask for in the name of pods that say nothing: such tokens are extended.
constexpr int64_t kPodSeconds = 3600 + 7, kExtendedSeconds = int64_t{365} * 86'400;

Answer<> check_seconds(const Value& body) {
  Checks checks;
  const Spot seconds = checks.root(body)["spec"]["expirationSeconds"];
  if (!seconds.present()) return {};
  if (seconds.number() < kLeastSeconds) seconds.invalid("may not specify a duration less than 10 minutes");
  if (seconds.number() > kMostSeconds) seconds.invalid("may not specify a duration larger than 2^32 seconds");
  if (checks.errors().empty()) return {};
  return refuse(invalid("authentication.k8s.io", "TokenRequest", "", checks.errors()));
}

// The object that the token is to end with.
class Binder {
 public:
  Binder(const Reader& reader, const Context& context) : reader_(reader), context_(context) {}

  Answer<> bind(const Value& reference, TokenTerms& terms) const {
    if (reference.is_null()) return {};
    const std::string_view kind = reference.string("kind"), version = reference.string("apiVersion");
    const bool core = version.empty() || version == "v1";
    if (core && kind == "Pod") return bind_pod(reference, terms);
    if (core && kind == "Secret") return bind_to(reference, "secrets", terms.ns, terms.secret);
    if (core && kind == "Node") return bind_to(reference, "nodes", "", terms.node);
    const size_t slash = version.find('/');
    return refuse(
        bad_request(cat("cannot bind token for serviceaccount \"", context_.name, "\" to object of type ",
                        slash == std::string_view::npos ? "" : version.substr(0, slash), "/",
                        slash == std::string_view::npos ? version : version.substr(slash + 1), ", Kind=", kind)));
  }

 private:
  Answer<StoredPtr> find(const Value& reference, std::string_view resource, std::string_view ns) const {
    const std::string_view name = reference.string("name"), uid = reference.string("uid");
    StoredPtr object = reader_.get("", resource, ns, name);
    if (!object) return refuse(not_found(resource, name));
    if (!uid.empty() && object->root().string({"metadata", "uid"}) != uid)
      return refuse(conflict(reference.string("kind"), name,
                             cat("the UID in the bound object reference (", uid,
                                 ") does not match the UID in record. The object might have been deleted and then "
                                 "recreated")));
    return object;
  }

  Answer<> bind_to(const Value& reference, std::string_view resource, std::string_view ns, BoundObject& to) const {
    const StoredPtr object = TRY(find(reference, resource, ns));
    to = {.name = std::string(reference.string("name")),
          .uid = std::string(object->root().string({"metadata", "uid"}))};
    return {};
  }

  Answer<> bind_pod(const Value& reference, TokenTerms& terms) const {
    TRY(bind_to(reference, "pods", terms.ns, terms.pod));
    const StoredPtr pod = TRY(find(reference, "pods", terms.ns));
    if (pod->root().string({"spec", "serviceAccountName"}) != context_.name)
      return refuse(bad_request(cat("cannot bind token for serviceaccount \"", context_.name,
                                    "\" to pod running with different serviceaccount name.")));
    const std::string_view node = pod->root().string({"spec", "nodeName"});
    if (node.empty()) return {};
    const StoredPtr there = reader_.get("", "nodes", "", node);
    terms.node = {.name = std::string(node),
                  .uid = there ? std::string(there->root().string({"metadata", "uid"})) : std::string()};
    return {};
  }

  const Reader& reader_;
  const Context& context_;
};

Value answer_of(Context& context, const Value& body, const TokenTerms& terms, const IssuedToken& token,
                std::string_view now) {
  Arena& arena = context.arena;
  Value spec = Value::object_of(arena, body.get("spec").members());
  Value audiences = Value::array(arena);
  for (const std::string& each : terms.audiences) audiences.push(arena, Value::text(arena, each));
  spec.set(arena, "audiences", audiences);
  // What the client is told is what it may count on.
  const int64_t told = terms.warn_after_seconds > 0 ? terms.warn_after_seconds : terms.seconds;
  spec.set(arena, "expirationSeconds", Value::integer(told));
  if (spec.find("boundObjectRef") == nullptr) spec.set(arena, "boundObjectRef", Value());
  Value status = Value::object(arena, 2);
  status.add(arena, "token", Value::text(arena, token.token));
  status.add(arena, "expirationTimestamp", Value::text(arena, format_time(token.expires - terms.seconds + told)));
  Value metadata = Value::object(arena, 3);
  metadata.add(arena, "name", Value::text(arena, context.name));
  metadata.add(arena, "namespace", Value::text(arena, context.ns));
  metadata.add(arena, "creationTimestamp", Value::text(arena, now));
  Value out = Value::object(arena, 5);
  out.add(arena, "kind", Value::view("TokenRequest"));
  out.add(arena, "apiVersion", Value::view("authentication.k8s.io/v1"));
  out.add(arena, "metadata", metadata);
  out.add(arena, "spec", spec);
  out.add(arena, "status", status);
  return out;
}

}  // namespace

Answer<Value> request_token(const ReviewParts& parts, Context& context, const Value& body, bool dry_run) {
  const TokenOptions& options = parts.issuer.options();
  const Value spec = body.get("spec");
  const StoredPtr account = parts.reader.get("", "serviceaccounts", context.ns, context.name);
  if (!account) return refuse(not_found("serviceaccounts", context.name));
  const std::string_view name = body.string({"metadata", "name"}), ns = body.string({"metadata", "namespace"});
  if (!name.empty() && name != context.name)
    return refuse(bad_request("metadata.name if specified must match service account name"));
  if (!ns.empty() && ns != context.ns)
    return refuse(bad_request("metadata.namespace if specified must match service account namespace"));
  TRY(check_seconds(body));

  TokenTerms terms{.ns = context.ns,
                   .account = context.name,
                   .account_uid = std::string(account->root().string({"metadata", "uid"})),
                   .audiences = {},
                   .seconds = kDefaultSeconds};
  for (const Value& each : spec.get("audiences").items()) terms.audiences.emplace_back(each.as_string());
  if (terms.audiences.empty()) terms.audiences = options.audiences;
  if (const Value wanted = spec.get("expirationSeconds"); wanted.is_int()) terms.seconds = wanted.as_int();
  TRY(Binder(parts.reader, context).bind(spec.get("boundObjectRef"), terms));
  const bool ours = std::ranges::all_of(terms.audiences, [&](const std::string& each) {
    return std::ranges::find(options.audiences, each) != options.audiences.end();
  });
  if (options.extend_pod_tokens && ours && terms.seconds == kPodSeconds && !terms.pod.name.empty()) {
    terms.warn_after_seconds = terms.seconds;
    terms.seconds = kExtendedSeconds;
  }
  if (options.longest_seconds > 0) terms.seconds = std::min(terms.seconds, options.longest_seconds);

  IssuedToken token{.token = {}, .id = {}, .expires = options.now() + terms.seconds};
  if (!dry_run) {
    auto issued = parts.issuer.issue(terms);
    if (!issued) return refuse(internal_error(cat("failed to generate token: ", issued.error().message())));
    token = *std::move(issued);
    context.annotations.emplace_back("authentication.kubernetes.io/issued-credential-id", cat("JTI=", token.id));
  }
  return answer_of(context, body, terms, token, format_time(options.now()));
}

}  // namespace proa::kube::api
