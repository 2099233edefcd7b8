#include "kube/store/etcd/store.h"

#include <algorithm>
#include <deque>
#include <list>
#include <mutex>
#include <unordered_set>

#include "base/fd.h"
#include "base/log.h"
#include "kube/store/errors.h"
#include "kube/store/txn.h"
#include "kube/store/wakes.h"

namespace proa::kube::store {

namespace {

using etcd::Cluster;
using etcd::Effect;
using net::Task;

constexpr net::Duration kSoon{50};  // for what is probably on its way
constexpr net::Duration kReconnectPause{100};
constexpr size_t kFirstPage = 100;  // records; further pages by the size of these
constexpr size_t kPageBytes = 4 << 20;
constexpr size_t kMostOfPage = 5'000;
constexpr size_t kTrimAtOnce = 4'096;
constexpr int kLoadAttempts = 5;

class EtcdStore final : public Store {
 public:
  EtcdStore(std::unique_ptr<Cluster> cluster, EtcdOptions options)
      : Store({.own_thread = true, .watch_buffer = options.watch_buffer}),
        options_(std::move(options)),
        clock_(options_.clock ? *options_.clock : Clock::system()),
        sync_key_(options_.prefix + ".proa/sync"),
        cluster_(std::move(cluster)) {}
  ~EtcdStore() override { stop(); }

  Result<> start();

  bool may_lag() const override { return true; }
  Task<Result<Revision>> fresh() override;
  Task<Result<RangeResult>> read(Range wanted) override;
  Task<Result<TxnResult>> commit(Txn txn) override;
  Task<Result<>> compact(Revision revision) override;
  Task<Result<Lease>> grant(int64_t ttl, LeaseId id) override;
  Task<Result<Lease>> renew(LeaseId id) override;
  Task<Result<>> revoke(LeaseId id) override;
  Task<Result<std::vector<Lease>>> leases() override;
  Task<Result<StoreStatus>> status() override;

 private:
  // co_await, on a loop: until reads see the revision; false if they do not in time.
  class Reach;
  struct Sample {
    MonotonicTime time;
    Revision revision;
  };

  // --- following the cluster, on its loop
  Task<Result<>> load();
  Task<Result<>> reload();
  Task<Result<Revision>> compacted_there();
  Task<Result<Revision>> newest_there();
  Task<Result<std::vector<RecordPtr>>> all_records(Revision& revision);
  Task<> follow();
  Task<Result<>> read_stream(net::GrpcStream& stream, bool& missed);
  Result<bool> take(const etcd::WatchAnswer& answer);
  void publish(Revision revision);
  void breathe();
  void forget_history();
  Task<> compact_there(Revision revision);
  void begin_task();
  void end_task();
  void stop();

  Result<> check_keys(const Txn& txn) const;
  bool ours(std::string_view key) const { return key.starts_with(options_.prefix) && key != sync_key_; }
  TxnResult result_of(const std::vector<Operation>& operations, etcd::TxnAnswer answer) const;

  const EtcdOptions options_;
  const Clock& clock_;
  const std::string sync_key_;  // written where a place in the order of all writes is needed, seen by nobody
  std::unique_ptr<Cluster> cluster_;

  std::shared_ptr<net::GrpcStream> stream_;  // on the cluster's loop, like all that follows up to `mutex_`
  std::deque<Sample> samples_;
  std::optional<net::Timer> breath_;
  bool stopping_ = false;

  std::mutex mutex_;
  std::condition_variable ended_;
  size_t tasks_ = 0;
  std::list<Reach*> waiting_;
};

// --- waiting for a revision -----------------------------------------------------------------------------------

class EtcdStore::Reach {
 public:
  Reach(EtcdStore& store, Revision revision, net::Duration timeout)
      : store_(store), revision_(revision), timeout_(timeout) {}
  bool await_ready() {
    reached_ = store_.revision() >= revision_;
    return reached_;
  }
  bool await_suspend(std::coroutine_handle<> handle) {
    loop_ = net::Loop::current();
    handle_ = handle;
    timer_.emplace(*loop_, expired, this);
    timer_->set_after(timeout_);
    const std::lock_guard lock(store_.mutex_);
    if (store_.revision() >= revision_) {
      reached_ = true;
      return false;
    }
    place_ = store_.waiting_.insert(store_.waiting_.end(), this);
    return true;
  }
  bool await_resume() {
    timer_.reset();
    return reached_;
  }

