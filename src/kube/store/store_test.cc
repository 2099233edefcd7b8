// What every store promises, shown by the embedded one.
#include "kube/store/store.h"

#include <gtest/gtest.h>

#include "kernel/temp_folder_test.h"
#include "kube/store/embedded.h"

namespace proa::kube::store {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StoreTest : public testing::Test {
 protected:
  // In memory, in this thread, time stands still.
  void SetUp() override { open({.folder = {}, .history = seconds(300), .threads = false}); }
  void open(EmbeddedOptions options) {
    store.reset();
    options.clock = &clock;
    auto opened = open_embedded(std::move(options));
    ASSERT_TRUE(opened) << opened.error().message();
    store = std::move(*opened);
  }

  Revision put(std::string_view key, std::string_view value, LeaseId lease = 0) {
    Txn txn;
    txn.success.push_back(Put{Draft(key, value), lease});
    return finish(store->commit(std::move(txn))).value().revision;
  }
  Revision remove(std::string_view key, std::string_view end = {}) {
    Txn txn;
    txn.success.push_back(Delete{std::string(key), std::string(end)});
    return finish(store->commit(std::move(txn))).value().revision;
  }
  std::string value(std::string_view key, Revision at = 0) {
    const auto record = store->get(key, at);
    if (!record) return cat("error ", record.error().code());
    return *record ? std::string((*record)->value()) : "-";
  }
  std::string keys(const Range& range) {
    std::string text;
    const auto found = store->range(range);
    if (!found) return "error";
    for (const RecordPtr& record : found->records) text += cat(record->key(), "=", record->value(), " ");
    return text;
  }
  static std::string text_of(const Result<WatchBatch>& batch) {
    if (!batch) return cat("error ", batch.error().code() - static_cast<int>(Code::kCompacted));
    std::string text;
    for (const Event& event : batch->events)
      text += cat(event.record->mod_revision(), event.record->deleted() ? "-" : "+", event.record->key(), " ");
    return text;
  }
  std::unique_ptr<Watch> watch(std::string_view prefix, Revision from = 0, size_t buffer = 0) {
    return std::move(
        store->watch({.key = std::string(prefix), .end = prefix_end(prefix), .from = from, .buffer = buffer}).value());
  }

