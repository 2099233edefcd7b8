// The controllers of a server, at work on a thread of their own, so that nothing they do keeps requests waiting.
#pragma once

#include <functional>
#include <memory>

#include "kube/apiserver/access/controllers/controllers.h"
#include "kube/apiserver/registry/definitions.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/client/controller.h"

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
  };
  static Result<std::unique_ptr<Control>> start(Parts parts);
  // Ends them, and waits for what they have begun.
  ~Control();

 private:
  explicit Control(Parts parts) : parts_(std::move(parts)) {}
  net::Task<> run();
  net::Task<> follow_definitions();
  void ended();

  const Parts parts_;
  std::unique_ptr<net::Loops> loops_;
  std::unique_ptr<Controllers> controllers_;
  std::mutex mutex_;
  std::condition_variable end_;
  int running_ = 0;
};

}  // namespace proa::kube::api
