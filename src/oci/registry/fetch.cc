#include "oci/registry/fetch.h"

#include <algorithm>

namespace proa::oci::registry {

void Fetch::set_file(Fd file) {
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
}

void Fetch::advance(uint64_t have) {
  {
    const std::lock_guard lock(mutex_);
    have_ = have;
  }
  wake();
}

void Fetch::succeed() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
    have_ = total_;
  }
  wake();
}

void Fetch::fail(Error error) {
  {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
  }
  wake();
}

void Fetch::wake() {
  std::vector<std::shared_ptr<net::Event>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& each : waiting) each->notify();
}

net::Task<Result<uint64_t>> Fetch::more(uint64_t after) {
  for (;;) {
    const auto event = std::make_shared<net::Event>();
    {
      const std::lock_guard lock(mutex_);
      if (done_) co_return total_;
      if (error_) co_return std::unexpected(*error_);
      const uint64_t shown = std::min(have_, total_ == 0 ? 0 : total_ - 1);
      if (shown > after) co_return shown;
      waiting_.push_back(event);
    }
    co_await event->wait();
  }
}

}  // namespace proa::oci::registry
