#include "kube/store/machine.h"

#include <algorithm>

#include "base/ids.h"
#include "base/log.h"
#include "kube/store/errors.h"
#include "kube/store/txn.h"

namespace proa::kube::store {

namespace {

constexpr size_t kTrimAtOnce = 512;
constexpr int64_t kLongestTtl = 9'000'000'000;  // seconds, as etcd
constexpr auto kRestAfterError = std::chrono::seconds(1);

}  // namespace

Machine::Machine(Cache& cache, std::optional<Journal> journal, const EmbeddedOptions& options, const Clock& clock)
    : cache_(cache), journal_(std::move(journal)), options_(options), clock_(clock) {}

Result<> Machine::load() {
  Journal::Start start;
  if (journal_) start = TRY(journal_->start());
  cache_.begin_at(start.revision, start.compacted);
  revision_ = next_ = start.revision;
  saved_compacted_ = start.compacted;
  if (!journal_) return {};
  const MonotonicTime now = clock_.monotonic();
  // Their time begins anew: nobody could renew them meanwhile.
  TRY(journal_->load_leases([&](LeaseId id, int64_t ttl) { leases_.grant(id, ttl, now); }));
  TRY(journal_->load([&](RecordPtr record) -> Result<> {
    const Record* const previous = cache_.newest(record->key());
    if (previous) leases_.detach(*previous);
    if (!record->deleted()) leases_.attach(*record);
    cache_.apply(std::move(record));
    return {};
  }));
  cache_.publish(revision_);
  while (cache_.trim(SIZE_MAX / 2, [&](const Record& record) { note(journal_->drop(record)); })) continue;
  return commit();
}

// --- transactions ---------------------------------------------------------------------------------------------

Result<> Machine::check_usable() const {
  if (broken_) return std::unexpected(*broken_);
  if (failed_) return std::unexpected(*failed_);
  return {};
}

Result<> Machine::check_leases(const std::vector<Operation>& operations) const {
  for (const Operation& operation : operations)
    if (const auto* put = std::get_if<Put>(&operation))
      if (put->lease != 0 && !leases_.contains(put->lease))
        return fail_as(Code::kLeaseNotFound, "lease ", put->lease, " does not exist");
  return {};
}

Result<> Machine::check_changes(const std::vector<Operation>& operations) const {
  auto changes = static_cast<int64_t>(operations.size());
  for (const Operation& operation : operations)
    if (const auto* gone = std::get_if<Delete>(&operation); gone && !gone->end.empty())
      changes += cache_.newest_range({.key = gone->key, .end = gone->end, .count_only = true}).count;
  if (changes > Journal::kMostChanges)
    return fail_as(Code::kTooLarge, "a transaction of ", changes, " changes; at most ", Journal::kMostChanges);
  return {};
}

Result<TxnResult> Machine::txn(Txn txn) {
  TRY(check_usable());
  TRY(check_txn(txn));
  TxnResult result;
  result.succeeded = std::ranges::all_of(
      txn.compares, [&](const Compare& compare) { return holds(compare, cache_.newest(compare.key)); });
  std::vector<Operation>& operations = result.succeeded ? txn.success : txn.failure;
  TRY(check_leases(operations));
  for (const Operation& operation : operations)
    if (const auto* range = std::get_if<Range>(&operation); range && range->revision != 0)
      TRY(cache_.range({.key = range->key, .end = range->end, .revision = range->revision, .limit = 1}));
  TRY(check_changes(operations));
  order_ = 0;
  result.results.reserve(operations.size());
  for (Operation& operation : operations) result.results.push_back(apply(operation));
  if (order_ > 0) ++next_;
  TRY(check_usable());
  result.revision = next_;
  return result;
}

OperationResult Machine::apply(Operation& operation) {
  if (auto* put = std::get_if<Put>(&operation)) return apply_put(*put);
  if (const auto* gone = std::get_if<Delete>(&operation)) return apply_delete(*gone);
  RangeResult found = search(std::get<Range>(operation));
  return {.record = nullptr,
          .previous = nullptr,
          .records = std::move(found.records),
          .more = found.more,
          .count = found.count};
}

RangeResult Machine::search(const Range& range) const {
  if (range.revision == 0) return cache_.newest_range(range);
  return cache_.range(range).value_or(RangeResult());
}

OperationResult Machine::apply_put(Put& put) {
  const Record* const before = cache_.newest(put.draft.key());
  OperationResult result;
  result.previous = before;
  result.record = std::move(put.draft).finish({.create_revision = before ? before->create_revision() : next_ + 1,
                                               .mod_revision = next_ + 1,
                                               .version = before ? before->version() + 1 : 1,
                                               .lease = put.lease,
                                               .order = order_++});
  enter(result.record, before);
  return result;
}

OperationResult Machine::apply_delete(const Delete& gone) {
  OperationResult result;
  result.records = cache_.newest_range({.key = gone.key, .end = gone.end}).records;
  result.count = static_cast<int64_t>(result.records.size());
  for (const RecordPtr& record : result.records) remove(*record);
  return result;
}

void Machine::remove(const Record& record) {
  enter(Draft(record.key(), 0).finish({.mod_revision = next_ + 1, .deleted = true, .order = order_++}), &record);
}

void Machine::enter(RecordPtr record, const Record* previous) {
  if (previous) leases_.detach(*previous);
  if (!record->deleted()) leases_.attach(*record);
  if (journal_ && !failed_) note(journal_->append(*record));
  cache_.apply(std::move(record));
}

// --- leases ---------------------------------------------------------------------------------------------------

Result<Lease> Machine::grant(int64_t ttl, LeaseId id) {
  TRY(check_usable());
  if (ttl <= 0 || ttl > kLongestTtl)
    return fail_as(Code::kInvalid, "a lease of ", ttl, " seconds; between 1 and ", kLongestTtl);
  if (id < 0) return fail_as(Code::kInvalid, "a lease's id is negative");
  if (id != 0 && leases_.contains(id)) return fail_as(Code::kLeaseExists, "lease ", id, " exists already");
  while (id == 0 || leases_.contains(id)) {
    const uint64_t number = options_.random ? options_.random() : TRY(random_number());
    id = static_cast<LeaseId>(number >> 1);
  }
  if (journal_) note(journal_->put_lease(id, ttl));
  leases_.grant(id, ttl, clock_.monotonic());
  TRY(check_usable());
  return Lease{.id = id, .ttl = ttl, .remaining = ttl};
}

Result<Lease> Machine::renew(LeaseId id) {
  if (!leases_.renew(id, clock_.monotonic())) return fail_as(Code::kLeaseNotFound, "lease ", id, " does not exist");
  const int64_t ttl = leases_.find(id)->ttl;
  return Lease{.id = id, .ttl = ttl, .remaining = ttl};
}

Result<> Machine::revoke(LeaseId id) {
  TRY(check_usable());
  if (!leases_.contains(id)) return fail_as(Code::kLeaseNotFound, "lease ", id, " does not exist");
  remove_lease(id);
  return check_usable();
}

void Machine::remove_lease(LeaseId id) {
  std::vector<RecordPtr> records;
  for (const Record* const record : leases_.find(id)->records) records.emplace_back(record);
  std::ranges::sort(records, {}, [](const RecordPtr& record) { return record->key(); });
  order_ = 0;
  for (const RecordPtr& record : records) remove(*record);
  if (order_ > 0) ++next_;
  leases_.remove(id);
  if (journal_) note(journal_->drop_lease(id));
}

std::vector<Lease> Machine::leases() const {
  std::vector<Lease> list;
  const MonotonicTime now = clock_.monotonic();
  for (const auto& [id, entry] : leases_.all()) {
    const auto left = std::chrono::floor<std::chrono::seconds>(entry.deadline - now).count();
    list.push_back({.id = id, .ttl = entry.ttl, .remaining = std::max<int64_t>(0, left)});
  }
  std::ranges::sort(list, {}, &Lease::id);
  return list;
}

// --- what time brings -----------------------------------------------------------------------------------------

Result<> Machine::compact(Revision revision) {
  if (revision > revision_)
    return fail_as(Code::kFutureRevision, "revision ", revision, " is not there yet, the newest is ", revision_);
  if (revision <= cache_.compacted()) return fail_as(Code::kCompacted, "revision ", revision, " has been compacted");
  cache_.compact(revision);
  more_to_trim_ = true;
  return {};
}

void Machine::keep_house() {
  const MonotonicTime now = clock_.monotonic();
  if (broken_ || (rest_until_ && now < *rest_until_)) return;
  rest_until_.reset();
  sample_history(now);
  trim();
  for (auto due = leases_.first(); due && due->first <= now && !failed_; due = leases_.first())
    remove_lease(due->second);
}

void Machine::sample_history(MonotonicTime now) {
  const auto age = std::chrono::nanoseconds(options_.history);
  if (age.count() > 0) {
    const bool changed = samples_.empty() ? revision_ > cache_.compacted() : samples_.back().revision < revision_;
    if (changed && (samples_.empty() || now - samples_.back().time >= age / 10)) samples_.push_back({now, revision_});
    while (!samples_.empty() && now - samples_.front().time >= age) {
      cache_.compact(samples_.front().revision);
      more_to_trim_ = true;
      samples_.pop_front();
    }
  }
  if (more_to_trim_ || cache_.figures().history_bytes <= options_.history_bytes) return;
  cache_.compact(cache_.revision_to_fit(options_.history_bytes / 4 * 3));
  more_to_trim_ = true;
}

void Machine::trim() {
  if (!more_to_trim_) return;
  more_to_trim_ = cache_.trim(kTrimAtOnce, [&](const Record& record) {
    if (journal_) note(journal_->drop(record));
  });
  if (!journal_ || cache_.compacted() == saved_compacted_) return;
  note(journal_->set_compacted(cache_.compacted(), revision_));
  if (!failed_) saved_compacted_ = cache_.compacted();
}

std::optional<MonotonicTime> Machine::next_deadline() const {
  if (broken_) return std::nullopt;
  std::optional<MonotonicTime> next;
  const auto earlier = [&](MonotonicTime time) {
    if (!next || time < *next) next = time;
  };
  if (more_to_trim_) earlier(clock_.monotonic());
  if (const auto due = leases_.first()) earlier(due->first);
  if (options_.history.count() > 0) {
    if (!samples_.empty()) earlier(samples_.front().time + options_.history);
    if (samples_.empty() && revision_ > cache_.compacted())
      earlier(clock_.monotonic());
    else if (!samples_.empty() && samples_.back().revision < revision_)
      earlier(samples_.back().time + std::chrono::nanoseconds(options_.history) / 10);
  }
  if (next && rest_until_) next = std::max(*next, *rest_until_);
  return next;
}

// --- committing -----------------------------------------------------------------------------------------------

void Machine::note(const Result<>& result) {
  if (!result && !failed_) failed_ = result.error();
}

Result<> Machine::commit() {
  if (journal_ && !failed_) note(journal_->commit());
  if (failed_) {
    take_back();
    const Error error = *std::exchange(failed_, std::nullopt);
    return std::unexpected(error);
  }
  if (next_ == revision_) return {};
  revision_ = next_;
  cache_.publish(revision_);
  return {};
}

void Machine::take_back() {
  if (journal_) journal_->rollback();
  cache_.undo();
  next_ = revision_;
  rest_until_ = clock_.monotonic() + kRestAfterError;
  saved_compacted_ = -1;  // to be written again with the next
  const LeaseBook before = std::exchange(leases_, {});
  if (journal_) {
    const MonotonicTime now = clock_.monotonic();
    note(journal_->load_leases([&](LeaseId id, int64_t ttl) {
      const LeaseBook::Entry* const known = before.find(id);
      leases_.grant(id, ttl, known ? known->deadline - std::chrono::seconds(ttl) : now);
    }));
    for (const RecordPtr& record : cache_.newest_range({.key = {}, .end = std::string(kToTheEnd)}).records)
      leases_.attach(*record);
    const int code = failed_->code();
    // What was asked for wrongly, or found no room, changes nothing; after anything else nobody knows what the disk
    // has.
    if (code == ENOSPC) {
      static_cast<void>(journal_->checkpoint());
    } else if (code != static_cast<int>(Code::kTooLarge)) {
      broken_ = Error(cat("the store takes no more writes: ", failed_->message()), static_cast<int>(Code::kFailed));
      log::error(broken_->message());
    }
  }
}

}  // namespace proa::kube::store