 private:
  friend class EtcdStore;
  static void expired(void* context) {
    Reach& self = *static_cast<Reach*>(context);
    {
      const std::lock_guard lock(self.store_.mutex_);
      if (self.reached_) return;  // and will be resumed
      self.store_.waiting_.erase(self.place_);
    }
    self.handle_.resume();
  }

  EtcdStore& store_;
  const Revision revision_;
  const net::Duration timeout_;
  bool reached_ = false;
  net::Loop* loop_ = nullptr;
  std::coroutine_handle<> handle_;
  std::optional<net::Timer> timer_;
  std::list<Reach*>::iterator place_;
};

void EtcdStore::publish(Revision revision) {
  cache_.publish(revision);
  Wakes wakes;
  const std::lock_guard lock(mutex_);
  for (auto place = waiting_.begin(); place != waiting_.end();) {
    Reach& reach = **place;
    if (reach.revision_ > revision) {
      ++place;
      continue;
    }
    reach.reached_ = true;
    wakes.add(reach.loop_, reach.handle_);
    place = waiting_.erase(place);
  }
}

// --- loading --------------------------------------------------------------------------------------------------

Task<Result<Revision>> EtcdStore::newest_there() {
  const std::string message = etcd::encode_range({.key = sync_key_, .limit = 1}, {.keys_only = true});
  const std::string answer = CO_TRY(co_await cluster_->call(Effect::kReads, "KV/Range", message));
  co_return CO_TRY(etcd::decode_range(answer, {})).revision;
}

// A watch from the beginning is told how much of it is gone.
Task<Result<Revision>> EtcdStore::compacted_there() {
  const auto stream = CO_TRY(co_await cluster_->open("Watch/Watch", etcd::encode_watch_create(sync_key_, {}, 1)));
  for (int messages = 0; messages < 2; ++messages) {
    const auto message = CO_TRY(co_await stream->read());
    if (!message) break;
    const etcd::WatchAnswer answer = CO_TRY(etcd::decode_watch(*message, {}));
    if (answer.canceled) co_return answer.compact_revision;
    if (!answer.created) break;
    // Asked for a sign of life, so that there is a second message if nothing is gone.
    CO_TRY(co_await stream->write(etcd::encode_watch_progress()));
  }
  co_return 0;
}

// All records of ours at `revision`; 0: now, and it is set.
Task<Result<std::vector<RecordPtr>>> EtcdStore::all_records(Revision& revision) {
  std::vector<RecordPtr> all;
  Range range = Range::of_prefix(options_.prefix);
  range.limit = kFirstPage;
  for (bool more = true; more;) {
    range.revision = revision;
    const std::string answer = CO_TRY(co_await cluster_->call(Effect::kReads, "KV/Range", etcd::encode_range(range)));
    RangeResult page = CO_TRY(etcd::decode_range(answer, options_.annotate));
    if (revision == 0) revision = page.revision;
    more = page.more && !page.records.empty();
    if (page.records.empty()) break;
    range = range.after(page.records.back()->key());
    range.limit =
        std::clamp(kPageBytes * page.records.size() / std::max<size_t>(1, answer.size()), size_t{10}, kMostOfPage);
    for (RecordPtr& record : page.records)
      if (record->key() != sync_key_) all.push_back(std::move(record));
  }
  std::ranges::sort(all, {}, [](const RecordPtr& record) { return record->mod_revision(); });
  co_return all;
}

// The state of some time ago, so that the watch brings the history since.
Task<Result<>> EtcdStore::load() {
  bool with_history = true;
  for (int attempt = 0;; ++attempt) {
    const bool last = attempt >= kLoadAttempts;
    const Revision newest = CO_TRY(co_await newest_there());
    const auto compacted = co_await compacted_there();
    if (!compacted && !last) continue;
    if (!compacted) co_return std::unexpected(compacted.error());
    Revision base = std::max({Revision{1}, *compacted, with_history ? newest - options_.history_revisions : newest});
    auto records = co_await all_records(base);
    if (!records && is(records.error(), Code::kCompacted) && !last) {
      with_history = false;
      continue;
    }
    if (!records) co_return std::unexpected(std::move(records).error());
    cache_.begin_at(base, base);
    for (RecordPtr& record : *records) cache_.apply(std::move(record));
    publish(base);
    while (cache_.trim(kTrimAtOnce, [](const Record&) {})) continue;
    co_return Result<>();
  }
}

// After changes were compacted away before they were seen here.
Task<Result<>> EtcdStore::reload() {
  Revision revision = 0;
  std::vector<RecordPtr> records = CO_TRY(co_await all_records(revision));
  std::unordered_set<std::string_view> there;
  for (const RecordPtr& record : records) there.insert(record->key());
  const RangeResult before = cache_.newest_range({.key = {}, .end = std::string(kToTheEnd)});
  for (const RecordPtr& record : records) {
    const Record* const known = cache_.newest(record->key());
    if (!known || known->mod_revision() != record->mod_revision()) cache_.apply(record);
  }
  for (const RecordPtr& record : before.records)
    if (!there.contains(record->key()))
      cache_.apply(Draft(record->key(), 0).finish({.mod_revision = revision, .deleted = true}));
  cache_.jump(revision, Error(cat("changes before revision ", revision, " were compacted before they came here"),
                              static_cast<int>(Code::kCompacted)));
  publish(revision);
  co_return Result<>();
}

Result<> EtcdStore::start() {
  TRY(net::Loops::wait(cluster_->loop(), load()));
  begin_task();
  cluster_->loop().spawn(follow());
  const auto caught_up = net::Loops::wait(cluster_->loop(), fresh());
  if (!caught_up) return std::unexpected(caught_up.error());
  return {};
}

// --- following ------------------------------------------------------------------------------------------------

void EtcdStore::begin_task() {
  const std::lock_guard lock(mutex_);
  ++tasks_;
}

void EtcdStore::end_task() {
  const std::lock_guard lock(mutex_);
  --tasks_;
  ended_.notify_all();
}

void EtcdStore::stop() {
  cluster_->loop().post([this] {
    stopping_ = true;
    if (stream_) stream_->cancel();
  });
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return tasks_ == 0; });
}

