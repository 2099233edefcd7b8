// The monitor's conversation with the guest's init: what there is to set up, whether it is up, how its workload ended.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "vmm/host/guest_session.h"

namespace proa::vmm {

class GuestControl {
 public:
  struct Hooks {
    std::function<void()> ready;                     // it waits to be told what to set up; once
    std::function<void()> up;                        // sessions are served
    std::function<void(const std::string&)> failed;  // it could not be set up, and switches off
  };
  // Listens at the socket that the device connects the guest to; hooks run on a thread of its own. `go`: fields.
  static Result<std::unique_ptr<GuestControl>> listen(const std::string& vsock, std::string go, Hooks hooks);
  ~GuestControl() { stop(); }
  // Hears what is left to hear, and ends the thread.
  void stop();
  // Of the workload, if the guest told; after stop().
  std::optional<int> status() const { return status_; }

 private:
  GuestControl() = default;
  void work();
  void converse(GuestLink link);
  Result<> tell(GuestLink& link, std::string_view fields);
  bool readable(int fd) const;

  std::string path_, go_;
  Hooks hooks_;
  Fd listener_, stop_;
  bool told_ = false;
  std::optional<int> status_;
  std::thread thread_;
};

}  // namespace proa::vmm
