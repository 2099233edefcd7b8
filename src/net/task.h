// Task: what an asynchronous function returns. It starts when awaited, runs on the loop thread of whoever
// awaits it, and resumes the awaiting coroutine directly when it is done.
//
//   Task<Result<>> copy(Request& request, Response& response) {
//     const std::string body = CO_TRY(co_await request.read_all());
//     co_return co_await response.send(body);
//   }
//
// A Task that is dropped before it was awaited never runs. One that waits for something must not be dropped.
// A coroutine's parameters are copied into it, references are not followed: what they refer to, and the
// lambda object whose captures a coroutine uses, must outlive it.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.h"

namespace proa::net {

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
    return done.promise().continuation;
  }
  void await_resume() const noexcept {}
};

struct TaskPromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::exception_ptr exception;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception = std::current_exception(); }
};

template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  // Without template argument: co_return {} and braced values.
  void return_value(T result) { value.emplace(std::move(result)); }
  T take() {
    if (exception) std::rethrow_exception(std::move(exception));
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  void return_void() const noexcept {}
  void take() {
    if (exception) std::rethrow_exception(std::move(exception));
  }
};

}  // namespace detail

template <typename T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::TaskPromise<T> {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    handle_.promise().continuation = awaiting;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace proa::net

// TRY and TRY_CTX for coroutines.
#define CO_TRY(expression)                                        \
  ({                                                              \
    auto proa_result_ = (expression);                             \
    if (!proa_result_) [[unlikely]]                               \
      co_return std::unexpected(std::move(proa_result_).error()); \
    *std::move(proa_result_);                                     \
  })
#define CO_TRY_CTX(expression, ...)                                                                      \
  ({                                                                                                     \
    auto proa_result_ = (expression);                                                                    \
    if (!proa_result_) [[unlikely]]                                                                      \
      co_return std::unexpected(std::move(proa_result_).error().with_context(::proa::cat(__VA_ARGS__))); \
    *std::move(proa_result_);                                                                            \
  })
