// Concurrent clients of a store, seeded, with watchers, compaction and restarts; then the judgement of the history.
//   store_history [--seed N] [--operations N] [--restarts N] --folder DIR
//   store_history ... --etcd URL,URL,URL --ca FILE --cert FILE --key FILE
// Prints "progress N" as calls are made, so that a test can break something meanwhile. Exit status 1 and what is
// wrong when the history cannot be.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "base/text.h"
#include "kube/store/embedded.h"
#include "kube/store/etcd/store.h"
#include "tests/sim/store/history.h"

namespace {

using namespace proa;
using namespace proa::kube::store;
using std::chrono::milliseconds;

constexpr std::string_view kPrefix = "/registry/t/";
constexpr int kClients = 6;
constexpr int kWatchers = 5;

struct Plan {
  uint32_t seed = 1;
  int operations = 3000;
  int restarts = 2;
  std::function<Result<std::unique_ptr<Store>>()> open;
  bool remote = false;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "store_history: %s\n", what.c_str());
  std::exit(1);
}

class Run {
 public:
  explicit Run(Plan plan) : plan_(std::move(plan)) {}
  int run();

 private:
  struct Watcher {
    std::string prefix;
    Revision last = 0;  // all up to here has been seen
    bool slow = false;
  };
  void phase(int number);
  void client(int number, int phase, int operations);
  Call write(std::mt19937& random, int number, int& serial);
  Call read(std::mt19937& random);
  Call list(std::mt19937& random);
  void watch(Watcher& watcher, uint32_t seed);
  void collect();
  std::string some_key(std::mt19937& random) { return cat(kPrefix, "abc"[random() % 3], "/", random() % 12); }
  Revision fresh();

  const Plan plan_;
  History history_;
  std::unique_ptr<Store> store_;
  std::vector<Watcher> watchers_;
  Revision collected_ = 1;
  std::atomic<Revision> collected_now_ = 1;
  std::atomic<Revision> phase_end_ = 0;  // 0: still going on
  std::atomic<int> done_ = 0;
};

Revision Run::fresh() {
  for (int attempt = 0; attempt < 20; ++attempt)
    if (const auto revision = finish(store_->fresh())) return *revision;
  die("the store never answers");
}

Call Run::write(std::mt19937& random, int number, int& serial) {
  Call call{.kind = random() % 4 == 0 ? Call::kDelete : Call::kPut, .key = some_key(random)};
  Txn txn;
  if (random() % 2 == 0) {
    // Guarded by what was there a moment ago, or long ago.
    const RecordPtr known = store_->get(call.key).value_or(nullptr);
    call.expected = known ? known->mod_revision() : 0;
    txn.compares.push_back(Compare::unchanged(call.key, call.expected));
  }
  if (call.kind == Call::kPut) {
    call.value = cat("c", number, "-", serial++, std::string(random() % 300, '.'));
    txn.success.push_back(Put{Draft(call.key, call.value)});
    if (random() % 5 == 0) txn.success.push_back(Delete{cat(kPrefix, "d/", number), ""});
    if (random() % 5 == 0) txn.success.push_back(Put{Draft(cat(kPrefix, "d/", number + 100), cat(call.value, "+"))});
  } else {
    txn.success.push_back(Delete{call.key, ""});
  }
  call.begin = history_.now();
  const auto result = finish(store_->commit(std::move(txn)));
  call.end = history_.now();
  if (result) {
    call.outcome = result->succeeded ? Call::kDone : Call::kRefused;
    call.revision = result->revision;
    // A deletion of nothing has no revision of its own.
    if (result->succeeded && call.kind == Call::kDelete && result->results[0].count == 0) {
      call.kind = Call::kRead;
      call.expected = -1;
    }
    return call;
  }
  const int code = result.error().code();
  if (!plan_.remote) die(cat("commit: ", result.error().message()));
  call.outcome = code == static_cast<int>(Code::kUncertain) ? Call::kUncertain : Call::kFailed;
  if (call.outcome == Call::kFailed && code != static_cast<int>(Code::kUnavailable)) die(result.error().message());
  return call;
}

Call Run::read(std::mt19937& random) {
  Call call{.kind = Call::kRead, .key = some_key(random)};
  call.begin = history_.now();
  call.revision = plan_.remote ? fresh() : store_->revision();
  const auto record = store_->get(call.key, call.revision);
  call.end = history_.now();
  if (!record)
    call.outcome = Call::kFailed;  // compacted meanwhile
  else if (*record)
    call.value = std::string((*record)->value());
  return call;
}

Call Run::list(std::mt19937& random) {
  Call call{.kind = Call::kList, .key = cat(kPrefix, "abc"[random() % 3], "/")};
  call.begin = history_.now();
  if (plan_.remote) fresh();
  auto snapshot = store_->snapshot();
  call.revision = (*snapshot)->revision();
  Range range = Range::of_prefix(call.key);
  range.limit = 5;
  for (bool more = true; more;) {
    const RangeResult page = (*snapshot)->range(range);
    for (const RecordPtr& record : page.records) call.listed.emplace_back(record->key(), record->mod_revision());
    more = page.more;
    if (more) range = range.after(page.records.back()->key());
  }
  call.end = history_.now();
  return call;
}

