#include "kube/store/cache.h"

#include <algorithm>

#include "base/thread.h"
#include "kube/store/errors.h"

namespace proa::kube::store {

namespace {

constexpr size_t kTellAtOnce = 64;  // events, before others get to the watchers' lists

// The version of a key at a revision, null if it was not there.
const Record* version_at(const Record* newest, Revision at, const std::atomic<const Record*> Record::* previous) {
  while (newest && newest->mod_revision() > at) newest = (newest->*previous).load(std::memory_order_acquire);
  return newest && !newest->deleted() ? newest : nullptr;
}

bool before_end(std::string_view key, const std::string& end) { return end == kToTheEnd || key < end; }

bool within(std::string_view key, std::string_view begin, const std::string& end) {
  if (end.empty()) return key == begin;
  return key >= begin && before_end(key, end);
}

}  // namespace

Snapshot::~Snapshot() {
  const std::lock_guard lock(cache_.pins_mutex_);
  cache_.pins_.erase(cache_.pins_.find(revision_));
}

RangeResult Snapshot::range(const Range& range) const { return cache_.collect(range, revision_); }

Cache::Cache(const Options& options) : options_(options) {
  if (options_.own_thread) thread_ = start_thread([this] { run(); });
}

Cache::~Cache() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(wake_mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  hub_.end_all(Error("the store has closed", static_cast<int>(Code::kCancelled)));
}

// --- reading --------------------------------------------------------------------------------------------------

// The revision to read at.
Result<Revision> Cache::check(Revision at) const {
  const Revision now = revision();
  if (at == 0) return now;
  if (at > now) return fail_as(Code::kFutureRevision, "revision ", at, " is not there yet, the newest is ", now);
  if (at < compacted()) return fail_as(Code::kCompacted, "revision ", at, " has been compacted");
  return at;
}

Result<RecordPtr> Cache::get(std::string_view key, Revision at) const {
  for (;;) {
    const Revision revision = TRY(check(at));
    RecordPtr found;
    {
      const Epochs::Guard guard(epochs_);
      found = version_at(index_.find(key), revision, &Record::previous_);
    }
    // What was trimmed meanwhile may be what was looked for.
    if (trimmed_.load(std::memory_order_acquire) <= revision) return found;
  }
}

Result<RangeResult> Cache::range(const Range& range) const {
  for (;;) {
    const Revision at = TRY(check(range.revision));
    RangeResult result = collect(range, at);
    if (trimmed_.load(std::memory_order_acquire) <= at) return result;
  }
}

RangeResult Cache::collect(const Range& range, Revision at) const {
  RangeResult result{.revision = revision()};
  const auto take = [&](const Record* record) {
    ++result.count;
    if (range.count_only) return;
    if (range.limit == 0 || result.records.size() < range.limit)
      result.records.emplace_back(record);
    else
      result.more = true;
  };
  const Epochs::Guard guard(epochs_);
  if (range.end.empty()) {
    if (const Record* const record = version_at(index_.find(range.key), at, &Record::previous_)) take(record);
    return result;
  }
  index_.walk(range.key, [&](const Record& newest) {
    if (!before_end(newest.key(), range.end)) return false;
    if (const Record* const record = version_at(&newest, at, &Record::previous_)) take(record);
    return !(range.uncounted && result.more);
  });
  return result;
}

Result<std::unique_ptr<Snapshot>> Cache::snapshot(Revision at) const {
  const std::lock_guard lock(pins_mutex_);
  const Revision revision = TRY(check(at));
  pins_.insert(revision);
  return std::make_unique<Snapshot>(*this, revision);
}

Cache::Figures Cache::figures() const {
  const std::lock_guard lock(history_mutex_);
  return {.keys = index_.size(),
          .history_events = history_.size(),
          .history_bytes = history_bytes_,
          .watches = hub_.size()};
}

// --- watching -------------------------------------------------------------------------------------------------

std::vector<Event> Cache::backlog(const WatchRequest& request, Revision upto) const {
  std::vector<Event> events;
  const std::lock_guard lock(history_mutex_);
  auto past = std::ranges::lower_bound(history_, request.from, {},
                                       [](const Past& entry) { return entry.record->mod_revision(); });
  for (; past != history_.end() && past->record->mod_revision() <= upto; ++past)
    if (within(past->record->key(), request.key, request.end)) events.push_back({past->record, past->previous});
  return events;
}

Result<std::unique_ptr<Watch>> Cache::watch(WatchRequest request) {
  const size_t limit = request.buffer != 0 ? request.buffer : options_.watch_buffer;
  std::unique_ptr<Watch> watch;
  const auto lock = hub_.hold();
  const Revision told = hub_.told();
  // 0 is what is published after this call, not what is still to be told.
  if (request.from <= 0) request.from = revision() + 1;
  std::vector<Event> events;
  if (request.from <= told) {
    events = backlog(request, told);
    if (request.from <= std::max(compacted(), trimmed_.load(std::memory_order_acquire)))
      return fail_as(Code::kCompacted, "revision ", request.from, " has been compacted; the oldest to watch from is ",
                     compacted() + 1);
  }
  return hub_.add(std::move(request), std::move(events), limit);
}

bool Cache::tell_some() {
  {
    const auto lock = hub_.hold();
    const Revision told = hub_.told();
    const Revision upto = revision();
    if (told == upto) return false;
    std::vector<Event> events;
    Revision last = upto;
    {
      const std::lock_guard history(history_mutex_);
      auto past = std::ranges::lower_bound(history_, told + 1, {},
                                           [](const Past& entry) { return entry.record->mod_revision(); });
      for (; past != history_.end() && past->record->mod_revision() <= upto; ++past) {
        if (events.size() >= kTellAtOnce && past->record->mod_revision() != events.back().record->mod_revision()) {
          last = events.back().record->mod_revision();
          break;
        }
        events.push_back({past->record, past->previous});
      }
    }
    hub_.tell(events, last);
  }
  hub_.wake();
  return true;
}

void Cache::run() {
  for (;;) {
    {
      std::unique_lock lock(wake_mutex_);
      wake_.wait(lock, [&] { return ending_ || hub_.told() != revision(); });
      if (ending_) return;
    }
    while (tell_some()) continue;
  }
}

// --- writing --------------------------------------------------------------------------------------------------

const Record* Cache::newest(std::string_view key) const {
  const Record* const record = index_.find(key);
  return record && !record->deleted() ? record : nullptr;
}

RangeResult Cache::newest_range(const Range& range) const { return collect(range, INT64_MAX); }

void Cache::apply(RecordPtr record) {
  applied_.push_back(record);
  index_.push(std::move(record));
}

void Cache::enter_history() {
  const std::lock_guard lock(history_mutex_);
  for (RecordPtr& record : applied_) {
    const Record* previous = record->previous_.load(std::memory_order_relaxed);
    if (previous) history_bytes_ += previous->footprint();
    if (previous && previous->deleted()) previous = nullptr;
    history_.push_back({std::move(record), previous});
  }
  applied_.clear();
}

void Cache::publish(Revision revision) {
  enter_history();
  hub_.set_written(revision);
  if (options_.own_thread) {
    {
      const std::lock_guard lock(wake_mutex_);
      published_.store(revision, std::memory_order_release);
    }
    wake_.notify_one();
  } else {
    published_.store(revision, std::memory_order_release);
    while (tell_some()) continue;
  }
}

void Cache::jump(Revision revision, const Error& why) {
  {
    const auto lock = hub_.hold();
    enter_history();
    published_.store(revision, std::memory_order_release);
    compact(revision);
    hub_.set_written(revision);
    hub_.set_told(revision);
  }
  hub_.end_all(why);
}

void Cache::undo() {
  for (auto record = applied_.rbegin(); record != applied_.rend(); ++record) index_.pop((*record)->key());
  applied_.clear();
  epochs_.reclaim();
}

void Cache::begin_at(Revision revision, Revision compacted) {
  published_.store(revision, std::memory_order_release);
  compacted_.store(compacted, std::memory_order_release);
  trimmed_.store(compacted, std::memory_order_release);
  hub_.set_written(revision);
  const auto lock = hub_.hold();
  hub_.set_told(revision);
}

void Cache::compact(Revision revision) {
  const std::lock_guard lock(pins_mutex_);
  compacted_.store(std::max(compacted(), std::min(revision, this->revision())), std::memory_order_release);
}

bool Cache::trim(size_t most, const std::function<void(const Record&)>& dropped) {
  Revision upto = std::min(compacted(), hub_.told());
  {
    const std::lock_guard lock(pins_mutex_);
    if (!pins_.empty()) upto = std::min(upto, *pins_.begin());
    if (upto > trimmed_.load(std::memory_order_relaxed)) trimmed_.store(upto, std::memory_order_seq_cst);
  }
  std::vector<Past> gone;
  {
    const std::lock_guard lock(history_mutex_);
    while (gone.size() < most && !history_.empty() && history_.front().record->mod_revision() <= upto) {
      gone.push_back(std::move(history_.front()));
      history_.pop_front();
      if (const Record* const previous = gone.back().record->previous_.load(std::memory_order_relaxed))
        history_bytes_ -= previous->footprint();
    }
  }
  for (const auto& [record, previous] : gone) {
    // Also one that is not among what `previous` tells: the end of a key that was made again.
    if (const Record* const before = record->previous_.load(std::memory_order_relaxed)) {
      dropped(*before);
      index_.cut_previous(*record);
    }
    if (record->deleted() && index_.find(record->key()) == record.get()) {
      dropped(*record);
      index_.erase(record->key());
    }
  }
  epochs_.reclaim();
  return gone.size() == most;
}

Revision Cache::revision_to_fit(size_t bytes) const {
  const std::lock_guard lock(history_mutex_);
  size_t left = history_bytes_;
  Revision revision = 0;
  for (const Past& past : history_) {
    if (left <= bytes) break;
    if (const Record* const previous = past.record->previous_.load(std::memory_order_relaxed))
      left -= previous->footprint();
    revision = past.record->mod_revision();
  }
  return revision;
}

}  // namespace proa::kube::store
