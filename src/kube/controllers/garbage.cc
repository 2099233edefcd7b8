#include "kube/controllers/garbage.h"

#include <algorithm>
#include <deque>
#include <unordered_set>

#include "base/error.h"
#include "base/log.h"
#include "kube/client/events.h"
#include "kube/client/gather.h"
#include "kube/client/keys.h"
#include "kube/controllers/dependents.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kForeground = "foregroundDeletion";
constexpr std::string_view kOrphan = "orphan";
constexpr size_t kAtOnce = 32;
constexpr size_t kMostAbsent = 5000;  // owners that are remembered as gone
constexpr auto kUnknownKindAgain = std::chrono::seconds(60);
constexpr auto kToldSoon = std::chrono::milliseconds(10);

bool has_finalizer(const Value& object, std::string_view wanted) {
  const Value list = object.get({"metadata", "finalizers"});
  return std::ranges::any_of(list.items(), [&](const Value& one) { return one.as_string() == wanted; });
}
bool deleting(const Value& object) { return !object.get({"metadata", "deletionTimestamp"}).is_null(); }
bool waits_for_dependents(const Value& object) { return deleting(object) && has_finalizer(object, kForeground); }

// References to owners are changed in a copy of the object's metadata. False if there was nothing to change.
template <typename F>
Value with_references(Arena& arena, const Value& object, F change) {
  Value out = clone_shape(arena, object);
  Value kept = Value::array(arena);
  for (const Value& reference : object.get({"metadata", "ownerReferences"}).items())
    if (const Value changed = change(reference); !changed.is_null()) kept.push(arena, changed);
  Value& metadata = out.child(arena, "metadata");
  if (kept.size() == 0)
    metadata.erase("ownerReferences");
  else
    metadata.set(arena, "ownerReferences", kept);
  return out;
}

enum class OwnerState : uint8_t { kSolid, kWaiting, kAbsent, kUnknown };

class GarbageCollector final : public Controller {
 public:
  std::string_view name() const override { return "generic-garbage-collector"; }
  size_t workers() const override { return 20; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    queue_ = &frame.queue(*this);
    keys_ = std::make_unique<KeyIndex>(around_->reader.catalog());
    all_ = &frame.informer_of_all();
    all_->add_handler([this](const Change& change) { changed(change); });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) override {
    const auto record = around_->reader.store().get(key);
    const auto parts = keys_->find(key);
    if (!record || *record == nullptr || !parts) co_return kDone;
    const StoredPtr stored = parse_record(*record);
    const Item item{.key = key, .at = *parts, .object = stored->root()};
    // Whom it lets go has to be known first: all that named it before its deletion was asked for.
    if (deleting(item.object) && (*record)->mod_revision() > all_->told()) co_return kToldSoon;
    if (deleting(item.object) && has_finalizer(item.object, kOrphan)) {
      CO_TRY(co_await orphan_dependents(item));
      co_return kDone;
    }
    if (waits_for_dependents(item.object)) {
      CO_TRY(co_await finish_foreground(item));
      co_return kDone;
    }
    if (deleting(item.object)) co_return kDone;
    co_return co_await collect(item);
  }

 private:
  struct Item {
    std::string_view key;
    KeyParts at;
    const Value& object;
    std::string_view uid() const { return object.string({"metadata", "uid"}); }
  };

  // --- what is told

  void changed(const Change& change) {
    if (change.key().starts_with("/registry/events/")) return;
    if (change.deleted()) return gone(change);
    // Most objects have no owners and are not being deleted: that is seen without parsing them.
    const auto mentions = [](const store::RecordPtr& record, std::string_view what) {
      return record != nullptr && record->value().find(what) != std::string_view::npos;
    };
    const bool ends = mentions(change.record(), "\"deletionTimestamp\"");
    if (!ends && !mentions(change.record(), "\"ownerReferences\"") &&
        !mentions(change.record_before(), "\"ownerReferences\""))
      return;
    const Value& object = change.object();
    if (dependents_.set(change.key(), object.get({"metadata", "ownerReferences"}))) {
      queue_->add(std::string(change.key()));
      queue_waiting_owners(change.key(), change.object_before());
    }
    if (!deleting(object)) return;
    if (has_finalizer(object, kOrphan) || has_finalizer(object, kForeground)) queue_->add(std::string(change.key()));
    if (has_finalizer(object, kForeground)) queue_dependents(object.string({"metadata", "uid"}));
  }

  void gone(const Change& change) {
    dependents_.erase(change.key());
    const Value& object = change.object();
    const std::string_view uid = object.string({"metadata", "uid"});
    if (dependents_.has(uid)) {
      remember_absent(std::string(uid));
      queue_dependents(uid);
    }
    queue_waiting_owners(change.key(), object);
  }

  void queue_dependents(std::string_view uid) {
    for (std::string& key : dependents_.of(uid)) queue_->add(std::move(key));
  }