Task<> EtcdStore::follow() {
  bool missed = false;
  while (!stopping_) {
    if (missed) {
      const auto loaded = co_await reload();
      missed = !loaded;
      if (!loaded) log::warning("etcd: load anew: ", loaded.error().message());
    }
    if (!missed) {
      const std::string wanted =
          etcd::encode_watch_create(options_.prefix, prefix_end(options_.prefix), cache_.revision() + 1);
      auto stream = co_await cluster_->open("Watch/Watch", wanted);
      Result<> ended;
      if (stream && !stopping_) {
        stream_ = std::move(*stream);
        ended = co_await read_stream(*stream_, missed);
        stream_.reset();
        if (!ended) cluster_->turn_to_next();
      } else if (!stream) {
        ended = std::unexpected(std::move(stream).error());
      }
      if (!ended && !stopping_) log::info("etcd: watch anew: ", ended.error().message());
      if (ended) continue;
    }
    if (!stopping_) co_await net::sleep(kReconnectPause);
  }
  end_task();
}

// `missed` when changes were compacted that have not come.
Task<Result<>> EtcdStore::read_stream(net::GrpcStream& stream, bool& missed) {
  breath_.emplace(cluster_->loop(), [](void* self) { static_cast<EtcdStore*>(self)->breathe(); }, this);
  const Defer done([&] { breath_.reset(); });
  breath_->set_after(options_.cluster.watch_silence / 3);
  for (;;) {
    const auto message = CO_TRY(co_await stream.read());
    if (!message) co_return fail("etcd has ended the watch: ", stream.status().message);
    const etcd::WatchAnswer answer = CO_TRY(etcd::decode_watch(*message, options_.annotate));
    if (answer.canceled) {
      missed = answer.compact_revision > cache_.revision();
      if (missed) co_return Result<>();
      co_return fail("etcd has cancelled the watch: ", answer.cancel_reason);
    }
    CO_TRY(take(answer));
  }
}

// A revision's changes come in one message; after a reconnection, not those that have come before.
Result<bool> EtcdStore::take(const etcd::WatchAnswer& answer) {
  Revision last = cache_.revision();
  for (const RecordPtr& record : answer.records) {
    if (record->mod_revision() <= cache_.revision()) continue;
    if (record->mod_revision() < last) {
      cache_.undo();
      return fail_as(Code::kCorrupt, "etcd's watch goes back in time");
    }
    last = record->mod_revision();
    if (record->key() != sync_key_) cache_.apply(record);
  }
  if (last == cache_.revision()) return false;
  publish(last);
  return true;
}

// Now and then while the watch is open: a sign of life is asked for, and old history goes.
void EtcdStore::breathe() {
  if (!stream_ || stopping_) return;
  breath_->set_after(options_.cluster.watch_silence / 3);
  net::Loop::start([](std::shared_ptr<net::GrpcStream> stream) -> Task<> {
    static_cast<void>(co_await stream->write(etcd::encode_watch_progress()));
  }(stream_));
  forget_history();
}

