// The controllers of a server, at work on a thread of their own, so that nothing they do keeps requests waiting. Where
// several servers share a store, those of one of them are at work, and another's once that one is gone.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "kube/apiserver/access/controllers/controllers.h"
#include "kube/apiserver/registry/definitions.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/client/controller.h"
#include "kube/client/leader.h"

namespace proa::kube::api {

class Control {
 public:
  // All outlive it.
  struct Parts {
    Objects& objects;
    const Catalog& catalog;
    Definitions& definitions;
    const Authorizer& authorizer;
    AccessLoops access;
    bool elect = false;  // others may serve the same store
  };
  static Result<std::unique_ptr<Control>> start(Parts parts);
  // Ends them, and waits for what they have begun.
  ~Control();

 private:
  explicit Control(Parts parts) : parts_(std::move(parts)) {}
  Surroundings surroundings();
  std::shared_ptr<Controllers> make_controllers();
  net::Task<> run();
  net::Task<> run_when_elected();
  net::Task<> term();
  void step_down();
  net::Task<> follow_definitions();
  void ended();

  const Parts parts_;
  std::unique_ptr<net::Loops> loops_;
  std::shared_ptr<Controllers> controllers_;  // null while another server's are at work
  std::unique_ptr<Client> election_client_;
  std::optional<Surroundings> election_surroundings_;
  std::optional<LeaderElection> election_;
  net::Event wake_;  // the election is to be looked at now
  bool stopping_ = false;
  std::mutex mutex_;
  std::condition_variable end_;
  int running_ = 0;
};

}  // namespace proa::kube::api
