#include "net/descriptor.h"

#include <fcntl.h>
#include <sys/epoll.h>

namespace proa::net {

namespace {

constexpr int kBatch = 256;
constexpr uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

// Watched edge-triggered, once and for all. An edge that comes while nobody waits is remembered, and the kernel is
// asked anew when somebody does. After a hangup there are no more edges, so then it is always asked.
struct Descriptor::State {
  State(Poller& p, Fd f) : poller(p), fd(std::move(f)) {}
  Poller& poller;
  Fd fd;
  Waiter reader;
  Waiter writer;
  bool missed_read = false;
  bool missed_write = false;
  bool hung_up = false;

  void control(int operation) {
    epoll_event event{.events = kInterest, .data = {.ptr = this}};
    ::epoll_ctl(poller.set_.get(), operation, fd.get(), &event);
  }
  // The kernel tells again what is so now.
  void ask_anew() {
    missed_read = missed_write = false;
    control(EPOLL_CTL_MOD);
  }
  static void tell(Waiter& waiter, bool& missed) {
    if (const Waiter due = std::exchange(waiter, Waiter()))
      due.wake(due.context);
    else
      missed = true;
  }
};

Descriptor::Descriptor(Loop& loop, Fd fd) : state_(new State(loop.poller(), std::move(fd))) {
  state_->control(EPOLL_CTL_ADD);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

int Descriptor::fd() const { return state_ ? state_->fd.get() : -1; }

void Descriptor::wait_readable(Waiter waiter, bool exhausted) {
  state_->reader = waiter;
  if (!exhausted || state_->missed_read || state_->hung_up) state_->ask_anew();
}

void Descriptor::wait_writable(Waiter waiter, bool exhausted) {
  state_->writer = waiter;
  if (!exhausted || state_->missed_write || state_->hung_up) state_->ask_anew();
}

void Descriptor::forget_readable() {
  if (state_) state_->reader = {};
}
void Descriptor::forget_writable() {
  if (state_) state_->writer = {};
}

void Descriptor::close() { release().reset(); }

Fd Descriptor::release() {
  if (!state_) return {};
  State* const state = std::exchange(state_, nullptr);
  state->reader = {};
  state->writer = {};
  // Said outright: a copy of the descriptor in another process would keep it in the set.
  state->control(EPOLL_CTL_DEL);
  Fd fd = std::move(state->fd);
  state->poller.bury(state);
  return fd;
}

// --- Poller ---------------------------------------------------------------------------------------------------

Poller::~Poller() {
  for (Descriptor::State* state : buried_) delete state;
}

Result<int> Poller::open() {
  set_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  const int copy = set_ ? ::fcntl(set_.get(), F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0) return fail_errno(errno, "epoll");
  return copy;
}

void Poller::bury(Descriptor::State* state) {
  if (dispatching_)
    buried_.push_back(state);
  else
    delete state;
}

void Poller::dispatch() {
  epoll_event events[kBatch];
  const int count = ::epoll_wait(set_.get(), events, kBatch, 0);
  dispatching_ = true;
  for (int i = 0; i < count; ++i) {
    auto& state = *static_cast<Descriptor::State*>(events[i].data.ptr);
    const uint32_t what = events[i].events;
    constexpr uint32_t kEnds = EPOLLHUP | EPOLLERR;
    if (!state.fd) continue;
    if (what & (kEnds | EPOLLRDHUP)) state.hung_up = true;
    if (what & (EPOLLIN | EPOLLRDHUP | kEnds)) Descriptor::State::tell(state.reader, state.missed_read);
    if (state.fd && what & (EPOLLOUT | kEnds)) Descriptor::State::tell(state.writer, state.missed_write);
  }
  dispatching_ = false;
  for (Descriptor::State* state : std::exchange(buried_, {})) delete state;
}

void ReadyWithin::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  timer_.set_after(timeout_);
  if (to_write_) {
    descriptor_.wait_writable({ready, this});
  } else {
    descriptor_.wait_readable({ready, this});
  }
}

void ReadyWithin::ready(void* self) {
  auto* wait = static_cast<ReadyWithin*>(self);
  wait->timer_.clear();
  wait->handle_.resume();
}

void ReadyWithin::expired(void* self) {
  auto* wait = static_cast<ReadyWithin*>(self);
  wait->in_time_ = false;
  if (wait->to_write_) {
    wait->descriptor_.forget_writable();
  } else {
    wait->descriptor_.forget_readable();
  }
  wait->handle_.resume();
}

}  // namespace proa::net
