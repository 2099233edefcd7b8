// Which calls are sent again, against servers that misbehave.
#include "kube/store/etcd/cluster.h"

#include <atomic>

#include "kube/store/errors.h"
#include "net/loopback_test.h"

namespace proa::kube::store::etcd {
namespace {

using net::Request;
using net::Response;
using net::Task;

class ClusterTest : public net::NetTest {
 protected:
  // A member: counts its calls, and answers each with this status.
  struct Member {
    std::unique_ptr<net::Server> server;
    std::string url;
    std::atomic<int> calls = 0;
    std::string status = "0";
    std::string message;
    bool hangs_up = false;
  };
  std::unique_ptr<Member> member(std::string status, std::string message = {}, bool hangs_up = false) {
    auto made = std::make_unique<Member>();
    made->status = std::move(status);
    made->message = std::move(message);
    made->hangs_up = hangs_up;
    made->server =
        std::make_unique<net::Server>(*loops, [&of = *made](Request& request, Response& response) -> Task<Result<>> {
          ++of.calls;
          CO_TRY(co_await request.read_all());
          response.headers.set("content-type", "application/grpc");
          if (of.hangs_up) {
            CO_TRY(co_await response.flush());
            co_return fail("gone");
          }
          response.trailers.set("grpc-status", of.status);
          response.trailers.set("grpc-message", of.message);
          CO_TRY(co_await response.write(of.status == "0" ? std::string(5, '\0') : std::string()));
          co_return Result<>();
        });
    made->url = "http://" + made->server->listen(*net::Endpoint::parse("127.0.0.1:0")).value().text();
    return made;
  }
  Result<std::string> call(Effect effect, std::vector<std::string> urls) {
    auto cluster =
        Cluster::create(*loops, {.endpoints = std::move(urls), .total_timeout = std::chrono::milliseconds(300)});
    return net::Loops::wait(loops->at(0), (*cluster)->call(effect, "KV/Txn", "message"));
  }
  static constexpr const char* kNobody = "http://127.0.0.1:1";
};

TEST_F(ClusterTest, AMemberThatIsNotThereIsPassedOver) {
  const auto good = member("0");
  for (const Effect effect : {Effect::kReads, Effect::kChanges}) {
    good->calls = 0;
    EXPECT_TRUE(call(effect, {kNobody, good->url}));
    EXPECT_EQ(good->calls, 1);
  }
  const auto nobody = call(Effect::kChanges, {kNobody});
  ASSERT_FALSE(nobody);
  EXPECT_TRUE(is(nobody.error(), Code::kUnavailable)) << nobody.error().message();
}

TEST_F(ClusterTest, AChangeThatMayHaveHappenedIsNotSentAgain) {
  const auto bad = member("0", "", true);
  const auto good = member("0");
  const auto result = call(Effect::kChanges, {bad->url, good->url});
  ASSERT_FALSE(result);
  EXPECT_TRUE(is(result.error(), Code::kUncertain)) << result.error().message();
  EXPECT_EQ(bad->calls + good->calls, 1);
  EXPECT_TRUE(call(Effect::kReads, {bad->url, good->url}));
  EXPECT_EQ(good->calls, 1);
}

TEST_F(ClusterTest, OnlyARefusedChangeIsSentAgain) {
  const auto good = member("0");
  const auto leaderless = member("14", "etcdserver: no leader");
  EXPECT_TRUE(call(Effect::kChanges, {leaderless->url, good->url}));
  EXPECT_EQ(good->calls, 1);
  const auto late = member("14", "etcdserver: request timed out");
  const auto result = call(Effect::kChanges, {late->url, good->url});
  ASSERT_FALSE(result);
  EXPECT_TRUE(is(result.error(), Code::kUncertain));
  EXPECT_EQ(good->calls, 1);
  EXPECT_TRUE(call(Effect::kReads, {late->url, good->url}));
}

TEST_F(ClusterTest, EtcdsErrorsAreTold) {
  const auto code = [&](const char* status, const char* message) {
    const auto one = member(status, message);
    const auto result = call(Effect::kChanges, {one->url});
    return result ? 0 : result.error().code();
  };
  EXPECT_EQ(code("11", "etcdserver: mvcc: required revision has been compacted"), static_cast<int>(Code::kCompacted));
  EXPECT_EQ(code("11", "etcdserver: mvcc: required revision is a future revision"),
            static_cast<int>(Code::kFutureRevision));
  EXPECT_EQ(code("5", "etcdserver: requested lease not found"), static_cast<int>(Code::kLeaseNotFound));
  EXPECT_EQ(code("8", "etcdserver: mvcc: database space exceeded"), ENOSPC);
  EXPECT_EQ(code("3", "etcdserver: duplicate key given in txn request"), static_cast<int>(Code::kInvalid));
}

}  // namespace
}  // namespace proa::kube::store::etcd
