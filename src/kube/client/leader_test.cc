#include "kube/client/leader.h"

#include "base/error.h"
#include "kube/controllers/world_test.h"

namespace proa::kube::api {
namespace {

using std::chrono::seconds;

class Leader : public World {
 protected:
  Leader() { create({.resource = "namespaces"}, R"({"metadata":{"name":"kube-system"}})"); }

  void attempt(LeaderElection& election) {
    net::Loop::start([](LeaderElection& one) -> net::Task<> { co_await one.attempt(); }(election));
  }
  void release(LeaderElection& election) {
    net::Loop::start([](LeaderElection& one) -> net::Task<> { co_await one.release(); }(election));
  }
  std::string lease(std::string_view field) const { return shown(lease_, {"spec", field}); }

  const Target lease_{
      .group = "coordination.k8s.io", .resource = "leases", .ns = "kube-system", .name = "kube-controller-manager"};
  Surroundings around_{.reader = reader_, .clock = clock_, .random = [this] { return ++dice_; }, .client = {}};
  LeaderElection a_{*client_, around_, {.identity = "a"}};
  LeaderElection b_{*client_, around_, {.identity = "b"}};
};

TEST_F(Leader, TheFirstLeadsWhileItRenews) {
  attempt(a_);
  attempt(b_);
  EXPECT_TRUE(a_.leads());
  EXPECT_FALSE(b_.leads());
  for (int i = 0; i < 30; ++i) {
    clock_.advance(seconds(2));
    attempt(a_);
    attempt(b_);
    EXPECT_TRUE(a_.leads());
    EXPECT_FALSE(b_.leads());
  }
  EXPECT_EQ(lease("holderIdentity"), R"("a")");
  EXPECT_EQ(lease("leaseDurationSeconds"), "15");
  EXPECT_EQ(lease("leaseTransitions"), "0");
  EXPECT_EQ(lease("acquireTime"), R"("2023-11-14T22:13:20.000000Z")");
  EXPECT_EQ(lease("renewTime"), R"("2023-11-14T22:14:20.000000Z")");
}

TEST_F(Leader, StopsBeforeAnotherMayBegin) {
  attempt(a_);
  attempt(b_);
  for (int second = 1; second < 15; ++second) {
    clock_.advance(seconds(1));
    attempt(b_);
    EXPECT_EQ(a_.leads(), second < 10) << second;
    EXPECT_FALSE(b_.leads()) << second;
  }
  clock_.advance(seconds(1));
  attempt(b_);
  EXPECT_TRUE(b_.leads());
  EXPECT_EQ(lease("leaseTransitions"), "1");
  attempt(a_);
  EXPECT_FALSE(a_.leads());
}

TEST_F(Leader, ALeaseCountsFromWhenItWasSeen) {
  attempt(a_);
  clock_.advance(seconds(60));
  attempt(b_);
  EXPECT_FALSE(b_.leads()) << "clocks may differ: it looks at the lease for as long as it lasts";
  clock_.advance(seconds(15));
  attempt(b_);
  EXPECT_TRUE(b_.leads());
}

TEST_F(Leader, WhatIsGivenAwayIsTakenAtOnce) {
  attempt(a_);
  attempt(b_);
  release(a_);
  EXPECT_FALSE(a_.leads());
  EXPECT_EQ(lease("holderIdentity"), "null");
  attempt(b_);
  EXPECT_TRUE(b_.leads());
  release(a_);
  EXPECT_EQ(lease("holderIdentity"), R"("b")") << "only what one has";
}

TEST_F(Leader, SaysSoInAnEvent) {
  attempt(a_);
  const auto events = client_->list({.resource = "events", .ns = "kube-system"});
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front()->root().string("message"), "a became leader");
}

}  // namespace
}  // namespace proa::kube::api
