#include "net/loop.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <thread>

#include "base/log.h"
#include "base/thread.h"
#include "net/descriptor.h"

namespace proa::net {

namespace asio = boost::asio;

namespace {

constexpr size_t kScratchBytes = 256 << 10;
constexpr size_t kKeptBuffers = 32;
constexpr size_t kKeptBufferBytes = 64 << 10;

thread_local Loop* current_loop = nullptr;

// A coroutine nobody waits for.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {}
  };
};

Detached run_detached(Task<> task) {
  try {
    co_await std::move(task);
  } catch (const std::exception& e) {
    log::error("unexpected exception in a task: ", e.what());
  }
}

}  // namespace

// A binary heap on wake_at_. A timer whose deadline has moved later stays in its place and is put right when its
// old time comes: a connection's every step moves its deadline, hardly any passes.
struct TimerHeap {
  std::vector<Timer*> timers;

  void place(Timer* timer, size_t at) {
    timers[at] = timer;
    timer->index_ = at;
  }
  void up(size_t at) {
    Timer* const timer = timers[at];
    for (; at > 0 && timer->wake_at_ < timers[(at - 1) / 2]->wake_at_; at = (at - 1) / 2)
      place(timers[(at - 1) / 2], at);
    place(timer, at);
  }
  void down(size_t at) {
    Timer* const timer = timers[at];
    for (size_t child = 2 * at + 1; child < timers.size(); at = child, child = 2 * at + 1) {
      if (child + 1 < timers.size() && timers[child + 1]->wake_at_ < timers[child]->wake_at_) ++child;
      if (timer->wake_at_ <= timers[child]->wake_at_) break;
      place(timers[child], at);
    }
    place(timer, at);
  }
  // Whether the timer has become the first to wake.
  bool put(Timer* timer) {
    timer->wake_at_ = timer->deadline_;
    if (timer->index_ == SIZE_MAX) {
      timers.push_back(timer);
      timer->index_ = timers.size() - 1;
    }
    up(timer->index_);
    return timer->index_ == 0;
  }
  void remove(Timer* timer) {
    const size_t at = std::exchange(timer->index_, SIZE_MAX);
    timer->wake_at_ = Clock::time_point::max();
    Timer* const last = timers.back();
    timers.pop_back();
    if (last == timer) return;
    place(last, at);
    down(at);
    up(last->index_);
  }
  // Calls what is due; gives the time to wake next.
  Clock::time_point expire(Clock::time_point now) {
    while (!timers.empty() && timers.front()->wake_at_ <= now) {
      Timer* const timer = timers.front();
      if (timer->deadline_ > now && timer->deadline_ != Clock::time_point::max()) {
        timer->wake_at_ = timer->deadline_;
        down(0);
        continue;
      }
      const bool due = timer->deadline_ <= now;
      remove(timer);
      timer->deadline_ = Clock::time_point::max();
      if (due) timer->expired_(timer->context_);
    }
    return timers.empty() ? Clock::time_point::max() : timers.front()->wake_at_;
  }
};

struct Loop::State {
  asio::io_context context{1};  // one thread runs it
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::steady_timer timer{context};
  Clock::time_point armed_for = Clock::time_point::max();
  TimerHeap heap;
  Poller poller;
  asio::posix::stream_descriptor polled{context};
  std::vector<char> scratch;
  std::vector<std::string> buffers;
  std::thread thread;

  // Asio waits for the set of descriptors as for one.
  void poll() {
    polled.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
      if (error) return;
      poller.dispatch();
      poll();
    });
  }

  // One wait is pending for the first timer; an earlier deadline moves it.
  void arm() {
    const Clock::time_point next = heap.timers.empty() ? Clock::time_point::max() : heap.timers.front()->wake_at_;
    if (next >= armed_for) return;
    armed_for = next;
    timer.expires_at(next);
    timer.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      armed_for = Clock::time_point::max();
      heap.expire(Clock::now());
      arm();
    });
  }
};

Loop::Loop(Loops& loops, size_t index) : loops_(loops), index_(index), state_(std::make_unique<State>()) {}
Loop::~Loop() = default;

Loop* Loop::current() { return current_loop; }

Poller& Loop::poller() { return state_->poller; }

void Loop::run() {
  current_loop = this;
  while (!state_->context.stopped()) {
    try {
      state_->context.run();
    } catch (const std::exception& e) {
      log::error("unexpected exception in an event loop: ", e.what());
    }
  }
}

