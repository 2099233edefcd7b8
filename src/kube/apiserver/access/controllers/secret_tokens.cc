#include "base/text.h"
#include "kube/apiserver/access/controllers/controllers.h"
#include "kube/apiserver/access/rbac/reconcile.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kTokenType = "kubernetes.io/service-account-token";
constexpr std::string_view kAccountName = "kubernetes.io/service-account.name";
constexpr std::string_view kAccountUid = "kubernetes.io/service-account.uid";

using Next = Answer<std::chrono::nanoseconds>;

Target target(std::string_view resource, std::string_view ns, std::string_view name) {
  return {.group = {},
          .version = {},
          .resource = std::string(resource),
          .ns = std::string(ns),
          .name = std::string(name),
          .subresource = {}};
}

// What is or becomes nothing by itself: another was quicker, or the namespace is going.
bool settles(const ApiError& error) {
  if (error.reason == "AlreadyExists" || error.code == 404) return true;
  for (const StatusCause& cause : error.causes)
    if (cause.reason == "NamespaceTerminating") return true;
  return false;
}

Next next_of(const Answer<Value>& done) {
  if (!done && !settles(done.error())) return refuse(done.error());
  return kDone;
}

// Secrets that hold a token without end, as they were made before TokenRequest, and still are on demand.
class SecretTokens : public Controller {
 public:
  explicit SecretTokens(AccessLoops loops) : loops_(std::move(loops)) {}
  std::string_view name() const override { return "tokens-controller"; }

  void begin(Frame& frame) override {
    reader_ = &frame.surroundings().reader;
    client_ = frame.surroundings().client(name());
    WorkQueue& queue = frame.queue(*this);
    frame.informer("", "secrets").add_handler([&queue](const Change& change) {
      if (!change.deleted() && change.object().string("type") == kTokenType) queue.add(key_of(change.object()));
    });
    // An account that comes fills the secrets that wait for it; those of one that goes go with it.
    frame.informer("", "serviceaccounts").add_handler([this, &queue](const Change& change) {
      if (!change.created() && !change.deleted()) return;
      const Value account = change.object().get("metadata");
      for (const StoredPtr& secret : reader_->list("", "secrets", account.string("namespace")))
        if (secret->root().string("type") == kTokenType &&
            secret->root().string({"metadata", "annotations", kAccountName}) == account.string("name"))
          queue.add(key_of(secret->root()));
    });
  }

  net::Task<Next> reconcile(std::string key) override {
    std::string_view name = key;
    const std::string_view ns = cut(name, '/');
    const StoredPtr secret = reader_->get("", "secrets", ns, name);
    if (!secret || secret->root().string("type") != kTokenType) co_return kDone;
    const Value annotations = secret->root().get({"metadata", "annotations"});
    const std::string_view uid = annotations.string(kAccountUid);
    const StoredPtr account = reader_->get("", "serviceaccounts", ns, annotations.string(kAccountName));
    const Value metadata = account ? account->root().get("metadata") : Value();
    Arena arena;
    if (!account || (!uid.empty() && metadata.string("uid") != uid)) {
      DeleteOptions options;
      options.uid = std::string(secret->root().string({"metadata", "uid"}));
      const auto gone = co_await client_->remove(arena, target("secrets", ns, name), options);
      if (!gone && !settles(gone.error()) && gone.error().code != 409) co_return refuse(gone.error());
      co_return kDone;
    }
    const Value filled = fill(arena, secret->root(), metadata);
    if (filled.is_null()) co_return kDone;
    co_return next_of(co_await client_->update(arena, target("secrets", ns, name), filled));
  }

 private:
  static std::string key_of(const Value& secret) {
    return cat(secret.string({"metadata", "namespace"}), "/", secret.string({"metadata", "name"}));
  }

  // Null when nothing is missing.
  Value fill(Arena& arena, const Value& secret, const Value& account) const {
    Value out = clone(arena, secret);
    Value& data = out.child(arena, "data");
    const std::string_view ns = account.string("namespace");
    bool changed = false;
    const auto put = [&](std::string_view key, const std::string& text) {
      const std::string encoded = net::base64_encode(text);
      if (data.string(key) == encoded) return;
      data.set(arena, key, Value::text(arena, encoded));
      changed = true;
    };
    put("ca.crt", loops_.authority().certificate.pem());
    put("namespace", std::string(ns));
    if (data.string("token").empty()) {
      const auto token = loops_.issuer.issue_legacy(ns, account.string("name"), account.string("uid"),
                                                    secret.string({"metadata", "name"}));
      if (token) put("token", *token);
    }
    Value& annotations = out.child(arena, "metadata").child(arena, "annotations");
    if (annotations.string(kAccountUid) != account.string("uid")) {
      annotations.set(arena, kAccountUid, account.get("uid"));
      changed = true;
    }
    return changed ? out : Value();
  }

  const AccessLoops loops_;
  const Reader* reader_ = nullptr;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Controller> secret_tokens(const AccessLoops& loops) { return std::make_unique<SecretTokens>(loops); }

void add_access_controllers(Controllers& controllers, const AccessLoops& loops) {
  controllers.add(cluster_role_aggregation());
  controllers.add(secret_tokens(loops));
  controllers.add(certificate_signer(loops));
}

}  // namespace proa::kube::api
