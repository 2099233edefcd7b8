// A visit to another network namespace by the calling thread.
#pragma once

#include "base/error.h"
#include "base/fd.h"

namespace proa::fabric {

class Visit {
 public:
  // Enters the namespace behind `netns_fd`; the destructor returns, or ends the process when it cannot:
  // nothing may go on in a container's namespace by mistake.
  static Result<Visit> enter(int netns_fd);
  Visit(Visit&&) noexcept = default;
  Visit& operator=(Visit&&) = delete;
  ~Visit();

 private:
  explicit Visit(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

}  // namespace proa::fabric
