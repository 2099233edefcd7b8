#include "kube/client/informer.h"

#include <algorithm>

#include "base/log.h"

namespace proa::kube::api {

const Value& Change::parsed(StoredPtr& into, const store::RecordPtr& record) {
  static const Value nothing{};
  if (record == nullptr) return nothing;
  if (into == nullptr) into = parse_record(record);
  return into->root();
}

void Informer::start() {
  list();
  initial_ = coming_.size();
  started_ = true;
}

// What is there, as if it had just been put; what is gone, as if it had just been deleted.
void Informer::list() {
  auto found = store_.range(store::Range::of_prefix(prefix_));
  if (!found) return log::error("list ", prefix_, ": ", found.error().message());
  auto watch = store_.watch(
      {.key = prefix_, .end = store::prefix_end(prefix_), .from = found->revision + 1, .buffer = size_t{1} << 20});
  if (!watch) return log::error("watch ", prefix_, ": ", watch.error().message());
  watch_ = std::move(*watch);
  coming_.clear();
  coming_to_ = found->revision;
  std::unordered_set<std::string_view> here;
  if (!known_.empty())
    for (const store::RecordPtr& record : found->records) here.insert(record->key());
  for (const store::RecordPtr& known : known_) {
    if (here.contains(known->key())) continue;
    coming_.push_back(store::Draft(known->key(), size_t{0}).finish({.mod_revision = found->revision, .deleted = true}));
  }
  coming_.insert(coming_.end(), found->records.begin(), found->records.end());
  std::ranges::reverse(coming_);
}

bool Informer::step(size_t most) {
  if (!started_ || stopped_) return false;
  if (coming_.empty()) {
    auto batch = watch_ == nullptr ? Result<store::WatchBatch>(fail("no watch")) : watch_->poll();
    if (stopped_) return false;
    if (!batch) {
      list();
    } else {
      for (store::Event& event : batch->events) coming_.push_back(std::move(event.record));
      std::ranges::reverse(coming_);
      coming_to_ = std::max(coming_to_, batch->revision);
    }
  }
  bool told = false;
  for (; most > 0 && !coming_.empty(); --most, told = true) {
    store::RecordPtr record = std::move(coming_.back());
    coming_.pop_back();
    if (initial_ > 0) --initial_;
    take(std::move(record));
  }
  if (coming_.empty()) told_ = coming_to_;
  return told;
}

void Informer::take(store::RecordPtr record) {
  const auto known = known_.find(record->key());
  store::RecordPtr before = known == known_.end() ? nullptr : *known;
  if (before != nullptr && before->mod_revision() >= record->mod_revision() && !record->deleted()) return;
  if (record->deleted()) {
    if (before == nullptr) return;
    known_.erase(known);
  } else if (before == nullptr) {
    known_.insert(record);
  } else if (before->create_revision() != record->create_revision()) {
    // Another object under the same name; that the first went was missed.
    known_.erase(known);
    tell(Change(nullptr, std::exchange(before, nullptr)));
    known_.insert(record);
  } else {
    auto node = known_.extract(known);
    node.value() = record;
    known_.insert(std::move(node));
  }
  tell(Change(std::move(record), before));
}

void Informer::tell(const Change& change) const {
  for (const Handler& handler : handlers_) handler(change);
}

void Informer::resync() {
  for (const store::RecordPtr& record : std::vector<store::RecordPtr>(known_.begin(), known_.end()))
    tell(Change(record, record));
}

net::Task<> Informer::next() {
  if (!coming_.empty() || stopped_) co_return;
  // Kept through the wait, whatever comes meanwhile.
  const std::shared_ptr<store::Watch> watch = watch_;
  if (watch == nullptr) {
    co_await net::sleep(std::chrono::seconds(1));
    co_return;
  }
  auto batch = co_await watch->next();
  if (!batch) {
    if (!stopped_) list();
    co_return;
  }
  for (auto event = batch->events.rbegin(); event != batch->events.rend(); ++event)
    coming_.push_back(std::move(event->record));
  coming_to_ = std::max(coming_to_, batch->revision);
}

void Informer::stop() {
  stopped_ = true;
  if (watch_ != nullptr) watch_->cancel();
}

}  // namespace proa::kube::api
