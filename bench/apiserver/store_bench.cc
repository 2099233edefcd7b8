// One measurement of a store, printed as a line of JSON.
//   store_bench create CLIENTS SECONDS BYTES folder DIR | etcd URL | etcd URL CERTIFICATES
//   store_bench fanout WATCHERS RATE SECONDS BYTES DIR
//   store_bench memory OBJECTS BYTES DIR
//   store_bench start OBJECTS BYTES DIR
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "kernel/file.h"
#include "kube/store/embedded.h"
#include "kube/store/etcd/cluster.h"

namespace {

using namespace proa;
using namespace proa::kube::store;
using net::Task;
using SteadyClock = std::chrono::steady_clock;

int64_t nanoseconds() { return SteadyClock::now().time_since_epoch().count(); }

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "store_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}

Txn creation(const std::string& key, const std::string& value) {
  Txn txn;
  txn.compares.push_back(Compare::absent(key));
  txn.success.push_back(Put{Draft(key, value)});
  return txn;
}

double percentile(std::vector<int64_t>& sorted, double part) {
  if (sorted.empty()) return 0;
  return static_cast<double>(sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))]) / 1000;
}

// --- create ---------------------------------------------------------------------------------------------------

struct Load {
  std::function<Task<Result<>>(size_t client, std::string key)> create;
  int64_t end = 0;
  std::vector<std::vector<int64_t>> times;  // of each client
};

Task<bool> client(Load& load, size_t number) {
  for (int64_t serial = 0, begin = nanoseconds(); begin < load.end; ++serial) {
    const auto done = co_await load.create(number, cat("/registry/pods/bench/c", number, "-", serial));
    if (!done) die(done.error().message());
    const int64_t now = nanoseconds();
    load.times[number].push_back(now - begin);
    begin = now;
  }
  co_return true;
}

void create(const std::vector<std::string>& words) {
  const size_t clients = std::stoul(words[0]);
  const std::string value(std::stoul(words[2]), 'x');
  // One loop: the clients' side costs both the same.
  auto loops = must(net::Loops::start({.threads = 1}));
  std::unique_ptr<EmbeddedStore> store;
  std::vector<std::unique_ptr<etcd::Cluster>> clusters;
  Load load;
  if (words[3] == "folder") {
    store = must(open_embedded({.folder = words[4]}));
    load.create = [&](size_t, std::string key) -> Task<Result<>> {
      CO_TRY(co_await store->commit(creation(key, value)));
      co_return Result<>();
    };
  } else {
    etcd::ClusterOptions options = {.endpoints = {words[4]}};
    if (words.size() > 5) {
      options.ca_file = words[5] + "/ca.pem";
      options.certificate_file = words[5] + "/node.pem";
      options.key_file = words[5] + "/node.key";
    }
    // Over TLS each client has a connection of its own, as clients of our server have.
    clusters.resize(words.size() > 5 ? clients : 1);
    for (auto& each : clusters) each = must(etcd::Cluster::create(*loops, options));
    load.create = [&](size_t client, std::string key) -> Task<Result<>> {
      CO_TRY(co_await clusters[client % clusters.size()]->call(etcd::Effect::kChanges, "KV/Txn",
                                                               etcd::encode_txn(creation(key, value))));
      co_return Result<>();
    };
  }
  load.times.resize(clients);
  const int64_t begin = nanoseconds();
  load.end = begin + std::stol(words[1]) * 1'000'000'000;
  {
    std::vector<std::jthread> waiting;
    for (size_t i = 0; i < clients; ++i)
      waiting.emplace_back([&, i] { net::Loops::wait(loops->at(0), client(load, i)); });
  }
  const double seconds = static_cast<double>(nanoseconds() - begin) / 1e9;
  std::vector<int64_t> all;
  for (const auto& times : load.times) all.insert(all.end(), times.begin(), times.end());
  std::ranges::sort(all);
  std::printf("{\"per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n", static_cast<double>(all.size()) / seconds,
              percentile(all, 0.5), percentile(all, 0.99));
  store.reset();
  clusters.clear();
}

// --- fan-out --------------------------------------------------------------------------------------------------

