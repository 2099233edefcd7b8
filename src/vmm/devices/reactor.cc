#include "vmm/devices/reactor.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>

namespace proa::vmm {

Result<Fd> make_eventfd() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return fail_errno(errno, "eventfd");
  return fd;
}

void signal_eventfd(int fd) {
  const uint64_t one = 1;
  static_cast<void>(!::write(fd, &one, sizeof one));
}

bool drain_eventfd(int fd) {
  uint64_t count = 0;
  return ::read(fd, &count, sizeof count) == sizeof count;
}

void Watch::stop() {
  if (reactor_ != nullptr) std::exchange(reactor_, nullptr)->forget(*this);
}

void Watch::set_events(uint32_t events) {
  if (reactor_ == nullptr || events == events_) return;
  events_ = events;
  epoll_event event{.events = events, .data = {.u64 = id_}};
  ::epoll_ctl(reactor_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
}

Result<std::unique_ptr<Reactor>> Reactor::create() {
  std::unique_ptr<Reactor> reactor(new Reactor);
  reactor->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reactor->epoll_) return fail_errno(errno, "epoll_create1");
  reactor->bell_ = TRY(make_eventfd());
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
  if (::epoll_ctl(reactor->epoll_.get(), EPOLL_CTL_ADD, reactor->bell_.get(), &event) != 0)
    return fail_errno(errno, "epoll_ctl");
  return reactor;
}

Reactor::~Reactor() { stop(); }

void Reactor::stop() {
  if (!thread_.joinable()) return;
  ending_ = true;
  signal_eventfd(bell_.get());
  thread_.join();
}

void Reactor::start(const char* thread_name) {
  thread_ = std::thread([this] {
    while (!ending_) turn(-1);
  });
  ::pthread_setname_np(thread_.native_handle(), thread_name);
}

Result<Watch> Reactor::watch(int fd, uint32_t events, Callback callback) {
  const auto held = lock();
  const uint64_t id = next_id_++;
  epoll_event event{.events = events, .data = {.u64 = id}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno(errno, "epoll_ctl");
  callbacks_.emplace(id, std::make_shared<Callback>(std::move(callback)));
  Watch watch;
  watch.reactor_ = this;
  watch.id_ = id;
  watch.fd_ = fd;
  watch.events_ = events;
  return watch;
}

void Reactor::forget(Watch& watch) {
  const auto held = lock();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch.fd_, nullptr);
  callbacks_.erase(watch.id_);
}

void Reactor::post(std::function<void()> job) {
  {
    const std::lock_guard guard(jobs_mutex_);
    jobs_.push_back(std::move(job));
  }
  signal_eventfd(bell_.get());
}

void Reactor::run_jobs() {
  drain_eventfd(bell_.get());
  std::vector<std::function<void()>> jobs;
  {
    const std::lock_guard guard(jobs_mutex_);
    jobs.swap(jobs_);
  }
  for (const auto& job : jobs) job();
}

void Reactor::run(uint64_t id, uint32_t events) {
  const auto at = callbacks_.find(id);
  if (at == callbacks_.end()) return;
  const std::shared_ptr<Callback> callback = at->second;  // it may forget itself
  (*callback)(events);
}

bool Reactor::turn(int timeout_ms) {
  std::array<epoll_event, 32> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    const auto held = lock();
    if (events[static_cast<size_t>(i)].data.u64 == 0)
      run_jobs();
    else
      run(events[static_cast<size_t>(i)].data.u64, events[static_cast<size_t>(i)].events);
  }
  return count > 0;
}

Result<std::unique_ptr<ReactorTimer>> ReactorTimer::create(Reactor& reactor, std::function<void()> expired) {
  std::unique_ptr<ReactorTimer> timer(new ReactorTimer);
  timer->fd_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer->fd_) return fail_errno(errno, "timerfd_create");
  // All in the callback, which outlives its own call: what expires may destroy the timer.
  timer->watch_ =
      TRY(reactor.watch(timer->fd_.get(), EPOLLIN, [fd = timer->fd_.get(), call = std::move(expired)](uint32_t) {
        if (drain_eventfd(fd)) call();
      }));
  return timer;
}

void ReactorTimer::set(std::chrono::nanoseconds from_now) {
  itimerspec time{};
  time.it_value.tv_sec = from_now.count() / 1'000'000'000;
  time.it_value.tv_nsec = from_now.count() % 1'000'000'000;
  ::timerfd_settime(fd_.get(), 0, &time, nullptr);
}

void ReactorTimer::arm(std::chrono::nanoseconds from_now) { set(std::max(from_now, std::chrono::nanoseconds(1))); }
void ReactorTimer::disarm() { set(std::chrono::nanoseconds(0)); }

}  // namespace proa::vmm
