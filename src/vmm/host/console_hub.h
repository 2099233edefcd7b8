// The guest's serial console for those who come and go: each gets what was said last, then all that follows, and may
// type. Who reads too slowly misses some; the guest never waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "vmm/devices/reactor.h"

namespace proa::vmm {

class ConsoleHub {
 public:
  // Listens on a unix socket, whose file goes with the hub; what is typed goes to `type`, on the hub's thread. What is
  // said is also appended to the file `log`.
  static Result<std::unique_ptr<ConsoleHub>> listen(const std::string& path, const std::string& log,
                                                    std::function<void(std::string_view)> type);
  ~ConsoleHub();
  // Any thread.
  void say(std::string_view text);

 private:
  struct Guest {
    Fd socket;
    Watch watch;
  };
  ConsoleHub() = default;
  void accept();
  void hear(int id);

  static constexpr size_t kBacklog = 64 << 10;
  std::string path_;
  std::function<void(std::string_view)> type_;
  Fd listener_, log_;
  std::mutex mutex_;
  std::string backlog_;
  std::map<int, Guest> guests_;
  std::unique_ptr<Reactor> reactor_;
  Watch listening_;
};

}  // namespace proa::vmm
