// Hub: who watches what, and the way of an event to them. Watchers are found by the prefixes of the event's key, so
// that an event costs what its watchers cost, however many others there are.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "kube/store/watch.h"

namespace proa::kube::store {

struct WatchGroup;

// One watcher. `mutex` guards all but what says otherwise.
struct WatchState {
  std::mutex mutex;
  std::condition_variable came;  // for wait()
  std::vector<Event> queue;
  std::unique_ptr<Error> error;
  std::coroutine_handle<> waiting;
  net::Loop* loop = nullptr;
  Revision progress_wanted = 0;  // 0: none
  // The hub's:
  std::string key;
  std::string end;
  Revision from = 0;
  size_t limit = 0;
  WatchGroup* group = nullptr;
  size_t place = 0;
  bool touched = false;

  bool ready(Revision told) const {
    return error || (!queue.empty() && queue.front().record->mod_revision() <= told) ||
           (progress_wanted != 0 && progress_wanted <= told);
  }
};

struct WatchGroup {
  enum Kind : uint8_t { kKey, kPrefix, kRange } kind;
  std::string key;
  std::vector<std::shared_ptr<WatchState>> members;
};

class Hub {
 public:
  Hub() = default;
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Everything up to this revision has been handed to its watchers.
  Revision told() const { return told_.load(std::memory_order_acquire); }

  // No events are told while a caller holds this: what decides where a new watcher begins.
  std::unique_lock<std::mutex> hold() { return std::unique_lock(mutex_); }
  // Under hold(): `backlog` are its events up to told().
  std::unique_ptr<Watch> add(WatchRequest request, std::vector<Event> backlog, size_t limit);
  // Under hold(): events of whole revisions up to `revision`, in order.
  void tell(std::span<const Event> events, Revision revision);
  // There is something to tell up to this revision.
  void set_written(Revision revision) { written_.store(revision, std::memory_order_release); }
  // Under hold(): the revision without events.
  void set_told(Revision revision) { told_.store(revision, std::memory_order_release); }
  // Outside of hold(): resumes whoever tell() found.
  void wake();

  // Ends every watch with this error. Not under hold().
  void end_all(const Error& error);
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  friend class Watch;
  struct TextHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  using Groups = std::unordered_map<std::string, WatchGroup, TextHash, std::equal_to<>>;

  WatchGroup& group_of(const WatchState& state);
  void tell_group(WatchGroup& group, const Event& event);
  void offer(const std::shared_ptr<WatchState>& state, const Event& event);
  // Ends the watch; its state leaves the groups at the next chance.
  void close(const std::shared_ptr<WatchState>& state, Error error);
  void want_progress(const std::shared_ptr<WatchState>& state);
  void wake_wanting();
  void bury();
  void bury_many();
  void remove(WatchState& state);

  std::mutex mutex_;
  Groups keys_;
  Groups prefixes_;
  std::map<size_t, size_t> prefix_lengths_;  // those in use, and by how many groups
  Groups ranges_;
  std::vector<std::shared_ptr<WatchState>> touched_;
  std::atomic<Revision> written_ = 0;
  std::atomic<Revision> told_ = 0;
  std::atomic<size_t> size_ = 0;

  std::mutex side_mutex_;  // taken after mutex_, before a state's
  std::vector<std::shared_ptr<WatchState>> buried_;
  std::vector<std::shared_ptr<WatchState>> wanting_;  // progress
};

}  // namespace proa::kube::store
