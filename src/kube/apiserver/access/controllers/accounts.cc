#include <array>

#include "base/text.h"
#include "kube/apiserver/access/controllers/controllers.h"
#include "kube/apiserver/access/rbac/reconcile.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kAuthorityMap = "kube-root-ca.crt";
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

bool is_active(const Reader& reader, std::string_view ns) {
  const StoredPtr found = reader.get("", "namespaces", "", ns);
  return found && found->root().string({"metadata", "deletionTimestamp"}).empty();
}

// One object in each namespace: made when it is missing, brought up to date where its maker says so.
class InEachNamespace : public Controller {
 public:
  InEachNamespace(std::string_view resource, std::string_view object) : resource_(resource), object_(object) {}

  void begin(Frame& frame) override {
    reader_ = &frame.surroundings().reader;
    client_ = frame.surroundings().client(name());
    WorkQueue& queue = frame.queue(*this);
    frame.informer("", "namespaces").add_handler([&queue](const Change& change) {
      if (!change.deleted()) queue.add(std::string(change.object().string({"metadata", "name"})));
    });
    frame.informer("", resource_).add_handler([this, &queue](const Change& change) {
      if (change.key().ends_with(cat("/", object_)))
        queue.add(std::string(change.object().string({"metadata", "namespace"})));
    });
  }

  net::Task<Next> reconcile(std::string ns) override {
    if (!is_active(*reader_, ns)) co_return kDone;
    const StoredPtr there = reader_->get("", resource_, ns, object_);
    Arena arena;
    if (!there) co_return next_of(co_await client_->create(arena, target(resource_, ns, object_), wanted(arena, ns)));
    const Value changed = corrected(arena, there->root());
    if (changed.is_null()) co_return kDone;
    co_return next_of(co_await client_->update(arena, target(resource_, ns, object_), changed));
  }

 protected:
  virtual Value wanted(Arena& arena, std::string_view ns) const = 0;
  // Null: it is as it should be.
  virtual Value corrected(Arena&, const Value&) const { return {}; }

  static Value object(Arena& arena, std::string_view kind, std::string_view ns, std::string_view name) {
    Value out = Value::object(arena, 4);
    out.add(arena, "kind", Value::view(kind));
    out.add(arena, "apiVersion", Value::view("v1"));
    Value& metadata = out.child(arena, "metadata");
    metadata.add(arena, "name", Value::view(name));
    metadata.add(arena, "namespace", Value::text(arena, ns));
    return out;
  }

 private:
  const std::string_view resource_, object_;
  const Reader* reader_ = nullptr;
  std::unique_ptr<Client> client_;
};

class DefaultAccounts : public InEachNamespace {
 public:
  DefaultAccounts() : InEachNamespace("serviceaccounts", kDefault) {}
  std::string_view name() const override { return "service-account-controller"; }

 protected:
  Value wanted(Arena& arena, std::string_view ns) const override {
    return object(arena, "ServiceAccount", ns, kDefault);
  }
};

class AuthorityPublisher : public InEachNamespace {
 public:
  explicit AuthorityPublisher(AccessLoops loops)
      : InEachNamespace("configmaps", kAuthorityMap), loops_(std::move(loops)) {}
  std::string_view name() const override { return "root-ca-cert-publisher"; }

 protected:
  Value wanted(Arena& arena, std::string_view ns) const override {
    Value out = object(arena, "ConfigMap", ns, kAuthorityMap);
    out.child(arena, "metadata")
        .child(arena, "annotations")
        .add(arena, "kubernetes.io/description",
             Value::view("The authority that certifies this cluster's API server, for its names within the cluster."));
    out.add(arena, "data", data(arena));
    return out;
  }
  Value corrected(Arena& arena, const Value& there) const override {
    const Value right = data(arena);
    if (equal(there.get("data"), right)) return {};
    Value out = clone(arena, there);
    out.set(arena, "data", right);
    return out;
  }

 private:
  Value data(Arena& arena) const {
    Value out = Value::object(arena, 1);
    out.add(arena, "ca.crt", Value::text(arena, loops_.authority().certificate.pem()));
    return out;
  }
  const AccessLoops loops_;
};

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

std::unique_ptr<Controller> default_accounts() { return std::make_unique<DefaultAccounts>(); }
std::unique_ptr<Controller> authority_publisher(const AccessLoops& loops) {
  return std::make_unique<AuthorityPublisher>(loops);
}
std::unique_ptr<Controller> secret_tokens(const AccessLoops& loops) { return std::make_unique<SecretTokens>(loops); }

void add_access_controllers(Controllers& controllers, const AccessLoops& loops) {
  controllers.add(cluster_role_aggregation());
  controllers.add(default_accounts());
  controllers.add(authority_publisher(loops));
  controllers.add(secret_tokens(loops));
  controllers.add(certificate_signer(loops));
}

}  // namespace proa::kube::api
