#include "kube/controllers/quotas.h"

#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/quota/usage.h"

namespace proa::kube::api {
namespace {

constexpr std::chrono::minutes kAgain{5};

// Keys are "namespace/name".
class QuotaController final : public Controller {
 public:
  std::string_view name() const override { return "resourcequota-controller"; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    frame.informer("", "resourcequotas").add_handler([&queue = frame.queue(*this)](const Change& change) {
      if (change.deleted()) return;
      const Value& object = change.object();
      const bool counted =
          !change.created() && !change.repeated() && equal(object.get("spec"), change.object_before().get("spec"));
      if (counted) return;
      queue.add(cat(object.string({"metadata", "namespace"}), "/", object.string({"metadata", "name"})));
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) override {
    const size_t slash = key.find('/');
    const std::string ns = key.substr(0, slash), quota = key.substr(slash + 1);
    const Reader& reader = around_->reader;
    const StoredPtr known = reader.get("", "resourcequotas", ns, quota);
    if (known == nullptr || being_deleted(known->root())) co_return kDone;
    if (counted(known->root(), ns)) co_return kAgain;
    Arena arena;
    // Counted after the quota was read: what changes the count between then and the write changes the quota as well,
    // and all is done again.
    CO_TRY(co_await client_->write(
        arena,
        {.group = "", .version = "v1", .resource = "resourcequotas", .ns = ns, .name = quota, .subresource = "status"},
        [&reader, ns](Arena& memory, const Value& now) -> Answer<Value> {
          Value out = clone_shape(memory, now);
          const Value spec = now.get("spec");
          out.set(memory, "status", quota::quota_status(memory, spec, quota::current_usage(reader, ns, spec)));
          return out;
        }));
    co_return kAgain;
  }

 private:
  bool counted(const Value& object, std::string_view ns) const {
    const Value spec = object.get("spec"), status = object.get("status");
    return amounts_of(spec.get("hard")) == amounts_of(status.get("hard")) &&
           quota::current_usage(around_->reader, ns, spec) == amounts_of(status.get("used"));
  }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Controller> quota_controller() { return std::make_unique<QuotaController>(); }

}  // namespace proa::kube::api
