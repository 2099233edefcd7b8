// LeaderElection: of several servers on one store, the one whose controllers are at work. By a Lease that the leader
// renews and the others watch, with the meaning that client-go's leaderelection gives it, so that `kubectl get lease`
// shows who leads, and a controller manager of another make would give way.
//
//   LeaderElection election(client, surroundings, {.identity = "node-1_…"});
//   for (;;) {
//     co_await election.attempt();                 // becomes the leader, or stays it
//     if (election.leads()) …                      // true until election.until() at most
//     co_await net::sleep(election.pause());
//   }
//
// No clocks are compared: a lease has ended when it was seen unchanged for its whole duration. A leader that could not
// renew it stops to lead before that (`renew_deadline`). Belongs to one thread.
#pragma once

#include <chrono>
#include <string>

#include "kube/client/controller.h"

namespace proa::kube::api {

struct ElectionOptions {
  std::string identity;
  std::string ns = "kube-system";
  std::string name = "kube-controller-manager";
  std::chrono::nanoseconds lease_duration = std::chrono::seconds(15);
  std::chrono::nanoseconds renew_deadline = std::chrono::seconds(10);
  std::chrono::nanoseconds retry_period = std::chrono::seconds(2);
};

class LeaderElection {
 public:
  // Both outlive it.
  LeaderElection(Client& client, const Surroundings& around, ElectionOptions options)
      : client_(client), around_(around), options_(std::move(options)) {}

  // Once: takes the lease if nobody holds it, renews it if this one does. Failures are found out by leads().
  net::Task<> attempt();
  bool leads() const { return leader_ && around_.clock.monotonic() < until_; }
  // When it ceases to lead unless an attempt() succeeds.
  MonotonicTime until() const { return until_; }
  // Before the next attempt(): somewhat longer by chance for those that wait.
  std::chrono::nanoseconds pause() const;
  // Gives the lease away, so that another need not wait for its end.
  net::Task<> release();

 private:
  Target target() const;
  bool observe(const Value& lease, MonotonicTime now);
  net::Task<Answer<>> make(MonotonicTime now);
  net::Task<Answer<>> take(MonotonicTime now);
  Value spec(Arena& arena, const Value& before) const;
  void won(const Value& lease, MonotonicTime now);

  Client& client_;
  const Surroundings& around_;
  const ElectionOptions options_;
  std::string holder_, version_;  // of the lease as it was last seen
  MonotonicTime observed_{};      // ... first like that
  bool leader_ = false;
  MonotonicTime until_{};
};

}  // namespace proa::kube::api
