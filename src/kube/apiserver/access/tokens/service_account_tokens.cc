#include "kube/apiserver/access/tokens/service_account_tokens.h"

#include <algorithm>
#include <atomic>

#include "base/ids.h"
#include "kube/apiserver/access/pki/digest.h"
#include "kube/apiserver/access/service_account.h"
#include "kube/codec/time.h"
#include "kube/validation/names.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kLegacyIssuer = "kubernetes/serviceaccount";
constexpr std::string_view kPrivate = "kubernetes.io";
constexpr std::string_view kInvalidSince = "kubernetes.io/legacy-token-invalid-since";
constexpr size_t kHalf = 2048;
// What is being deleted is still believed for so long.
constexpr int64_t kLeeway = 60;

Value text(Arena& arena, std::string_view value) { return Value::text(arena, value); }

void add_bound(Arena& arena, Value& to, std::string_view key, const BoundObject& object) {
  if (object.name.empty()) return;
  Value& entry = to.child(arena, key);
  entry.add(arena, "name", text(arena, object.name));
  entry.add(arena, "uid", text(arena, object.uid));
}

BoundObject bound_of(const Value& claims, std::string_view key) {
  const Value entry = claims.get({kPrivate, key});
  return {.name = std::string(entry.string("name")), .uid = std::string(entry.string("uid"))};
}

std::string quoted_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const std::string& each : list) out += cat(out.size() > 1 ? " " : "", quoted(each));
  return out + "]";
}

// "aud" is a text or a list of them (RFC 7519, 4.1.3).
std::vector<std::string> audiences_of(const Value& claims) {
  const Value in = claims.get("aud");
  std::vector<std::string> out;
  if (in.is_string()) out.emplace_back(in.as_string());
  for (const Value& each : in.items()) out.emplace_back(each.as_string());
  return out;
}

int64_t seconds_of(const Value& claim) {
  return claim.is_double() ? static_cast<int64_t>(std::clamp(claim.as_double(), -9e18, 9e18)) : claim.as_int();
}

}  // namespace

// --- issuing

Result<IssuedToken> TokenIssuer::issue(const TokenTerms& terms) const {
  Arena arena;
  const int64_t now = options_.now();
  IssuedToken out{.token = {}, .id = TRY(random_uuid()), .expires = now + terms.seconds};
  Value claims = Value::object(arena, 8);
  Value audiences = Value::array(arena);
  for (const std::string& each : terms.audiences) audiences.push(arena, text(arena, each));
  claims.add(arena, "aud", audiences);
  claims.add(arena, "exp", Value::integer(out.expires));
  claims.add(arena, "iat", Value::integer(now));
  claims.add(arena, "iss", text(arena, options_.issuers.front()));
  claims.add(arena, "jti", text(arena, out.id));
  Value own = Value::object(arena, 6);
  own.add(arena, "namespace", text(arena, terms.ns));
  add_bound(arena, own, "node", terms.node);
  add_bound(arena, own, "pod", terms.pod);
  add_bound(arena, own, "secret", terms.secret);
  add_bound(arena, own, "serviceaccount", {.name = terms.account, .uid = terms.account_uid});
  if (terms.warn_after_seconds > 0) own.add(arena, "warnafter", Value::integer(now + terms.warn_after_seconds));
  claims.add(arena, kPrivate, own);
  claims.add(arena, "nbf", Value::integer(now));
  claims.add(arena, "sub", text(arena, service_account_user(terms.ns, terms.account)));
  out.token = TRY(sign_jwt(claims, options_.keys.front()));
  return out;
}

