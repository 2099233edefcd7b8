// Informer: every change of some objects of the store, told to handlers in order, first of all what is there. When
// changes were missed (the store said "compacted"), it lists again and tells the difference, deletions included.
//
// What the objects are now is read from the store (Reader, Client): an informer copies nothing, it remembers one
// pointer for each object. Belongs to one thread, which calls the handlers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/store/store.h"

namespace proa::kube::api {

// One change. Handlers share it, so that what several look at is parsed once. Valid for the call.
class Change {
 public:
  Change(store::RecordPtr now, store::RecordPtr before) : now_(std::move(now)), before_(std::move(before)) {}

  std::string_view key() const { return record()->key(); }
  bool deleted() const { return now_ == nullptr || now_->deleted(); }
  bool created() const { return !deleted() && before_ == nullptr; }
  // Nothing new: told again by resync().
  bool repeated() const { return now_ == before_; }
  // As it is, or last was.
  const store::RecordPtr& record() const { return deleted() ? before_ : now_; }
  const store::RecordPtr& record_before() const { return before_; }
  const Value& object() const { return parsed(object_, record()); }
  const Value& object_before() const { return parsed(before_object_, before_); }  // null when created

 private:
  static const Value& parsed(StoredPtr& into, const store::RecordPtr& record);
  store::RecordPtr now_, before_;
  mutable StoredPtr object_, before_object_;
};

class Informer {
 public:
  using Handler = std::function<void(const Change&)>;

  // Of all keys that begin with `prefix`.
  Informer(store::Store& store, std::string prefix) : store_(store), prefix_(std::move(prefix)) {}
  Informer(const Informer&) = delete;

  // Before start().
  void add_handler(Handler handler) { handlers_.push_back(std::move(handler)); }
  // Lists and begins to watch; tells of nothing yet.
  void start();

  // Tells of at most `most` changes that have come; whether it did. Lists again by itself where it has to.
  bool step(size_t most = 64);
  // co_await next(): until step() has something to do.
  net::Task<> next();
  // Ends the watch: next() returns, step() does nothing any more.
  void stop();
  bool stopped() const { return stopped_; }
  // Everything that was there when it started has been told.
  bool synced() const { return started_ && initial_ == 0; }
  // All changes up to this revision have been told.
  store::Revision told() const { return told_; }
  // Tells of all objects once more.
  void resync();
  size_t size() const { return known_.size(); }

 private:
  struct ByKey {
    using is_transparent = void;
    size_t operator()(const store::RecordPtr& record) const { return (*this)(record->key()); }
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };
  struct SameKey {
    using is_transparent = void;
    static std::string_view key(const store::RecordPtr& record) { return record->key(); }
    static std::string_view key(std::string_view text) { return text; }
    bool operator()(const auto& a, const auto& b) const { return key(a) == key(b); }
  };
  void list();
  void take(store::RecordPtr record);
  void tell(const Change& change) const;

  store::Store& store_;
  const std::string prefix_;
  std::vector<Handler> handlers_;
  std::shared_ptr<store::Watch> watch_;
  std::unordered_set<store::RecordPtr, ByKey, SameKey> known_;
  std::vector<store::RecordPtr> coming_;      // backwards
  store::Revision told_ = 0, coming_to_ = 0;  // coming_to_: once coming_ is empty
  size_t initial_ = 0;                        // of those in coming_, from the first list
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace proa::kube::api
