// The etcd store against a server that plays etcd, for what a real one does only rarely. What a real one does:
// tests/system/kube/etcd_store_test.py.
#include "kube/store/etcd/store.h"

#include <map>
#include <mutex>

#include "kube/store/errors.h"
#include "kube/store/wire.h"
#include "net/loopback_test.h"

namespace proa::kube::store {
namespace {

using net::Request;
using net::Response;
using net::Task;
using std::chrono::seconds;

std::string framed(std::string_view message) {
  std::string frame(5, '\0');
  for (size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(message.size() >> (24 - 8 * i));
  return frame.append(message);
}

// The fields of a request, the last of each number.
struct Fields {
  explicit Fields(std::string_view message) {
    WireReader in(message);
    while (in.next()) {
      numbers[in.field()] = in.number();
      texts[in.field()] = in.bytes();
    }
  }
  std::map<uint32_t, int64_t> numbers;
  std::map<uint32_t, std::string> texts;
};

// One member with keys, a history from `compacted` on, and watches that can be cut.
class FakeEtcd {
 public:
  Task<Result<>> handle(Request& request, Response& response) {
    response.headers.set("content-type", "application/grpc");
    response.trailers.set("grpc-status", "0");
    if (request.path() == "/etcdserverpb.Watch/Watch") co_return co_await watch(request, response);
    const std::string body = CO_TRY(co_await request.read_all());
    co_return co_await response.write(framed(range(std::string_view(body).substr(5))));
  }
  // Nobody is answered meanwhile.
  auto hold() { return std::unique_lock(mutex_); }
  void put(const std::string& key, const std::string& value) { change(key, &value); }
  void remove(const std::string& key) { change(key, nullptr); }
  // All watches break off, and what has been is forgotten.
  void cut_and_compact() {
    const std::lock_guard lock(mutex_);
    compacted_ = revision_;
    ++generation_;
  }
  void cut() {
    const std::lock_guard lock(mutex_);
    ++generation_;
  }

 private:
  struct Logged {
    Revision revision;
    std::string event;
  };
  void change(const std::string& key, const std::string* value) {
    const std::lock_guard lock(mutex_);
    ++revision_;
    WireWriter record;
    record.bytes(1, key).number(2, value ? revision_ : 0).number(3, revision_).number(4, value ? 1 : 0);
    if (value) record.bytes(5, *value);
    log_.push_back({revision_, WireWriter().number(1, value ? 0 : 1).message(2, record.text()).take()});
    if (value)
      keys_[key] = record.take();
    else
      keys_.erase(key);
  }
  std::string header() const { return WireWriter().number(3, revision_).take(); }
  std::string range(std::string_view message) {
    const Fields wanted(message);
    const std::lock_guard lock(mutex_);
    WireWriter out;
    out.message(1, header());
    if (const auto end = wanted.texts.find(2); end != wanted.texts.end())
      for (const auto& [key, record] : keys_) out.message(2, record);
    return out.take();
  }
  Task<Result<>> watch(Request& request, Response& response) {
    const std::string first(CO_TRY(co_await request.read()));
    const Fields create(Fields(std::string_view(first).substr(5)).texts[1]);
    Revision next = create.numbers.contains(3) ? create.numbers.at(3) : 0;
    int generation = 0;
    std::string answer;
    {
      const std::lock_guard lock(mutex_);
      generation = generation_;
      answer = framed(WireWriter().message(1, header()).number(3, 1).take());
      if (next <= compacted_)
        answer += framed(WireWriter().message(1, header()).number(4, 1).number(5, compacted_).take());
    }
    CO_TRY(co_await response.write(answer));
    for (;; co_await net::sleep(net::Duration(5))) {
      if (request.stopping()) co_return fail("the end");
      std::string events;
      {
        const std::lock_guard lock(mutex_);
        if (generation != generation_) co_return fail("cut");
        for (const Logged& logged : log_) {
          if (logged.revision < next) continue;
          events += framed(WireWriter().message(1, header()).message(11, logged.event).take());
          next = logged.revision + 1;
        }
      }
      if (!events.empty()) CO_TRY(co_await response.write(events));
    }
  }

  std::recursive_mutex mutex_;
  std::map<std::string, std::string> keys_;
  std::vector<Logged> log_;
  Revision revision_ = 1;
  Revision compacted_ = 0;
  int generation_ = 0;
};

class EtcdStoreTest : public net::NetTest {
 protected:
  void open() {
    const std::string where =
        serve([this](Request& request, Response& response) { return etcd.handle(request, response); });
    auto opened = open_etcd(*loops, {.cluster = {.endpoints = {"http://" + where}, .watch_silence = seconds(60)}});
    ASSERT_TRUE(opened) << opened.error().message();
    store = std::move(*opened);
    watch = std::move(store->watch({.key = "/registry/", .end = prefix_end("/registry/")}).value());
  }
  void TearDown() override {
    etcd.cut();
    watch.reset();
    store.reset();
  }
  // The next events that come.
  std::string next() {
    const auto batch = watch->wait(seconds(60));
    if (!batch) return is(batch.error(), Code::kCompacted) ? "compacted" : batch.error().message();
    std::string text;
    for (const Event& event : batch->events) text += cat(event.record->deleted() ? "-" : "+", event.record->key(), " ");
    return text;
  }

  FakeEtcd etcd;
  std::unique_ptr<Store> store;
  std::unique_ptr<Watch> watch;
};

TEST_F(EtcdStoreTest, FollowsAndSurvivesBrokenWatches) {
  etcd.put("/registry/a", "1");
  open();
  EXPECT_EQ(store->get("/registry/a").value()->value(), "1");
  etcd.put("/registry/b", "1");
  EXPECT_EQ(next(), "+/registry/b ");
  etcd.cut();
  etcd.put("/registry/c", "1");
  EXPECT_EQ(next(), "+/registry/c ");
  etcd.cut();
  etcd.remove("/registry/a");
  EXPECT_EQ(next(), "-/registry/a ");
  EXPECT_EQ(store->get("/registry/a").value(), nullptr);
}

TEST_F(EtcdStoreTest, WhatWasCompactedUnseenEndsWatchesAndIsLoadedAnew) {
  etcd.put("/registry/a", "1");
  etcd.put("/registry/b", "1");
  etcd.put("/registry/same", "1");
  open();
  {
    const auto lock = etcd.hold();
    etcd.put("/registry/a", "2");
    etcd.remove("/registry/b");
    etcd.put("/registry/c", "1");
    etcd.cut_and_compact();
  }
  EXPECT_EQ(next(), "compacted");
  watch = std::move(store->watch({.key = "/registry/", .end = prefix_end("/registry/")}).value());
  const RangeResult now = store->range(Range::of_prefix("/registry/")).value();
  std::string text;
  for (const RecordPtr& record : now.records) text += cat(record->key(), "=", record->value(), " ");
  EXPECT_EQ(text, "/registry/a=2 /registry/c=1 /registry/same=1 ");
  EXPECT_TRUE(is(store->get("/registry/a", 3).error(), Code::kCompacted));
  etcd.put("/registry/d", "1");
  EXPECT_EQ(next(), "+/registry/d ");
}

}  // namespace
}  // namespace proa::kube::store