Result<std::string> TokenIssuer::issue_legacy(std::string_view ns, std::string_view account,
                                              std::string_view account_uid, std::string_view secret) const {
  Arena arena;
  Value claims = Value::object(arena, 6);
  claims.add(arena, "iss", Value::view(kLegacyIssuer));
  claims.add(arena, "kubernetes.io/serviceaccount/namespace", text(arena, ns));
  claims.add(arena, "kubernetes.io/serviceaccount/secret.name", text(arena, secret));
  claims.add(arena, "kubernetes.io/serviceaccount/service-account.name", text(arena, account));
  claims.add(arena, "kubernetes.io/serviceaccount/service-account.uid", text(arena, account_uid));
  claims.add(arena, "sub", text(arena, service_account_user(ns, account)));
  return sign_jwt(claims, options_.keys.front());
}

// --- believing

// A token whose signature is right. `revision` and `seen` are those of the last look at its objects.
struct ServiceAccountTokens::Known {
  std::string ns;
  BoundObject account, pod, secret, node;
  std::string id;
  std::vector<std::string> audiences;
  int64_t expires = 0, not_before = 0;  // 0: does not
  bool legacy = false;
  std::string legacy_token;  // what the secret has to hold

  // The records' versions that were found good, account first; 0: not looked at.
  std::atomic<store::Revision> good_account = 0, good_pod = 0, good_secret = 0, good_node = 0;
};

ServiceAccountTokens::ServiceAccountTokens(const Reader& reader, TokenOptions options)
    : reader_(reader), options_(std::move(options)) {}
ServiceAccountTokens::~ServiceAccountTokens() = default;

ServiceAccountTokens::KnownPtr ServiceAccountTokens::remembered(const std::string& digest) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = young_.find(digest); found != young_.end()) return found->second;
  const auto found = old_.find(digest);
  if (found == old_.end()) return nullptr;
  KnownPtr known = found->second;
  old_.erase(found);
  young_.emplace(digest, known);
  return known;
}

void ServiceAccountTokens::remember(const std::string& digest, const KnownPtr& known) const {
  const std::lock_guard lock(mutex_);
  if (young_.size() >= kHalf) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.insert_or_assign(digest, known);
}

// Null: not one of ours.
Result<ServiceAccountTokens::KnownPtr> ServiceAccountTokens::read(std::string_view token) const {
  const auto jwt = Jwt::parse(token);
  if (!jwt) return KnownPtr();
  const Value& claims = jwt->claims.root;
  const std::string_view issuer = claims.string("iss");
  const bool legacy = issuer == kLegacyIssuer;
  if (!legacy && std::ranges::find(options_.issuers, issuer) == options_.issuers.end()) return KnownPtr();
  if (!jwt->signed_by(options_.keys)) return fail("signature is invalid");
  auto out = std::make_shared<Known>();
  out->legacy = legacy;
  out->expires = seconds_of(claims.get("exp"));
  out->not_before = seconds_of(claims.get("nbf"));
  out->audiences = audiences_of(claims);
  if (legacy) {
    out->ns = claims.string("kubernetes.io/serviceaccount/namespace");
    out->account = {.name = std::string(claims.string("kubernetes.io/serviceaccount/service-account.name")),
                    .uid = std::string(claims.string("kubernetes.io/serviceaccount/service-account.uid"))};
    out->secret.name = claims.string("kubernetes.io/serviceaccount/secret.name");
    out->legacy_token = token;
    if (out->secret.name.empty()) return fail("secretName claim is missing");
  } else {
    out->ns = claims.string({kPrivate, "namespace"});
    out->account = bound_of(claims, "serviceaccount");
    out->pod = bound_of(claims, "pod");
    out->secret = bound_of(claims, "secret");
    out->node = bound_of(claims, "node");
    out->id = claims.string("jti");
    if (out->expires == 0) return fail("service account token has no end");
  }
  if (claims.string("sub") != service_account_user(out->ns, out->account.name))
    return fail("sub claim does not match the service account");
  return out;
}

namespace {

// One object that a token hangs on.
class Look {
 public:
  Look(const Reader& reader, int64_t now) : reader_(reader), now_(now) {}

