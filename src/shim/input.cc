#include "shim/input.h"

#include <errno.h>

namespace proa::shim {

void Input::open(int fd, bool terminal, bool once) {
  fd_ = fd, exists_ = fd >= 0, terminal_ = terminal, once_ = once && !terminal;
  // The loop watches a terminal's master for output under that number: writing gets a number of its own.
  if (exists_ && terminal) fd_ = sys::duplicate_above(fd, 3);
}

void Input::take(size_t size) {
  begin_ = 0, end_ = is_open() ? size : 0;
  flush();
}

bool Input::flush() {
  if (!full()) return false;
  const long written = sys::write(fd_, bytes_ + begin_, end_ - begin_);
  if (written > 0)
    begin_ += static_cast<size_t>(written);
  else if (written != -EAGAIN) {
    close_now();  // the container closed its end
    return true;
  }
  if (full() != watched_) {
    watched_ = full();
    if (watched_)
      poller_.add(fd_, kInput, EPOLLOUT);
    else
      poller_.remove(fd_);
  }
  if (full()) return false;
  if (closing_) close_now();
  return true;
}

void Input::close() {
  if (terminal_) return;
  closing_ = true;
  if (!full()) close_now();
}

void Input::close_now() {
  begin_ = end_ = 0;
  if (watched_) poller_.remove(fd_);
  watched_ = false;
  sys::close(fd_);
  fd_ = -1;
}

}  // namespace proa::shim
