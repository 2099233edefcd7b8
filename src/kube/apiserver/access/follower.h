// Follows the stored objects under one prefix, for those who keep something made of them: a poll where nothing has
// changed is a comparison of two numbers. Not thread-safe; current() may be asked by any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "kube/store/store.h"

namespace proa::kube::api {

class Follower {
 public:
  struct Sink {
    std::function<void()> forget_all;
    std::function<void(const store::RecordPtr&)> put;
    std::function<void(std::string_view key)> remove;
  };
  // The store outlives it.
  Follower(store::Store& store, std::string prefix) : store_(store), prefix_(std::move(prefix)) {}

  // Whether nothing can have come since the last refresh.
  bool current() const { return store_.revision() <= seen_.load(std::memory_order_acquire); }
  // Tells `sink` what has changed since; all of it the first time, and after it fell too far behind. Whether anything
  // has.
  bool refresh(const Sink& sink);

 private:
  void begin(const Sink& sink);

  store::Store& store_;
  const std::string prefix_;
  std::unique_ptr<store::Watch> watch_;
  std::atomic<store::Revision> seen_ = -1;
};

}  // namespace proa::kube::api