  FakeClock clock;
  std::unique_ptr<EmbeddedStore> store;
};

TEST_F(StoreTest, RevisionsAndVersionsCountAsInEtcd) {
  EXPECT_EQ(store->revision(), 1);
  EXPECT_EQ(put("a", "1"), 2);
  EXPECT_EQ(put("b", "1"), 3);
  EXPECT_EQ(put("a", "2"), 4);
  const RecordPtr a = store->get("a").value();
  EXPECT_EQ(a->create_revision(), 2);
  EXPECT_EQ(a->mod_revision(), 4);
  EXPECT_EQ(a->version(), 2);
  EXPECT_EQ(remove("a"), 5);
  EXPECT_EQ(remove("a"), 5) << "nothing was there: nothing has changed";
  EXPECT_EQ(put("a", "3"), 6);
  EXPECT_EQ(store->get("a").value()->version(), 1);
  EXPECT_EQ(store->get("a").value()->create_revision(), 6);
}

TEST_F(StoreTest, ReadsTheKeysOfARevision) {
  put("a", "1");
  put("b", "1");
  put("a", "2");
  remove("b");
  EXPECT_EQ(keys({.key = "a", .end = "z", .revision = 2}), "a=1 ");
  EXPECT_EQ(keys({.key = "a", .end = "z", .revision = 3}), "a=1 b=1 ");
  EXPECT_EQ(keys({.key = "a", .end = "z", .revision = 4}), "a=2 b=1 ");
  EXPECT_EQ(keys({.key = "a", .end = "z"}), "a=2 ");
  EXPECT_EQ(value("b", 4), "1");
  EXPECT_EQ(value("b"), "-");
  EXPECT_TRUE(is(store->get("a", 6).error(), Code::kFutureRevision));
}

TEST_F(StoreTest, RangesHaveLimitsAndCounts) {
  for (int i = 0; i < 300; ++i) put(cat("/pods/", 1000 + i), "x");
  put("/pots", "x");
  Range range = Range::of_prefix("/pods/");
  range.limit = 100;
  auto page = store->range(range).value();
  EXPECT_EQ(page.records.size(), 100u);
  EXPECT_TRUE(page.more);
  EXPECT_EQ(page.count, 300);
  range.revision = page.revision;
  remove("/pods/1150");
  put("/pods/1150a", "y");
  std::string last;
  size_t seen = page.records.size();
  while (page.more) {
    range = range.after(page.records.back()->key());
    page = store->range(range).value();
    seen += page.records.size();
  }
  EXPECT_EQ(seen, 300u);
  range = Range::of_prefix("/pods/");
  range.count_only = true;
  EXPECT_EQ(store->range(range).value().count, 300);
  EXPECT_TRUE(store->range(range).value().records.empty());
  EXPECT_EQ(store->range({.key = "/pods/1299", .end = std::string(kToTheEnd)}).value().count, 2);
}

TEST_F(StoreTest, TransactionsCompareThenDoAllOrTheOther) {
  Txn txn;
  txn.compares.push_back(Compare::absent("a"));
  txn.success.push_back(Put{Draft("a", "1", 17)});
  txn.success.push_back(Put{Draft("b", "2")});
  auto result = finish(store->commit(std::move(txn))).value();
  EXPECT_TRUE(result.succeeded);
  EXPECT_EQ(result.revision, 2);
  EXPECT_EQ(store->get("a").value()->note(), 17u);
  EXPECT_EQ(store->get("b").value()->mod_revision(), 2);
  EXPECT_EQ(store->get("b").value()->order(), 1u);

  txn = {};
  txn.compares.push_back(Compare::unchanged("a", 7));
  txn.success.push_back(Delete{"a", ""});
  txn.failure.push_back(Range{.key = "a"});
  result = finish(store->commit(std::move(txn))).value();
  EXPECT_FALSE(result.succeeded);
  EXPECT_EQ(result.revision, 2);
  ASSERT_EQ(result.results.at(0).records.size(), 1u);
  EXPECT_EQ(result.results[0].records[0]->value(), "1");
}

TEST_F(StoreTest, OperationsSeeThoseBeforeThem) {
  put("a", "1");
  Txn txn;
  txn.success.push_back(Put{Draft("c", "1")});
  txn.success.push_back(Range{.key = "a", .end = "z"});
  txn.success.push_back(Delete{"a", "b"});
  txn.success.push_back(Range{.key = "a", .end = "z"});
  const auto result = finish(store->commit(std::move(txn))).value();
  EXPECT_EQ(result.results[1].count, 2);
  EXPECT_EQ(result.results[2].count, 1);
  EXPECT_EQ(result.results[3].count, 1);
  EXPECT_EQ(result.revision, 3);
}

TEST_F(StoreTest, ComparesEveryPropertyInEveryWay) {
  put("a", "m");
  put("a", "m");
  using T = Compare::Target;
  using R = Compare::Relation;
  const auto check = [&](T target, R relation, int64_t number, std::string text = {}, std::string key = "a") {
    Txn txn;
    txn.compares.push_back({.key = key, .target = target, .relation = relation, .number = number, .value = text});
    return finish(store->commit(std::move(txn))).value().succeeded;
  };
  EXPECT_TRUE(check(T::kVersion, R::kEqual, 2));
  EXPECT_TRUE(check(T::kCreateRevision, R::kLess, 3));
  EXPECT_TRUE(check(T::kModRevision, R::kGreater, 2));
  EXPECT_FALSE(check(T::kModRevision, R::kNotEqual, 3));
  EXPECT_TRUE(check(T::kLease, R::kEqual, 0));
  EXPECT_TRUE(check(T::kValue, R::kEqual, 0, "m"));
  EXPECT_TRUE(check(T::kValue, R::kLess, 0, "n"));
  EXPECT_TRUE(check(T::kVersion, R::kEqual, 0, "", "gone"));
  EXPECT_FALSE(check(T::kValue, R::kNotEqual, 0, "m", "gone"));
}

TEST_F(StoreTest, RefusesWhatEtcdRefuses) {
  const auto code = [&](std::vector<Operation> operations) {
    Txn txn;
    txn.success = std::move(operations);
    const auto result = finish(store->commit(std::move(txn)));
    return result ? 0 : result.error().code();
  };
  const auto two = [](Operation a, Operation b) {
    std::vector<Operation> list;
    list.push_back(std::move(a));
    list.push_back(std::move(b));
    return list;
  };
  std::vector<Operation> one;
  one.push_back(Put{Draft("", "x")});
  EXPECT_EQ(code(std::move(one)), static_cast<int>(Code::kInvalid));
  EXPECT_EQ(code(two(Put{Draft("a", "x")}, Put{Draft("a", "y")})), static_cast<int>(Code::kInvalid));
  EXPECT_EQ(code(two(Put{Draft("a", "x")}, Delete{"a", "b"})), static_cast<int>(Code::kInvalid));
  EXPECT_EQ(code(two(Put{Draft("a", std::string(2 << 20, 'x'))}, Range{.key = "a"})),
            static_cast<int>(Code::kTooLarge));
  EXPECT_EQ(code(two(Put{Draft("a", "x"), 99}, Range{.key = "a"})), static_cast<int>(Code::kLeaseNotFound));
  EXPECT_EQ(store->revision(), 1);
  EXPECT_EQ(value("a"), "-");
}

TEST_F(StoreTest, WatchesTellEachChangeOnce) {
  put("/a/1", "x");
  const auto from_now = watch("/a/");
  const auto from_start = watch("/a/", 1);
  const auto from_later = watch("/a/", 5);
  const auto one = std::move(store->watch({.key = "/a/2"}).value());
  const auto all = watch("");
  put("/a/2", "x");
  put("/b/1", "x");
  remove("/a/1");
  put("/a/2", "y");
  EXPECT_EQ(text_of(from_now->poll()), "3+/a/2 5-/a/1 6+/a/2 ");
  EXPECT_EQ(text_of(from_start->poll()), "2+/a/1 3+/a/2 5-/a/1 6+/a/2 ");
  EXPECT_EQ(text_of(from_later->poll()), "5-/a/1 6+/a/2 ");
  EXPECT_EQ(text_of(one->poll()), "3+/a/2 6+/a/2 ");
  const auto batch = all->poll().value();
  ASSERT_EQ(batch.events.size(), 4u);
  EXPECT_EQ(batch.revision, 6);
  EXPECT_EQ(batch.events[0].previous, nullptr);
  EXPECT_EQ(batch.events[2].previous->value(), "x");
  EXPECT_EQ(batch.events[3].previous->mod_revision(), 3);
  EXPECT_EQ(text_of(all->poll()), "");
}

TEST_F(StoreTest, ASlowWatchIsCutOff) {
  const auto slow = watch("/a/", 0, 3);
  const auto fast = watch("/a/", 0, 3);
  for (int i = 0; i < 8; ++i) {
    put("/a/1", "x");
    EXPECT_NE(text_of(fast->poll()), "");
  }
  EXPECT_TRUE(is(slow->poll().error(), Code::kSlowWatcher));
  EXPECT_TRUE(is(slow->poll().error(), Code::kSlowWatcher)) << "and stays so";
}

TEST_F(StoreTest, CancelledWatchesEnd) {
  const auto ended = watch("/a/");
  ended->cancel();
  EXPECT_TRUE(is(ended->poll().error(), Code::kCancelled));
  for (int i = 0; i < 1000; ++i) watch("/a/");
  put("/a/1", "x");
  EXPECT_EQ(finish(store->status()).value().memory.watches, 0u);
}

TEST_F(StoreTest, CompactionEndsThePast) {
  put("a", "1");  // 2
  put("a", "2");
  put("b", "1");
  remove("b");  // 5
  put("a", "3");
  EXPECT_TRUE(finish(store->compact(5)));
  EXPECT_TRUE(is(store->get("a", 4).error(), Code::kCompacted));
  EXPECT_TRUE(is(store->range({.key = "a", .end = "z", .revision = 3}).error(), Code::kCompacted));
  EXPECT_TRUE(is(store->watch({.key = "a", .from = 5}).error(), Code::kCompacted));
  EXPECT_EQ(keys({.key = "a", .end = "z", .revision = 5}), "a=2 ");
  EXPECT_EQ(text_of(watch("a", 6)->poll()), "6+a ");
  EXPECT_EQ(keys({.key = "a", .end = "z"}), "a=3 ");
  EXPECT_TRUE(is(finish(store->compact(5)).error(), Code::kCompacted));
  EXPECT_TRUE(is(finish(store->compact(99)).error(), Code::kFutureRevision));
  store->tick();
  const auto figures = finish(store->status()).value().memory;
  EXPECT_EQ(figures.keys, 1u) << "the deleted key is gone";
  EXPECT_EQ(figures.history_events, 1u);
}

TEST_F(StoreTest, ASnapshotSurvivesCompaction) {
  for (int i = 0; i < 100; ++i) put(cat("k", 100 + i), "old");
  auto snapshot = std::move(store->snapshot().value());
  for (int i = 0; i < 100; ++i) put(cat("k", 100 + i), "new");
  remove("k", "l");
  EXPECT_TRUE(finish(store->compact(store->revision())));
  store->tick();
  const RangeResult found = snapshot->range({.key = "k", .end = "l"});
  ASSERT_EQ(found.records.size(), 100u);
  for (const RecordPtr& record : found.records) EXPECT_EQ(record->value(), "old");
  snapshot.reset();
  EXPECT_TRUE(finish(store->compact(put("z", "1"))));
  store->tick();
  EXPECT_EQ(finish(store->status()).value().memory.keys, 1u);
}

TEST_F(StoreTest, HistoryEndsWithAgeAndSize) {
  for (const char* text : {"1", "2", "3"}) put("a", text);
  clock.advance(seconds(31));
  store->tick();
  clock.advance(seconds(299));
  store->tick();
  EXPECT_EQ(value("a", 2), "1");
  clock.advance(seconds(2));
  store->tick();
  EXPECT_EQ(store->compacted(), 4);
  EXPECT_TRUE(is(store->get("a", 3).error(), Code::kCompacted));

  open({.folder = {}, .history_bytes = 100'000, .threads = false});
  for (int i = 0; i < 200; ++i) put("a", std::string(2000, 'x'));
  EXPECT_LE(finish(store->status()).value().memory.history_bytes, 110'000u);
  EXPECT_GT(store->compacted(), 100);
  EXPECT_LT(store->compacted(), 199);
}

TEST_F(StoreTest, LeasesTakeTheirKeysAlong) {
  const Lease lease = finish(store->grant(10, 7)).value();
  EXPECT_EQ(lease.id, 7);
  EXPECT_TRUE(is(finish(store->grant(10, 7)).error(), Code::kLeaseExists));
  const Lease other = finish(store->grant(10)).value();
  EXPECT_GT(other.id, 0);
  put("a", "1", 7);
  put("b", "1", 7);
  put("c", "1", other.id);
  put("b", "2");
  const auto events = watch("");
  clock.advance(seconds(6));
  EXPECT_TRUE(finish(store->renew(other.id)));
  clock.advance(seconds(5));
  store->tick();
  EXPECT_EQ(text_of(events->poll()), "6-a ") << "b has no lease any more";
  EXPECT_EQ(finish(store->leases()).value().size(), 1u);
  EXPECT_EQ(finish(store->leases()).value()[0].remaining, 5);
  EXPECT_TRUE(finish(store->revoke(other.id)));
  EXPECT_EQ(text_of(events->poll()), "7-c ");
  EXPECT_TRUE(is(finish(store->renew(7)).error(), Code::kLeaseNotFound));
}

TEST_F(StoreTest, KeepsEverythingOnDisk) {
  const TempFolder folder;
  open({.folder = folder.path(), .threads = false});
  finish(store->grant(100, 7)).value();
  put("a", "1");
  put("a", "2", 7);
  put("b", std::string("\0\xff", 2));
  put("empty", "");
  remove("b");  // 6
  open({.folder = folder.path(), .threads = false});
  EXPECT_EQ(store->revision(), 6);
  EXPECT_EQ(value("a", 2), "1");
  EXPECT_EQ(value("a"), "2");
  EXPECT_EQ(value("empty"), "");
  EXPECT_EQ(value("b", 4), std::string("\0\xff", 2));
  EXPECT_EQ(text_of(watch("", 2)->poll()), "2+a 3+a 4+b 5+empty 6-b ");
  EXPECT_TRUE(finish(store->compact(6)));
  store->tick();
  open({.folder = folder.path(), .threads = false});
  EXPECT_EQ(store->revision(), 6) << "though the newest record is compacted away";
  EXPECT_EQ(store->compacted(), 6);
  EXPECT_TRUE(is(store->get("a", 2).error(), Code::kCompacted));
  EXPECT_EQ(finish(store->status()).value().memory.history_events, 0u);
  clock.advance(seconds(101));
  store->tick();
  EXPECT_EQ(value("a"), "-") << "the lease has ended";
}

TEST_F(StoreTest, OneProcessWritesAtATime) {
  const TempFolder folder;
  open({.folder = folder.path(), .threads = false});
  const auto second = open_embedded({.folder = folder.path()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), EBUSY);
  EXPECT_NE(second.error().message().find(folder.path()), std::string::npos);
}

// --- with threads ---------------------------------------------------------------------------------------------

class ThreadedStoreTest : public StoreTest {
 protected:
  void SetUp() override { open({.folder = folder.path()}); }
  TempFolder folder;
};

TEST_F(ThreadedStoreTest, CoroutinesGoOnOnTheirLoop) {
  auto loops = std::move(net::Loops::start({.threads = 2}).value());
  const auto work = [](EmbeddedStore& of, net::Loop& loop) -> net::Task<int> {
    auto watched = std::move(of.watch({.key = "k", .end = "l"}).value());
    for (int i = 0; i < 20; ++i) {
      Txn txn;
      txn.success.push_back(Put{Draft(cat("k", loop.index()), cat(i))});
      if (!co_await of.commit(std::move(txn)) || !loop.is_current()) co_return -1;
    }
    int seen = 0;
    while (seen < 20) {
      const auto batch = co_await watched->next();
      if (!batch || !loop.is_current()) co_return -2;
      for (const Event& event : batch->events) seen += event.record->key() == cat("k", loop.index());
    }
    watched->request_progress();
    const auto progress = co_await watched->next();
    co_return progress && progress->revision >= 21 ? seen : -3;
  };
  EXPECT_EQ(net::Loops::wait(loops->at(0), work(*store, loops->at(0))), 20);
  EXPECT_EQ(net::Loops::wait(loops->at(1), work(*store, loops->at(1))), 20);
}

TEST_F(ThreadedStoreTest, ThreadsCommitTogether) {
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 8; ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 25; ++i) put(cat("k", thread, "/", i), "x");
    });
  threads.clear();
  EXPECT_EQ(store->revision(), 201);
  EXPECT_EQ(store->range(Range::of_prefix("k")).value().count, 200);
}

TEST_F(ThreadedStoreTest, CancelWakesWhoWaits) {
  const auto waiting = watch("k");
  std::jthread other([&] { waiting->cancel(); });
  EXPECT_FALSE(waiting->wait(seconds(60)));
}

TEST_F(ThreadedStoreTest, ALeaseEndsByItself) {
  FakeClock* const still = &clock;
  finish(store->grant(5, 3)).value();
  put("a", "x", 3);
  const auto events = watch("a");
  still->advance(seconds(6));
  store->tick();
  EXPECT_EQ(text_of(events->wait(seconds(60))), "3-a ");
}

}  // namespace
}  // namespace proa::kube::store
