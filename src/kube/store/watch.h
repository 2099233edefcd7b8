// Watch: the changes of some keys, in order, each once.
//
//   auto watch = TRY(store.watch({.key = "/registry/pods/", .end = prefix_end("/registry/pods/"), .from = list + 1}));
//   for (;;) {
//     const WatchBatch batch = CO_TRY(co_await watch->next());
//     for (const Event& event : batch.events) …
//   }
//
// A watch has one reader. Its errors end it: kCompacted and kSlowWatcher mean to list again, kCancelled that nobody
// is to. No thread belongs to it; an idle one holds some 300 bytes.
#pragma once

#include <chrono>
#include <coroutine>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kube/store/types.h"
#include "net/loop.h"

namespace proa::kube::store {

struct WatchRequest {
  std::string key;
  std::string end;    // as in Range
  Revision from = 0;  // the first revision of interest, may be in the future; 0: what comes from now on
  size_t buffer = 0;  // events it may lie behind; 0: the store's own
};

struct WatchBatch {
  std::vector<Event> events;  // never a part of a revision
  Revision revision = 0;      // nothing up to this revision is still to come
};

class Hub;
struct WatchState;

class Watch {
 public:
  Watch(Hub& hub, std::shared_ptr<WatchState> state) : hub_(hub), state_(std::move(state)) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  // What has come by now, maybe nothing. Any thread.
  Result<WatchBatch> poll();
  // co_await, on a loop: until there is an event, an error, or the answer to request_progress.
  class [[nodiscard]] Next {
   public:
    explicit Next(Watch& watch) : watch_(watch) {}
    bool await_ready() const;
    bool await_suspend(std::coroutine_handle<> handle) const;
    Result<WatchBatch> await_resume() const { return watch_.poll(); }

   private:
    Watch& watch_;
  };
  Next next() { return Next(*this); }
  // The same for a thread that is no loop's; an empty batch when nothing came in time.
  Result<WatchBatch> wait(std::chrono::milliseconds timeout);

  // Makes next() return, maybe without events, once all that is written now has been told. Any thread.
  void request_progress();
  // Ends the watch: next() returns kCancelled. Any thread.
  void cancel();

 private:
  Hub& hub_;
  std::shared_ptr<WatchState> state_;
};

}  // namespace proa::kube::store
