#include "kube/controllers/namespaces.h"

#include <map>
#include <set>

#include "base/error.h"
#include "kube/client/gather.h"
#include "kube/client/keys.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

using std::chrono::seconds;

constexpr std::string_view kOwnFinalizer = "kubernetes";
constexpr size_t kAtOnce = 32;
constexpr auto kLookAgain = seconds(5);

// What is left of a namespace's content.
struct Remains {
  std::map<std::string, size_t> resources;  // "pods.", "deployments.apps"
  std::map<std::string, size_t> finalizers;
  std::vector<std::string> failures;
  size_t count() const {
    size_t sum = 0;
    for (const auto& [name, number] : resources) sum += number;
    return sum;
  }
};

struct Condition {
  std::string_view type;
  bool bad;
  std::string reason, message;
};

std::string listed(const std::map<std::string, size_t>& counts, std::string_view words) {
  std::string out;
  for (const auto& [name, count] : counts)
    out += cat(out.empty() ? "" : ", ", name, words, count, " resource instances");
  return out;
}

std::vector<Condition> conditions_of(const Remains& remains) {
  std::string failures;
  for (const std::string& failure : remains.failures) failures += cat(failures.empty() ? "" : ", ", failure);
  std::vector<Condition> out = {
      {"NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered"},
      {"NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
       "All legacy kube types successfully parsed"},
      {"NamespaceDeletionContentFailure", false, "ContentDeleted",
       "All content successfully deleted, may be waiting on finalization"},
      {"NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed"},
      {"NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "All content-preserving finalizers finished"}};
  if (!remains.failures.empty())
    out[2] = {out[2].type, true, "ContentDeletionFailed",
              cat("Failed to delete all resource types, ", remains.failures.size(), " remaining: ", failures)};
  if (!remains.resources.empty())
    out[3] = {out[3].type, true, "SomeResourcesRemain",
              cat("Some resources are remaining: ", listed(remains.resources, " has "))};
  if (!remains.finalizers.empty())
    out[4] = {out[4].type, true, "SomeFinalizersRemain",
              cat("Some content in the namespace has finalizers remaining: ", listed(remains.finalizers, " in "))};
  return out;
}

// The namespace with these conditions; the time stands still while the status of one does.
Value with_conditions(Arena& arena, const Value& object, const std::vector<Condition>& wanted, int64_t now) {
  Value out = clone_shape(arena, object);
  Value& status = out.child(arena, "status");
  Value list = Value::array(arena);
  const Value present = status.get("conditions");
  const auto is_ours = [&](std::string_view type) {
    return std::ranges::any_of(wanted, [&](const Condition& one) { return one.type == type; });
  };
  for (const Value& one : present.items())
    if (!is_ours(one.string("type"))) list.push(arena, one);
  for (const Condition& one : wanted) {
    const std::string_view state = one.bad ? "True" : "False";
    Value time = Value::text(arena, format_time(now));
    for (const Value& before : present.items())
      if (before.string("type") == one.type && before.string("status") == state)
        time = before.get("lastTransitionTime");
    Value entry = Value::object(arena);
    entry.add(arena, "type", Value::view(one.type));
    entry.add(arena, "status", Value::view(state));
    entry.add(arena, "lastTransitionTime", time);
    entry.add(arena, "reason", Value::text(arena, one.reason));
    entry.add(arena, "message", Value::text(arena, one.message));
    list.push(arena, entry);
  }
  status.set(arena, "conditions", list);
  return out;
}

class NamespaceController final : public Controller {
 public:
  std::string_view name() const override { return "namespace-controller"; }
  size_t workers() const override { return 10; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    queue_ = &frame.queue(*this);
    keys_ = std::make_unique<KeyIndex>(around_->reader.catalog());
    frame.informer("", "namespaces").add_handler([this](const Change& change) {
      std::string name(change.object().string({"metadata", "name"}));
      if (change.deleted() || change.object().get({"metadata", "deletionTimestamp"}).is_null()) {
        ending_.erase(name);
        return;
      }
      ending_.insert(name);
      queue_->add(std::move(name));
    });
    // What went may have been the last.
    frame.informer_of_all().add_handler([this](const Change& change) {
      if (ending_.empty() || !change.deleted()) return;
      const auto parts = keys_->find(change.key());
      if (parts && !parts->ns.empty() && ending_.contains(parts->ns)) queue_->add(std::string(parts->ns));
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string name) override {
    const Target self{.group = "", .version = "", .resource = "namespaces", .ns = "", .name = name, .subresource = ""};
    const StoredPtr found = CO_TRY(client_->get(self));
    const Value& object = found->root();
    if (object.get({"metadata", "deletionTimestamp"}).is_null()) co_return kDone;
    const Value finalizers = object.get({"spec", "finalizers"});
    const auto is_own = [](const Value& finalizer) { return finalizer.as_string() == kOwnFinalizer; };
    if (std::ranges::none_of(finalizers.items(), is_own)) co_return kDone;

    Remains remains;
    co_await empty(name, true, remains);
    // The rest waits for the pods, which may need it to end well.
    if (remains.count() == 0 && remains.failures.empty()) co_await empty(name, false, remains);
    CO_TRY(co_await tell(self, remains));
    if (!remains.failures.empty()) co_return refuse(internal_error(remains.failures.front()));
    if (remains.count() > 0) co_return kLookAgain;
    CO_TRY(co_await finalize(self));
    co_return kDone;
  }

 private:
  // Deletes what is there of pods, or of all else, and counts what stays.
  net::Task<> empty(const std::string& ns, bool pods, Remains& remains) {
    const CatalogPtr catalog = around_->reader.catalog().view();
    std::set<std::string_view> seen;
    std::vector<const Resource*> resources;
    for (const Resource* resource : catalog->all()) {
      const bool is_pods = resource->qualified == "pods";
      if (!resource->namespaced() || (resource->view.verbs() & kDelete) == 0 || is_pods != pods) continue;
      if (seen.insert(resource->prefix).second) resources.push_back(resource);
    }
    for (const Resource* resource : resources) {
      const auto found = around_->reader.store().range(store::Range::of_prefix(resource->range_prefix(ns)));
      if (!found || found->records.empty()) continue;
      const auto remove = [&](size_t i) { return remove_one(found->records[i]->key(), remains); };
      co_await gather(found->records.size(), kAtOnce, remove);
      count(*resource, ns, remains);
    }
  }

  net::Task<> remove_one(std::string_view key, Remains& remains) {
    const auto parts = keys_->find(key);
    if (!parts) co_return;
    Arena arena;
    DeleteOptions options;
    options.propagation = Propagation::kBackground;
    const auto result = co_await client_->remove(arena, parts->target(), options);
    if (!result && result.error().code != 404 && result.error().code != 409)
      remains.failures.push_back(result.error().message);
  }

  void count(const Resource& resource, const std::string& ns, Remains& remains) {
    const auto left = around_->reader.store().range(store::Range::of_prefix(resource.range_prefix(ns)));
    if (!left || left->records.empty()) return;
    remains.resources[cat(resource.view.plural(), ".", resource.view.group_version().group())] += left->records.size();
    for (const store::RecordPtr& record : left->records) {
      const StoredPtr object = parse_record(record);
      for (const Value& finalizer : object->root().get({"metadata", "finalizers"}).items())
        ++remains.finalizers[std::string(finalizer.as_string())];
    }
  }

  net::Task<Answer<>> tell(const Target& self, const Remains& remains) {
    Target status = self;
    status.subresource = "status";
    Arena arena;
    const std::vector<Condition> conditions = conditions_of(remains);
    const int64_t now = std::chrono::duration_cast<seconds>(around_->clock.wall().time_since_epoch()).count();
    CO_TRY(co_await client_->write(arena, status, [&](Arena& memory, const Value& old_object) -> Answer<Value> {
      return with_conditions(memory, old_object, conditions, now);
    }));
    co_return Answer<>();
  }

  net::Task<Answer<>> finalize(const Target& self) {
    Target part = self;
    part.subresource = "finalize";
    Arena arena;
    CO_TRY(co_await client_->write(arena, part, [](Arena& memory, const Value& old_object) -> Answer<Value> {
      Value out = clone_shape(memory, old_object);
      Value kept = Value::array(memory);
      for (const Value& finalizer : old_object.get({"spec", "finalizers"}).items())
        if (finalizer.as_string() != kOwnFinalizer) kept.push(memory, finalizer);
      out.child(memory, "spec").set(memory, "finalizers", kept);
      return out;
    }));
    co_return Answer<>();
  }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
  WorkQueue* queue_ = nullptr;
  std::unique_ptr<KeyIndex> keys_;
  std::set<std::string, std::less<>> ending_;
};

}  // namespace

std::unique_ptr<Controller> namespace_controller() { return std::make_unique<NamespaceController>(); }

}  // namespace proa::kube::api
