// The event loop's epoll: each descriptor has a tag, and the events it is to wake the loop for.
#pragma once

#include <cstdint>

#include "shim/sys.h"
#include "shim/text.h"

namespace proa::shim {

// What a tag stands for; clients have their table's first tag plus their place in it.
enum Tag : uint64_t {
  kChildren,
  kAttachListener,
  kControlListener,
  kOutput,
  kErrors,
  kInput,
  kFirstAttached = 0x100,
  kFirstControl = 0x200,
};

class Poller {
 public:
  Result<> open() {
    fd_ = sys::epoll_create();
    if (fd_ < 0) return fail_with(fd_, "epoll");
    return {};
  }
  void add(int fd, uint64_t tag, uint32_t events) { sys::epoll_control(fd_, EPOLL_CTL_ADD, fd, events, tag); }
  void change(int fd, uint64_t tag, uint32_t events) { sys::epoll_control(fd_, EPOLL_CTL_MOD, fd, events, tag); }
  void remove(int fd) { sys::epoll_control(fd_, EPOLL_CTL_DEL, fd, 0, 0); }
  long wait(epoll_event* events, int most, int milliseconds) {
    return sys::epoll_wait(fd_, events, most, milliseconds);
  }

 private:
  int fd_ = -1;
};

}  // namespace proa::shim
