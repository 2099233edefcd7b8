#include "kube/apiserver/access/follower.h"

namespace proa::kube::api {

void Follower::begin(const Sink& sink) {
  sink.forget_all();
  const auto range = store_.range(store::Range::of_prefix(prefix_));
  if (!range) return;
  for (const store::RecordPtr& record : range->records) sink.put(record);
  auto watch =
      store_.watch({.key = prefix_, .end = store::prefix_end(prefix_), .from = range->revision + 1, .buffer = 0});
  if (!watch) return;  // the next refresh begins again
  watch_ = *std::move(watch);
  seen_.store(range->revision, std::memory_order_release);
}

bool Follower::refresh(const Sink& sink) {
  if (watch_ == nullptr) {
    begin(sink);
    return true;
  }
  const auto batch = watch_->poll();
  if (!batch) {
    watch_.reset();
    begin(sink);
    return true;
  }
  for (const store::Event& event : batch->events)
    if (event.record->deleted())
      sink.remove(event.record->key());
    else
      sink.put(event.record);
  if (batch->revision > seen_.load(std::memory_order_relaxed)) seen_.store(batch->revision, std::memory_order_release);
  return !batch->events.empty();
}

}  // namespace proa::kube::api