Task<bool> watcher(EmbeddedStore& store, size_t events, std::vector<int64_t>& delays) {
  auto watch = must(store.watch({.key = "/registry/pods/", .end = prefix_end("/registry/pods/")}));
  while (delays.size() < events) {
    const auto batch = co_await watch->next();
    if (!batch) die(batch.error().message());
    const int64_t now = nanoseconds();
    for (const Event& event : batch->events) {
      int64_t written = 0;
      std::memcpy(&written, event.record->value().data(), sizeof written);
      delays.push_back(now - written);
    }
  }
  co_return true;
}

void fanout(const std::vector<std::string>& words) {
  const size_t watchers = std::stoul(words[0]);
  const size_t rate = std::stoul(words[1]);
  const size_t events = rate * std::stoul(words[2]);
  std::string value(std::stoul(words[3]), 'x');
  auto store = must(open_embedded({.folder = words[4]}));
  auto loops = must(net::Loops::start());
  std::vector<std::vector<int64_t>> delays(watchers);
  std::atomic<size_t> ended = 0;
  for (size_t i = 0; i < watchers; ++i) {
    delays[i].reserve(events);
    loops->next().spawn(
        [](EmbeddedStore& of, size_t count, std::vector<int64_t>& to, std::atomic<size_t>& end) -> Task<> {
          co_await watcher(of, count, to);
          ++end;
        }(*store, events, delays[i], ended));
  }
  while (must(finish(store->status())).memory.watches < watchers)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto begin = SteadyClock::now();
  for (size_t i = 0; i < events; ++i) {
    std::this_thread::sleep_until(begin + std::chrono::nanoseconds(1'000'000'000 / rate * i));
    const int64_t now = nanoseconds();
    std::memcpy(value.data(), &now, sizeof now);
    Txn txn;
    txn.success.push_back(Put{Draft(cat("/registry/pods/bench/p", i % 1000), value)});
    must(finish(store->commit(std::move(txn))));
  }
  while (ended < watchers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<int64_t> all;
  for (const auto& each : delays) all.insert(all.end(), each.begin(), each.end());
  std::ranges::sort(all);
  std::printf("{\"events\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"most_us\": %.0f}\n", all.size(),
              percentile(all, 0.5), percentile(all, 0.99), percentile(all, 1));
  loops.reset();
}

// --- memory and start -----------------------------------------------------------------------------------------

size_t resident_bytes() {
  const std::string text = must(kernel::read_file("/proc/self/statm"));
  return std::stoul(text.substr(text.find(' ') + 1)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

void fill(EmbeddedStore& store, size_t objects, size_t bytes) {
  const std::string value(bytes, 'x');
  for (size_t i = 0; i < objects;) {
    Txn txn;
    for (size_t j = 0; j < 100 && i < objects; ++j, ++i)
      txn.success.push_back(Put{Draft(cat("/registry/pods/namespace-", i % 100, "/deployment-7f89cf47bf-", i), value)});
    must(finish(store.commit(std::move(txn))));
  }
}

void memory(const std::vector<std::string>& words) {
  const size_t objects = std::stoul(words[0]);
  const size_t bytes = std::stoul(words[1]);
  auto store = must(open_embedded({.folder = words[2]}));
  const size_t before = resident_bytes();
  fill(*store, objects, bytes);
  const size_t after = resident_bytes();
  std::printf("{\"empty_bytes\": %zu, \"bytes\": %zu, \"per_object\": %.0f, \"overhead\": %.0f}\n", before,
              after - before, static_cast<double>(after - before) / static_cast<double>(objects),
              static_cast<double>(after - before) / static_cast<double>(objects) - static_cast<double>(bytes));
}

void start(const std::vector<std::string>& words) {
  const size_t objects = std::stoul(words[0]);
  fill(*must(open_embedded({.folder = words[2]})), objects, std::stoul(words[1]));
  const int64_t begin = nanoseconds();
  const auto store = must(open_embedded({.folder = words[2]}));
  const double seconds = static_cast<double>(nanoseconds() - begin) / 1e9;
  std::printf(
      "{\"seconds\": %.3f, \"objects\": %zd}\n", seconds,
      static_cast<ssize_t>(must(store->range({.key = {}, .end = std::string(kToTheEnd), .count_only = true})).count));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "create" && (words.size() == 5 || words.size() == 6))
    create(words);
  else if (what == "fanout" && words.size() == 5)
    fanout(words);
  else if (what == "memory" && words.size() == 3)
    memory(words);
  else if (what == "start" && words.size() == 3)
    start(words);
  else
    die("see the head of its source");
}
