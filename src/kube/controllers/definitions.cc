#include "kube/controllers/definitions.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/client/gather.h"
#include "kube/client/keys.h"
#include "kube/custom/definition.h"

namespace proa::kube::api {
namespace {

using std::chrono::seconds;

constexpr size_t kAtOnce = 32;
constexpr auto kLookAgain = seconds(5);
constexpr std::string_view kGroup = "apiextensions.k8s.io", kPlural = "customresourcedefinitions";

class DefinitionController final : public Controller {
 public:
  std::string_view name() const override { return "definition-controller"; }
  size_t workers() const override { return 5; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    queue_ = &frame.queue(*this);
    keys_ = std::make_unique<KeyIndex>(around_->reader.catalog());
    frame.informer(kGroup, kPlural).add_handler([this](const Change& change) { changed(change); });
    // The last object of a definition that is going may have gone.
    frame.informer_of_all().add_handler([this](const Change& change) {
      if (ending_.empty() || !change.deleted()) return;
      for (const auto& [prefix, name] : ending_)
        if (change.key().starts_with(prefix)) queue_->add(name);
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string name) override {
    const StoredPtr found = CO_TRY(client_->get(target(name, "")));
    const Value& definition = found->root();
    if (definition.get({"metadata", "deletionTimestamp"}).is_null()) {
      if (!definition_is(definition, "NamesAccepted")) CO_TRY(co_await settle(name));
      co_return kDone;
    }
    const Value finalizers = definition.get({"metadata", "finalizers"});
    const auto is_ours = [](const Value& one) { return one.as_string() == kCleanupFinalizer; };
    if (std::ranges::none_of(finalizers.items(), is_ours)) co_return kDone;
    co_return co_await clean_up(name, definition);
  }

 private:
  static Target target(const std::string& name, std::string subresource) {
    return {.group = std::string(kGroup),
            .version = "",
            .resource = std::string(kPlural),
            .ns = "",
            .name = name,
            .subresource = std::move(subresource)};
  }
  static std::string objects_prefix(const Value& definition) {
    return cat("/registry/", definition.string({"spec", "group"}), "/", definition.string({"spec", "names", "plural"}),
               "/");
  }
  int64_t now() const { return std::chrono::duration_cast<seconds>(around_->clock.wall().time_since_epoch()).count(); }

  void changed(const Change& change) {
    const Value& definition = change.object();
    std::string name(definition.string({"metadata", "name"}));
    const std::string prefix = objects_prefix(definition);
    if (change.deleted()) {
      ending_.erase(prefix);
      waiting_.erase(name);
    } else if (!definition.get({"metadata", "deletionTimestamp"}).is_null()) {
      ending_.insert_or_assign(prefix, name);
      queue_->add(name);
    } else if (!definition_is(definition, "NamesAccepted")) {
      waiting_.insert(name);
      if (change.created()) queue_->add(name);
    } else {
      waiting_.erase(name);
    }
    // Names may have become free.
    if (!change.created())
      for (const std::string& other : waiting_)
        if (other != name) queue_->add(other);
  }

  net::Task<Answer<>> settle(const std::string& name) {
    Arena arena;
    CO_TRY(co_await client_->write(
        arena, target(name, "status"), [this](Arena& memory, const Value& definition) -> Answer<Value> {
          NamesInUse in_use;
          const CatalogPtr catalog = around_->reader.catalog().view();
          for (const Resource* resource : catalog->all())
            if (resource->custom && resource->group() == definition.string({"spec", "group"}) &&
                resource->crd_uid != definition.string({"metadata", "uid"}))
              in_use.add(resource->view);
          return settle_definition(memory, definition, in_use, now());
        }));
    co_return Answer<>();
  }

  net::Task<Answer<>> tell(const std::string& name, bool going, std::string_view reason, std::string_view message) {
    Arena arena;
    CO_TRY(co_await client_->write(
        arena, target(name, "status"), [&](Arena& memory, const Value& definition) -> Answer<Value> {
          Value out = clone_shape(memory, definition);
          set_definition_condition(memory, out, "Terminating", going, reason, message, now());
          return out;
        }));
    co_return Answer<>();
  }

  net::Task<Answer<std::chrono::nanoseconds>> clean_up(const std::string& name, const Value& definition) {
    const std::string prefix = objects_prefix(definition);
    // One whose names were never accepted has none: what is there is another's.
    if (definition_is(definition, "Established")) {
      const store::Range range = store::Range::of_prefix(prefix);
      const auto objects = around_->reader.store().range(range);
      if (objects && !objects->records.empty()) {
        CO_TRY(co_await tell(name, true, "InstanceDeletionInProgress", "CustomResource deletion is in progress"));
        Answer<> all;
        const auto remove = [&](size_t i) { return remove_one(objects->records[i], all); };
        co_await gather(objects->records.size(), kAtOnce, remove);
        if (!all) co_return refuse(all.error());
      }
      const auto left = around_->reader.store().range(range);
      if (!left || !left->records.empty()) co_return kLookAgain;
    }
    CO_TRY(co_await tell(name, false, "InstanceDeletionCompleted", "removed all instances"));
    Arena arena;
    CO_TRY(co_await client_->write(arena, target(name, ""), [](Arena& memory, const Value& now) -> Answer<Value> {
      Value out = clone_shape(memory, now);
      Value kept = Value::array(memory);
      for (const Value& one : now.get({"metadata", "finalizers"}).items())
        if (one.as_string() != kCleanupFinalizer) kept.push(memory, one);
      out.child(memory, "metadata").set(memory, "finalizers", kept);
      return out;
    }));
    co_return kDone;
  }

  net::Task<> remove_one(const store::RecordPtr& record, Answer<>& all) {
    const auto parts = keys_->find(record->key());
    if (!parts) {
      // No version of it is served: nobody else will.
      store::Txn txn;
      txn.compares.push_back(store::Compare::unchanged(record->key(), record->mod_revision()));
      txn.success.emplace_back(store::Delete{.key = std::string(record->key()), .end = ""});
      const auto done = co_await around_->reader.store().commit(std::move(txn));
      if (!done) all = refuse(internal_error(done.error().message()));
      co_return;
    }
    Arena arena;
    DeleteOptions options;
    options.propagation = Propagation::kBackground;
    auto done = co_await client_->remove(arena, parts->target(), options);
    if (!done && done.error().code != 404 && done.error().code != 409) all = refuse(std::move(done).error());
  }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
  WorkQueue* queue_ = nullptr;
  std::unique_ptr<KeyIndex> keys_;
  std::map<std::string, std::string> ending_;  // prefixes of objects, and the definition
  std::set<std::string> waiting_;              // for names
};

}  // namespace

std::unique_ptr<Controller> definition_controller() { return std::make_unique<DefinitionController>(); }

}  // namespace proa::kube::api