  // Owners may have waited for this object, or for this reference of it.
  void queue_waiting_owners(std::string_view key, const Value& object) {
    const auto parts = keys_->find(key);
    if (!parts) return;
    for (const Value& reference : object.get({"metadata", "ownerReferences"}).items())
      if (auto owner = owner_key(*parts, reference)) queue_->add(std::move(*owner));
  }

  void remember_absent(std::string uid) {
    if (!absent_.insert(uid).second) return;
    absent_order_.push_back(std::move(uid));
    if (absent_order_.size() <= kMostAbsent) return;
    absent_.erase(absent_order_.front());
    absent_order_.pop_front();
  }

  // --- owners

  // Nothing if the kind is not served, or an object of the cluster names one of a namespace.
  std::optional<std::string> owner_key(const KeyParts& dependent, const Value& reference) const {
    std::string_view version = reference.string("apiVersion"), group;
    if (const size_t slash = version.find('/'); slash != std::string_view::npos) {
      group = version.substr(0, slash);
      version.remove_prefix(slash + 1);
    }
    const CatalogPtr catalog = around_->reader.catalog().view();
    const Resource* resource = catalog->find_kind(group, version, reference.string("kind"));
    if (resource == nullptr || (resource->namespaced() && dependent.ns.empty())) return std::nullopt;
    return resource->key(resource->namespaced() ? dependent.ns : std::string_view(), reference.string("name"));
  }

  OwnerState state_of(const KeyParts& dependent, const Value& reference) const {
    const std::string_view uid = reference.string("uid");
    if (absent_.contains(std::string(uid))) return OwnerState::kAbsent;
    const auto key = owner_key(dependent, reference);
    if (!key) return OwnerState::kUnknown;
    const auto record = around_->reader.store().get(*key);
    if (!record) return OwnerState::kUnknown;
    if (*record == nullptr) return OwnerState::kAbsent;
    const StoredPtr owner = parse_record(*record);
    if (owner->root().string({"metadata", "uid"}) != uid) return OwnerState::kAbsent;
    return waits_for_dependents(owner->root()) ? OwnerState::kWaiting : OwnerState::kSolid;
  }

  // --- what is done

  // An object that is not being deleted: are there owners that it is still needed for?
  net::Task<Answer<std::chrono::nanoseconds>> collect(const Item& item) {
    const Value references = item.object.get({"metadata", "ownerReferences"});
    if (references.size() == 0) co_return kDone;
    size_t solid = 0, waiting = 0, absent = 0;
    for (const Value& reference : references.items()) {
      switch (state_of(item.at, reference)) {
        case OwnerState::kSolid: ++solid; break;
        case OwnerState::kWaiting: ++waiting; break;
        case OwnerState::kAbsent: ++absent; break;
        // Nobody can tell whether it is there; its kind may come back.
        case OwnerState::kUnknown: co_return kUnknownKindAgain;
      }
    }
    if (solid > 0) {
      if (waiting + absent == 0) co_return kDone;
      CO_TRY(co_await forget_owners(item));
      co_return kDone;
    }
    if (absent > 0) co_await tell_of_foreign_owners(item);
    if (waiting > 0 && dependents_.has(item.uid())) {
      const bool changed = CO_TRY(co_await unblock_circle(item));
      CO_TRY(co_await remove(item, Propagation::kForeground, !changed));
      co_return kDone;
    }
    const Propagation propagation = has_finalizer(item.object, kOrphan)       ? Propagation::kOrphan
                                    : has_finalizer(item.object, kForeground) ? Propagation::kForeground
                                                                              : Propagation::kBackground;
    CO_TRY(co_await remove(item, propagation, true));
    co_return kDone;
  }

  net::Task<Answer<>> remove(const Item& item, Propagation propagation, bool unchanged) {
    Arena arena;
    DeleteOptions options;
    options.propagation = propagation;
    options.uid = std::string(item.uid());
    // Somebody may have given it an owner since.
    if (unchanged) options.resource_version = std::string(item.object.string({"metadata", "resourceVersion"}));
    CO_TRY(co_await client_->remove(arena, item.at.target(), options));
    co_return Answer<>();
  }

  // Takes the references out that are to owners that are gone or going.
  net::Task<Answer<>> forget_owners(const Item& item) {
    Arena arena;
    CO_TRY(co_await client_->write(arena, item.at.target(), [&](Arena& memory, const Value& now) -> Answer<Value> {
      return with_references(memory, now, [&](const Value& reference) {
        return state_of(item.at, reference) == OwnerState::kSolid ? reference : Value();
      });
    }));
    co_return Answer<>();
  }

  // A dependent of what is to be deleted in the foreground may itself wait for it: then it waits no more. Whether the
  // object was changed for that.
  net::Task<Answer<bool>> unblock_circle(const Item& item) {
    bool circle = false;
    for (const std::string& key : dependents_.of(item.uid()))
      if (const auto record = around_->reader.store().get(key); record && *record != nullptr)
        circle |= waits_for_dependents(parse_record(*record)->root());
    if (!circle) co_return false;
    Arena arena;
    CO_TRY(co_await client_->write(arena, item.at.target(), [](Arena& memory, const Value& now) -> Answer<Value> {
      return with_references(memory, now, [&](const Value& reference) {
        Value out = clone_shape(memory, reference);
        if (out.get("blockOwnerDeletion").as_bool()) out.set(memory, "blockOwnerDeletion", Value::boolean(false));
        return out;
      });
    }));
    co_return true;
  }