  // `good` is the version that was fine before.
  Result<> at(std::string_view resource, std::string_view ns, const BoundObject& wanted,
              std::atomic<store::Revision>& good, std::string_view what, const std::string* token = nullptr) const {
    const CatalogPtr view = reader_.catalog().view();
    const auto found = reader_.store().get(view->find("", resource)->key(ns, wanted.name));
    if (!found || !*found) return fail(what, " has been deleted");
    const store::RecordPtr& record = *found;
    if (record->mod_revision() == good.load(std::memory_order_relaxed)) return {};
    const StoredPtr object = parse_record(record);
    const Value metadata = object->root().get("metadata");
    if (token == nullptr && metadata.string("uid") != wanted.uid)
      return fail(what, " UID (", metadata.string("uid"), ") does not match claim (", wanted.uid, ")");
    const std::string_view deletion = metadata.string("deletionTimestamp");
    const auto deleted = deletion.empty() ? Result<Instant>(Instant()) : parse_time(deletion);
    if (!deletion.empty() && (!deleted || deleted->seconds + kLeeway < now_)) return fail(what, " has been deleted");
    if (token != nullptr) TRY(holds(*object, *token));
    // What is being deleted is looked at each time.
    if (deletion.empty()) good.store(record->mod_revision(), std::memory_order_relaxed);
    return {};
  }

 private:
  static Result<> holds(const Stored& secret, const std::string& token) {
    const auto kept = net::base64_decode(secret.root().string({"data", "token"}));
    if (!kept || *kept != token) return fail("token does not match server's copy");
    const std::string_view since = secret.root().get({"metadata", "labels", kInvalidSince}).as_string();
    if (!since.empty()) return fail("the token in secret has been marked as invalid since ", since);
    return {};
  }

  const Reader& reader_;
  const int64_t now_;
};

}  // namespace

Result<> ServiceAccountTokens::still_there(Known& known) const {
  const Look look(reader_, options_.now());
  TRY(look.at("serviceaccounts", known.ns, known.account, known.good_account, "service account"));
  if (!known.secret.name.empty())
    TRY(look.at("secrets", known.ns, known.secret, known.good_secret, "secret",
                known.legacy ? &known.legacy_token : nullptr));
  if (!known.pod.name.empty())
    TRY(look.at("pods", known.ns, known.pod, known.good_pod, "pod"));
  else if (!known.node.name.empty())
    TRY(look.at("nodes", "", known.node, known.good_node, "node"));
  return {};
}

Result<std::optional<TokenSource::Found>> ServiceAccountTokens::check(std::string_view token,
                                                                      const std::vector<std::string>& audiences) const {
  const std::string digest = pki::sha256(token);
  KnownPtr known = remembered(digest);
  if (!known) {
    known = TRY(read(token));
    if (!known) return std::nullopt;
    remember(digest, known);
  }
  const int64_t now = options_.now();
  if (known->expires != 0 && now > known->expires) return fail("service account token has expired");
  if (known->not_before > now + kLeeway) return fail("service account token is not valid yet");
  const std::vector<std::string>& own =
      known->audiences.empty() && known->legacy ? options_.audiences : known->audiences;
  Found found;
  for (const std::string& each : audiences)
    if (std::ranges::find(own, each) != own.end()) found.audiences.push_back(each);
  if (found.audiences.empty())
    return fail("token audiences ", quoted_list(own), " is invalid for the target audiences ", quoted_list(audiences));
  TRY(still_there(*known));
  found.user = {.name = service_account_user(known->ns, known->account.name),
                .uid = known->account.uid,
                .groups = service_account_groups(known->ns),
                .extra = {}};
  const auto add = [&](const char* key, std::string value) {
    if (!value.empty()) found.user.extra[cat("authentication.kubernetes.io/", key)] = {std::move(value)};
  };
  if (!known->id.empty()) add("credential-id", cat("JTI=", known->id));
  add("pod-name", known->pod.name);
  add("pod-uid", known->pod.uid);
  add("node-name", known->node.name);
  add("node-uid", known->node.uid);
  return found;
}

}  // namespace proa::kube::api
