#include "kube/controllers/furnishing.h"

#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/registry/strategies/furnishing.h"

namespace proa::kube::api {
namespace {

bool active(const StoredPtr& space) {
  return space != nullptr && !being_deleted(space->root()) &&
         space->root().string({"status", "phase"}) != "Terminating";
}

// Keys are names of namespaces.
class Furnisher : public Controller {
 public:
  Furnisher(std::string_view resource, std::string_view object) : resource_(resource), object_(object) {}

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    WorkQueue& queue = frame.queue(*this);
    frame.informer("", "namespaces").add_handler([&queue](const Change& change) {
      if (!change.deleted()) queue.add(std::string(change.object().string({"metadata", "name"})));
    });
    frame.informer("", resource_).add_handler([this, &queue](const Change& change) {
      // Most are of others: they are not even parsed.
      if (!change.key().ends_with(object_)) return;
      const Value metadata = change.object().get("metadata");
      if (metadata.string("name") == object_) queue.add(std::string(metadata.string("namespace")));
    });
  }

 protected:
  Target target(std::string ns) const {
    return {.group = "",
            .version = "v1",
            .resource = std::string(resource_),
            .ns = std::move(ns),
            .name = std::string(object_),
            .subresource = {}};
  }
  StoredPtr there(std::string_view ns) const { return around_->reader.get("", resource_, ns, object_); }
  bool wanted(std::string_view ns) const { return active(around_->reader.get("", "namespaces", "", ns)); }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;

 private:
  const std::string_view resource_, object_;
};

class ServiceAccountController final : public Furnisher {
 public:
  ServiceAccountController() : Furnisher("serviceaccounts", kDefaultAccount) {}
  std::string_view name() const override { return "service-account-controller"; }
  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string ns) override {
    if (!wanted(ns) || there(ns) != nullptr) co_return kDone;
    Arena arena;
    CO_TRY(co_await client_->create(arena, target(ns), default_account(arena, ns)));
    co_return kDone;
  }
};

class RootCaPublisher final : public Furnisher {
 public:
  RootCaPublisher() : Furnisher("configmaps", kRootCa) {}
  std::string_view name() const override { return "root-ca-cert-publisher"; }
  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string ns) override {
    Arena arena;
    const Value data = root_ca_data(arena, around_->reader);
    if (data.is_null() || !wanted(ns)) co_return kDone;
    const StoredPtr known = there(ns);
    if (known == nullptr) {
      CO_TRY(co_await client_->create(arena, target(ns), root_ca_map(arena, ns, data)));
    } else if (!equal(known->root().get("data"), data)) {
      CO_TRY(co_await client_->write(arena, target(ns), [data](Arena& memory, const Value& now) -> Answer<Value> {
        Value out = clone_shape(memory, now);
        out.set(memory, "data", data);
        return out;
      }));
    }
    co_return kDone;
  }
};

}  // namespace

std::unique_ptr<Controller> service_account_controller() { return std::make_unique<ServiceAccountController>(); }
std::unique_ptr<Controller> root_ca_publisher() { return std::make_unique<RootCaPublisher>(); }

}  // namespace proa::kube::api