void EtcdStore::forget_history() {
  const MonotonicTime now = clock_.monotonic();
  const auto age = std::chrono::nanoseconds(options_.history);
  if (age.count() > 0) {
    const Revision known = samples_.empty() ? cache_.compacted() : samples_.back().revision;
    if (cache_.revision() > known && (samples_.empty() || now - samples_.back().time >= age / 10))
      samples_.push_back({now, cache_.revision()});
    while (!samples_.empty() && now - samples_.front().time >= age) {
      cache_.compact(samples_.front().revision);
      begin_task();
      net::Loop::start(compact_there(samples_.front().revision));
      samples_.pop_front();
    }
  }
  if (cache_.figures().history_bytes > options_.history_bytes)
    cache_.compact(cache_.revision_to_fit(options_.history_bytes / 4 * 3));
  cache_.trim(kTrimAtOnce, [](const Record&) {});
}

// Others may have done it before.
Task<> EtcdStore::compact_there(Revision revision) {
  const auto done = co_await cluster_->call(Effect::kReads, "KV/Compact", etcd::encode_compaction(revision));
  if (!done && !is(done.error(), Code::kCompacted)) log::warning("etcd: compact: ", done.error().message());
  end_task();
}

// --- calls ----------------------------------------------------------------------------------------------------

Result<> EtcdStore::check_keys(const Txn& txn) const {
  const auto check = [&](std::string_view key, std::string_view end) -> Result<> {
    const bool inside = ours(key) && (end.empty() || (end != kToTheEnd && end <= prefix_end(options_.prefix)));
    if (!inside) return fail_as(Code::kInvalid, "key \"", key, "\" is not below ", options_.prefix);
    return {};
  };
  for (const Compare& compare : txn.compares) TRY(check(compare.key, {}));
  for (const auto* operations : {&txn.success, &txn.failure})
    for (const Operation& operation : *operations) {
      if (const auto* put = std::get_if<Put>(&operation)) TRY(check(put->draft.key(), {}));
      if (const auto* gone = std::get_if<Delete>(&operation)) TRY(check(gone->key, gone->end));
      if (const auto* range = std::get_if<Range>(&operation)) TRY(check(range->key, range->end));
    }
  return {};
}

Task<Result<TxnResult>> EtcdStore::commit(Txn txn) {
  CO_TRY(check_txn(txn));
  CO_TRY(check_keys(txn));
  const auto changes = [](const Operation& operation) { return !std::holds_alternative<Range>(operation); };
  const bool may_change = std::ranges::any_of(txn.success, changes) || std::ranges::any_of(txn.failure, changes);
  const std::string message =
      CO_TRY(co_await cluster_->call(may_change ? Effect::kChanges : Effect::kReads, "KV/Txn", etcd::encode_txn(txn)));
  etcd::TxnAnswer answer = CO_TRY(etcd::decode_txn(message, options_.annotate));
  const std::vector<Operation>& operations = answer.succeeded ? txn.success : txn.failure;
  if (answer.parts.size() != operations.size()) co_return fail_as(Code::kCorrupt, "etcd's TxnResponse lacks parts");
  if (std::ranges::any_of(answer.parts, &etcd::TxnAnswer::Part::changed)) {
    const Revision revision = answer.revision;
    if (!co_await Reach(*this, revision, 2 * options_.cluster.total_timeout))
      co_return fail_as(Code::kUncertain, "revision ", revision, " was written, and has not come back");
  }
  co_return result_of(operations, std::move(answer));
}

TxnResult EtcdStore::result_of(const std::vector<Operation>& operations, etcd::TxnAnswer answer) const {
  TxnResult result{.succeeded = answer.succeeded, .revision = answer.revision, .results = {}};
  for (size_t i = 0; i < operations.size(); ++i) {
    OperationResult& part = result.results.emplace_back();
    etcd::TxnAnswer::Part& told = answer.parts[i];
    if (const auto* put = std::get_if<Put>(&operations[i])) {
      part.record = get(put->draft.key(), answer.revision).value_or(nullptr);
      part.previous = get(put->draft.key(), answer.revision - 1).value_or(nullptr);
    } else if (const auto* gone = std::get_if<Delete>(&operations[i])) {
      part.count = told.deleted;
      if (told.deleted > 0)
        part.records = range({.key = gone->key, .end = gone->end, .revision = answer.revision - 1})
                           .value_or(RangeResult())
                           .records;
    } else {
      part.records = std::move(told.found.records);
      part.more = told.found.more;
      part.count = told.found.count;
    }
  }
  return result;
}