void Loop::post(Job job) { asio::post(state_->context, std::move(job)); }

void Loop::spawn(Task<> task) {
  post([task = std::move(task)]() mutable { run_detached(std::move(task)); });
}

void Loop::start(Task<> task) { run_detached(std::move(task)); }

std::span<char> Loop::scratch() {
  if (state_->scratch.empty()) state_->scratch.resize(kScratchBytes);
  return state_->scratch;
}

std::string Loop::take_buffer() {
  if (state_->buffers.empty()) return {};
  std::string buffer = std::move(state_->buffers.back());
  state_->buffers.pop_back();
  return buffer;
}

void Loop::give_buffer(std::string buffer) {
  if (buffer.capacity() > kKeptBufferBytes || state_->buffers.size() >= kKeptBuffers) return;
  buffer.clear();
  state_->buffers.push_back(std::move(buffer));
}

// --- timers ---------------------------------------------------------------------------------------------------

void Timer::set(Clock::time_point deadline) {
  deadline_ = deadline;
  if (deadline >= wake_at_) return;
  if (loop_.state_->heap.put(this)) loop_.state_->arm();
}

void Timer::remove() {
  if (index_ != SIZE_MAX) loop_.state_->heap.remove(this);
}

void Sleep::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  timer_.emplace(*Loop::current(), expired, this);
  timer_->set_after(delay_);
}

// --- Event ----------------------------------------------------------------------------------------------------

bool Event::park(std::coroutine_handle<> handle) {
  loop_ = Loop::current();
  void* expected = nullptr;
  if (state_.compare_exchange_strong(expected, handle.address())) return true;
  state_.store(nullptr);  // it had rung
  return false;
}

void Event::notify() {
  void* seen = state_.load();
  while (seen != this) {
    Loop* const loop = seen ? loop_.load() : nullptr;
    if (!state_.compare_exchange_weak(seen, seen ? nullptr : this)) continue;
    const auto waiting = std::coroutine_handle<>::from_address(seen);
    if (loop) return loop->post(waiting);
    if (seen) waiting.resume();
    return;
  }
}

// --- the set of loops and the blocking pool -------------------------------------------------------------------

// Threads are started when there is work and none is idle, and end after some time without any.
struct Loops::Pool {
  explicit Pool(unsigned most) : most_(most) {}
  ~Pool() {
    std::unique_lock lock(mutex_);
    ending_ = true;
    work_.notify_all();
    ended_.wait(lock, [this] { return threads_ == 0; });
  }

  void post(Job job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_ >= jobs_.size() || threads_ == most_) return work_.notify_one();
    ++threads_;
    start_thread([this] { run(); }).detach();
  }

 private:
  static constexpr std::chrono::seconds kIdle{10};

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      const bool woken = work_.wait_for(lock, kIdle, [this] { return ending_ || !jobs_.empty(); });
      --idle_;
      if (!woken || jobs_.empty()) break;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
    if (--threads_ == 0) ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable ended_;
  std::deque<Job> jobs_;
  unsigned threads_ = 0;
  unsigned idle_ = 0;
  const unsigned most_;
  bool ending_ = false;
};

Loops::Loops() = default;

Result<std::unique_ptr<Loops>> Loops::start(const Options& options) {
  const unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
  std::unique_ptr<Loops> loops(new Loops);
  try {
    loops->pool_ =
        std::make_unique<Pool>(options.blocking_threads ? options.blocking_threads : std::max(16u, 4 * cpus));
    const unsigned threads = options.threads ? options.threads : cpus;
    for (unsigned i = 0; i < threads; ++i) {
      loops->loops_.emplace_back(new Loop(*loops, i));
      Loop& loop = *loops->loops_.back();
      loop.state_->polled.assign(TRY(loop.state_->poller.open()));
      loop.state_->poll();
      loop.state_->thread = start_thread([&loop] { loop.run(); });
    }
  } catch (const std::exception& e) {
    return fail("start event loops: ", e.what());
  }
  return loops;
}

Loops::~Loops() {
  // Blocking work may still post to the loops.
  pool_.reset();
  for (auto& loop : loops_) loop->state_->context.stop();
  for (auto& loop : loops_)
    if (loop->state_->thread.joinable()) loop->state_->thread.join();
}

void Loops::post_blocking(Job job) { pool_->post(std::move(job)); }

}  // namespace proa::net