  net::Task<Answer<>> orphan_dependents(const Item& item) {
    const std::vector<std::string> keys = dependents_.of(item.uid());
    Answer<> all;
    const auto free_one = [&](size_t i) { return orphan(keys[i], item.uid(), all); };
    co_await gather(keys.size(), kAtOnce, free_one);
    if (!all) co_return all;
    co_return co_await drop_finalizer(item, kOrphan);
  }

  net::Task<> orphan(const std::string& key, std::string_view owner_uid, Answer<>& all) {
    const auto parts = keys_->find(key);
    if (!parts) co_return;
    Arena arena;
    auto done = co_await client_->write(arena, parts->target(), [&](Arena& memory, const Value& now) -> Answer<Value> {
      return with_references(memory, now, [&](const Value& reference) {
        return reference.string("uid") == owner_uid ? Value() : reference;
      });
    });
    if (!done && done.error().code != 404) all = refuse(std::move(done).error());
  }

  // Lets the owner go once nothing is left that blocks it.
  net::Task<Answer<>> finish_foreground(const Item& item) {
    bool blocked = false;
    for (std::string& key : dependents_.of(item.uid())) {
      const auto record = around_->reader.store().get(key);
      if (!record || *record == nullptr) continue;
      const StoredPtr dependent = parse_record(*record);
      const Value references = dependent->root().get({"metadata", "ownerReferences"});
      const bool blocks = std::ranges::any_of(references.items(), [&](const Value& reference) {
        return reference.string("uid") == item.uid() && reference.get("blockOwnerDeletion").as_bool();
      });
      blocked |= blocks;
      if (blocks && !waits_for_dependents(dependent->root())) queue_->add(std::move(key));
    }
    if (blocked) co_return Answer<>();
    co_return co_await drop_finalizer(item, kForeground);
  }

  net::Task<Answer<>> drop_finalizer(const Item& item, std::string_view finalizer) {
    Arena arena;
    const std::string uid(item.uid());
    auto done = co_await client_->write(arena, item.at.target(), [&](Arena& memory, const Value& now) -> Answer<Value> {
      if (now.string({"metadata", "uid"}) != uid) return refuse(conflict(item.at.resource->qualified, item.at.name));
      Value out = clone_shape(memory, now);
      Value kept = Value::array(memory);
      for (const Value& one : now.get({"metadata", "finalizers"}).items())
        if (one.as_string() != finalizer) kept.push(memory, one);
      Value& metadata = out.child(memory, "metadata");
      if (kept.size() == 0)
        metadata.erase("finalizers");
      else
        metadata.set(memory, "finalizers", kept);
      return out;
    });
    if (!done && done.error().code != 404) co_return refuse(std::move(done).error());
    co_return Answer<>();
  }

  // Owners stand in the namespace of what they own. One that stands elsewhere does not count, and that is worth a word.
  net::Task<> tell_of_foreign_owners(const Item& item) {
    if (item.at.ns.empty()) co_return;
    for (const Value& reference : item.object.get({"metadata", "ownerReferences"}).items()) {
      if (absent_.contains(std::string(reference.string("uid"))) || !stands_elsewhere(item.at, reference)) continue;
      const std::string message =
          cat("ownerRef [", reference.string("apiVersion"), "/", reference.string("kind"), ", namespace: ", item.at.ns,
              ", name: ", reference.string("name"), ", uid: ", reference.string("uid"),
              "] does not exist in namespace \"", item.at.ns, "\"");
      co_await record_event(*client_, *around_,
                            {.object = item.object,
                             .type = "Warning",
                             .reason = "OwnerRefInvalidNamespace",
                             .message = message,
                             .component = "garbage-collector-controller"});
    }
  }

  bool stands_elsewhere(const KeyParts& dependent, const Value& reference) const {
    const auto here = owner_key(dependent, reference);
    if (!here) return false;
    const auto parts = keys_->find(*here);
    if (!parts || parts->ns.empty()) return false;
    const auto all = around_->reader.store().range(store::Range::of_prefix(parts->resource->prefix));
    if (!all) return false;
    const std::string end = cat("/", parts->name);
    return std::ranges::any_of(all->records, [&](const store::RecordPtr& record) {
      return record->key().ends_with(end) &&
             parse_record(record)->root().string({"metadata", "uid"}) == reference.string("uid");
    });
  }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
  WorkQueue* queue_ = nullptr;
  Informer* all_ = nullptr;
  std::unique_ptr<KeyIndex> keys_;
  Dependents dependents_;
  std::unordered_set<std::string> absent_;
  std::deque<std::string> absent_order_;
};

}  // namespace

std::unique_ptr<Controller> garbage_collector() { return std::make_unique<GarbageCollector>(); }

}  // namespace proa::kube::api
