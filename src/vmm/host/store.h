// The machines of this host: a folder each, below one root. No daemon: a machine runs while its monitor holds the lock
// in its folder.
//
//   NAME/lock          held by the monitor, with its pid inside
//   NAME/machine.json  how it was asked for, in the API's words
//   NAME/end.json      how it ended
//   NAME/api.sock, console.sock, vsock.sock
//   NAME/console.log   what the guest wrote to the serial port
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::vmm {

struct VmRecord {
  std::string name, folder;
  pid_t pid = 0;             // 0: it does not run
  std::string machine, end;  // JSON; "" when missing
  std::string path(std::string_view file) const { return cat(folder, "/", file); }
};

class VmStore {
 public:
  explicit VmStore(std::string root) : root_(std::move(root)) {}
  // By name; ended ones too.
  Result<std::vector<VmRecord>> list() const;
  // ENOENT when there is none.
  Result<VmRecord> find(std::string_view name) const;
  // ... and running; the hint says how to start it.
  Result<VmRecord> find_running(std::string_view name) const;

  // A folder for a new machine, or for one that ended, with its lock taken. EEXIST when it runs.
  struct Claim {
    VmRecord record;
    Fd lock;
  };
  Result<Claim> claim(std::string_view name) const;
  // EBUSY while it runs.
  Result<> remove(std::string_view name) const;
  const std::string& root() const { return root_; }

 private:
  Result<VmRecord> read(const std::string& name) const;
  std::string root_;
};

}  // namespace proa::vmm
