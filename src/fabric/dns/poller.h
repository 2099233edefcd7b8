// epoll with a function per descriptor. One thread.
#pragma once

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/error.h"
#include "base/fd.h"

namespace proa::fabric::dns {

class Poller {
 public:
  using Handler = std::function<void(uint32_t events)>;

  static Result<Poller> open() {
    Poller poller;
    poller.epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!poller.epoll_) return fail_errno(errno, "epoll");
    return poller;
  }
  // Descriptors are the caller's: forget() them before they close.
  void watch(int fd, uint32_t events, Handler handler) {
    handlers_[fd] = std::make_shared<Handler>(std::move(handler));
    change(EPOLL_CTL_ADD, fd, events);
  }
  void rearm(int fd, uint32_t events) { change(EPOLL_CTL_MOD, fd, events); }
  void forget(int fd) {
    if (handlers_.erase(fd) > 0) change(EPOLL_CTL_DEL, fd, 0);
  }
  // Waits at most `timeout_ms` (-1: for ever) and calls whom it concerns.
  void wait(int timeout_ms) {
    epoll_event events[32];
    const int count = ::epoll_wait(epoll_.get(), events, 32, timeout_ms);
    for (int i = 0; i < count; ++i) {
      const auto found = handlers_.find(events[i].data.fd);
      if (found == handlers_.end()) continue;
      const std::shared_ptr<Handler> handler = found->second;  // it may forget itself
      (*handler)(events[i].events);
    }
  }

 private:
  void change(int operation, int fd, uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    ::epoll_ctl(epoll_.get(), operation, fd, &event);
  }
  Fd epoll_;
  std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
};

}  // namespace proa::fabric::dns