Task<Result<Revision>> EtcdStore::fresh() {
  const Revision there = CO_TRY(co_await newest_there());
  if (co_await Reach(*this, there, kSoon)) co_return revision();
  // Nothing of ours may have come since: a write of our own tells. Twice does no harm.
  Txn txn;
  txn.success.push_back(Put{Draft(sync_key_, "")});
  const std::string message = CO_TRY(co_await cluster_->call(Effect::kReads, "KV/Txn", etcd::encode_txn(txn)));
  const Revision written = CO_TRY(etcd::decode_txn(message, {})).revision;
  if (!co_await Reach(*this, written, options_.cluster.total_timeout))
    co_return fail_as(Code::kUnavailable, "etcd: the watch lies behind revision ", written);
  co_return revision();
}

Task<Result<RangeResult>> EtcdStore::read(Range wanted) {
  if (wanted.revision > revision()) CO_TRY(co_await fresh());
  auto found = range(wanted);
  if (found || !is(found.error(), Code::kCompacted)) co_return found;
  const std::string answer = CO_TRY(co_await cluster_->call(Effect::kReads, "KV/Range", etcd::encode_range(wanted)));
  co_return etcd::decode_range(answer, options_.annotate);
}

Task<Result<>> EtcdStore::compact(Revision revision) {
  CO_TRY(co_await cluster_->call(Effect::kReads, "KV/Compact", etcd::encode_compaction(revision)));
  co_await cluster_->loop().enter();
  cache_.compact(revision);
  co_return Result<>();
}

Task<Result<Lease>> EtcdStore::grant(int64_t ttl, LeaseId id) {
  const std::string message =
      CO_TRY(co_await cluster_->call(Effect::kChanges, "Lease/LeaseGrant", etcd::encode_lease_grant(ttl, id)));
  const etcd::LeaseAnswer answer = CO_TRY(etcd::decode_lease(message));
  if (!answer.error.empty()) co_return fail_as(Code::kInvalid, "etcd: ", answer.error);
  co_return answer.lease;
}

Task<Result<Lease>> EtcdStore::renew(LeaseId id) {
  const auto stream = CO_TRY(co_await cluster_->open("Lease/LeaseKeepAlive", etcd::encode_lease_id(id)));
  const auto message = CO_TRY(co_await stream->read());
  if (!message) co_return fail_as(Code::kUnavailable, "etcd: renew a lease: ", stream->status().message);
  const etcd::LeaseAnswer answer = CO_TRY(etcd::decode_lease(*message));
  if (answer.lease.remaining <= 0) co_return fail_as(Code::kLeaseNotFound, "lease ", id, " does not exist");
  co_return answer.lease;
}

Task<Result<>> EtcdStore::revoke(LeaseId id) {
  CO_TRY(co_await cluster_->call(Effect::kChanges, "Lease/LeaseRevoke", etcd::encode_lease_id(id)));
  co_return Result<>();
}

Task<Result<std::vector<Lease>>> EtcdStore::leases() {
  const std::string message = CO_TRY(co_await cluster_->call(Effect::kReads, "Lease/LeaseLeases", {}));
  std::vector<Lease> all;
  for (const LeaseId id : CO_TRY(etcd::decode_leases(message))) {
    const std::string one =
        CO_TRY(co_await cluster_->call(Effect::kReads, "Lease/LeaseTimeToLive", etcd::encode_lease_id(id)));
    if (const etcd::LeaseAnswer answer = CO_TRY(etcd::decode_lease(one)); answer.lease.remaining >= 0)
      all.push_back(answer.lease);
  }
  std::ranges::sort(all, {}, &Lease::id);
  co_return all;
}

Task<Result<StoreStatus>> EtcdStore::status() {
  const std::string message = CO_TRY(co_await cluster_->call(Effect::kReads, "Maintenance/Status", {}));
  const etcd::StatusAnswer answer = CO_TRY(etcd::decode_status(message));
  co_return StoreStatus{.kind = cat("etcd ", answer.version),
                        .revision = revision(),
                        .compacted = compacted(),
                        .bytes_on_disk = static_cast<uint64_t>(answer.database_bytes),
                        .memory = cache_.figures()};
}

}  // namespace

Result<std::unique_ptr<Store>> open_etcd(net::Loops& loops, EtcdOptions options) {
  if (options.prefix.empty()) return fail_as(Code::kInvalid, "the prefix of the keys in etcd is empty");
  auto cluster = TRY(Cluster::create(loops, options.cluster));
  auto store = std::make_unique<EtcdStore>(std::move(cluster), std::move(options));
  TRY(store->start());
  return store;
}

}  // namespace proa::kube::store