void Run::client(int number, int phase, int operations) {
  std::mt19937 random(plan_.seed * 1000 + static_cast<uint32_t>(phase * 100 + number));
  int serial = phase * 1'000'000;
  std::vector<Call> calls;
  for (int i = 0; i < operations; ++i) {
    const unsigned what = random() % 100;
    if (what < 70)
      calls.push_back(write(random, number, serial));
    else if (what < 90)
      calls.push_back(read(random));
    else if (what < 99)
      calls.push_back(list(random));
    else
      // The collector must not be overtaken: it is what everything is held against.
      static_cast<void>(finish(store_->compact(collected_now_ - static_cast<Revision>(random() % 50))));
    if (const int done = ++done_; done % 100 == 0) {
      std::printf("progress %d\n", done);
      std::fflush(stdout);
    }
  }
  history_.add(std::move(calls));
}

// Follows a prefix; when it is told to list again, it does, and goes on from there.
void Run::watch(Watcher& watcher, uint32_t seed) {
  std::mt19937 random(seed);
  for (;;) {
    Stretch stretch{.prefix = watcher.prefix, .from = watcher.last, .upto = watcher.last, .seen = {}};
    auto watch = store_->watch({.key = watcher.prefix,
                                .end = prefix_end(watcher.prefix),
                                .from = watcher.last + 1,
                                .buffer = watcher.slow ? 5u : 0u});
    bool again = !watch && is(watch.error(), Code::kCompacted);
    if (!watch && !again) die(watch.error().message());
    while (!again) {
      const auto batch = (*watch)->wait(milliseconds(20));
      if (!batch) {
        again = is(batch.error(), Code::kCompacted);
        if (!again && !is(batch.error(), Code::kSlowWatcher)) die(batch.error().message());
        break;
      }
      for (const Event& event : batch->events) stretch.seen.push_back(change_of(*event.record));
      stretch.upto = watcher.last = std::max(stretch.upto, batch->revision);
      if (const Revision end = phase_end_; end != 0 && stretch.upto >= end) return history_.add(std::move(stretch));
      if (random() % 50 == 0) break;  // a new watch from where this one ended
      if (watcher.slow && random() % 4 == 0) std::this_thread::sleep_for(milliseconds(10));
    }
    history_.add(std::move(stretch));
    if (again) watcher.last = std::max(watcher.last, store_->compacted());
  }
}

void Run::collect() {
  for (;;) {
    auto watch = store_->watch(
        {.key = std::string(kPrefix), .end = prefix_end(kPrefix), .from = collected_ + 1, .buffer = 1 << 20});
    if (!watch) die(cat("the collector: ", watch.error().message()));
    const auto batch = (*watch)->wait(milliseconds(20));
    if (!batch) die(cat("the collector: ", batch.error().message()));
    for (const Event& event : batch->events) history_.collect(change_of(*event.record));
    collected_now_ = collected_ = std::max(collected_, batch->revision);
    if (const Revision end = phase_end_; end != 0 && collected_ >= end) return;
  }
}

void Run::phase(int number) {
  auto opened = plan_.open();
  if (!opened) die(opened.error().message());
  store_ = std::move(*opened);
  if (number == 0) {
    collected_ = collected_now_ = fresh();
    for (Watcher& watcher : watchers_) watcher.last = collected_;
    Range before = Range::of_prefix(kPrefix);
    before.revision = collected_;
    for (const RecordPtr& record : store_->range(before).value().records) history_.begin_with(change_of(*record));
  }
  phase_end_ = 0;
  std::vector<std::jthread> followers;
  followers.emplace_back([&] { collect(); });
  for (size_t i = 0; i < watchers_.size(); ++i)
    followers.emplace_back([&, i] {
      watch(watchers_[i], plan_.seed * 77 + static_cast<uint32_t>(i) + static_cast<uint32_t>(number) * 13);
    });
  {
    std::vector<std::jthread> clients;
    const int each = plan_.operations / (plan_.restarts + 1) / kClients;
    for (int i = 0; i < kClients; ++i) clients.emplace_back([&, i] { client(i, number, each); });
  }
  phase_end_ = fresh();
  followers.clear();
  store_.reset();
}

int Run::run() {
  for (int i = 0; i < kWatchers; ++i)
    watchers_.push_back({.prefix = i == 4 ? std::string(kPrefix) : cat(kPrefix, "abcd"[i], "/"), .slow = i == 1});
  for (int number = 0; number <= plan_.restarts; ++number) phase(number);
  const std::vector<std::string> wrong = history_.check(phase_end_);
  for (const std::string& what : wrong) std::printf("wrong: %s\n", what.c_str());
  std::printf("seed %u: %s: %s\n", plan_.seed, history_.summary().c_str(), wrong.empty() ? "right" : "WRONG");
  return wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  const auto number = [&](const char* name, int otherwise) {
    return flags.contains(name) ? std::atoi(flags[name].c_str()) : otherwise;
  };
  Plan plan{.seed = static_cast<uint32_t>(number("--seed", 1)),
            .operations = number("--operations", 3000),
            .restarts = number("--restarts", 2),
            .open = {}};
  std::unique_ptr<net::Loops> loops;
  if (flags.contains("--etcd")) {
    loops = std::move(net::Loops::start().value());
    EtcdOptions options{
        .cluster = {.ca_file = flags["--ca"], .certificate_file = flags["--cert"], .key_file = flags["--key"]}};
    for (const std::string_view url : split(flags["--etcd"], ',')) options.cluster.endpoints.emplace_back(url);
    plan.remote = true;
    plan.open = [options, &loops] { return open_etcd(*loops, options); };
  } else {
    const EmbeddedOptions options{.folder = flags["--folder"]};
    plan.open = [options]() -> Result<std::unique_ptr<Store>> {
      return std::unique_ptr<Store>(TRY(open_embedded(options)));
    };
  }
  return Run(std::move(plan)).run();
}
