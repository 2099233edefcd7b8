// Many tasks at once, some at a time: gather(keys.size(), 32, [&](size_t i) { return remove(keys[i]); }).
#pragma once

#include <cstddef>
#include <functional>

#include "net/loop.h"
#include "net/task.h"

namespace proa::kube::api {

// Ends when all have. On one loop, or, with a store without threads, on no loop at all.
inline net::Task<> gather(size_t count, size_t at_once, std::function<net::Task<>(size_t)> make) {
  struct State {
    std::function<net::Task<>(size_t)> make;
    size_t running = 0;
    bool waiting = false;
    net::Event bell;
    static net::Task<> one(State& state, size_t index) {
      co_await state.make(index);
      --state.running;
      if (state.waiting) state.bell.notify();
    }
  } state{.make = std::move(make)};
  for (size_t next = 0; next < count || state.running > 0;) {
    while (next < count && state.running < at_once) {
      ++state.running;
      net::Loop::start(State::one(state, next++));
    }
    if (state.running == 0) continue;
    state.waiting = true;
    co_await state.bell.wait();
    state.waiting = false;
  }
}

}  // namespace proa::kube::api
