// Wakes: coroutines to be resumed on their loops, in one job for each; those of no loop right here. When destroyed.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "net/loop.h"

namespace proa::kube::store {

class Wakes {
 public:
  Wakes() = default;
  Wakes(const Wakes&) = delete;
  Wakes& operator=(const Wakes&) = delete;
  ~Wakes() {
    for (auto& [loop, coroutines] : loops_) {
      auto resume = [handles = std::move(coroutines)] {
        for (const auto handle : handles) handle.resume();
      };
      if (loop)
        loop->post(std::move(resume));
      else
        resume();
    }
  }

  void add(net::Loop* loop, std::coroutine_handle<> handle) {
    for (auto& [known, coroutines] : loops_)
      if (known == loop) return coroutines.push_back(handle);
    loops_.push_back({loop, {handle}});
  }

 private:
  std::vector<std::pair<net::Loop*, std::vector<std::coroutine_handle<>>>> loops_;
};

}  // namespace proa::kube::store
