// Device access as the kernel keeps it: a default, and exceptions from it. Both versions of cgroups
// get the same meaning: rules act in order (config-linux.md, "Allowed Device list").
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/resources.h"

namespace proa::kernel::cgroup {

inline constexpr unsigned kMknod = 1, kRead = 2, kWrite = 4;  // BPF_DEVCG_ACC_*
inline constexpr unsigned kAnyAccess = kMknod | kRead | kWrite;
inline constexpr int64_t kAnyNumber = -1;

struct DeviceMatch {
  int64_t major = kAnyNumber, minor = kAnyNumber;
  char type = 'c';  // b, c
  auto operator<=>(const DeviceMatch&) const = default;
};

class DevicePolicy {
 public:
  bool allows_by_default() const { return allow_; }
  bool allows_all() const { return allow_ && exceptions_.empty(); }
  // Access bits of each exception, in the order of the rules that made them.
  using Exceptions = std::vector<std::pair<DeviceMatch, unsigned>>;
  const Exceptions& exceptions() const { return exceptions_; }

  // Denying a part of an allowed wildcard (or the reverse) is an error: v1 would silently ignore it.
  Result<> apply(const DeviceRule& rule);

  // What to write to bring a v1 cgroup from `from` to this: deny file or allow file, and the line.
  struct Step {
    bool allow;
    std::string line;  // "c 1:3 rwm"
  };
  std::vector<Step> steps_from(const DevicePolicy& from) const;

  // A v1 devices.list.
  static Result<DevicePolicy> from_list(std::string_view text);

  bool operator==(const DevicePolicy&) const = default;

 private:
  bool allow_ = false;
  Exceptions exceptions_;
};

// The devices every container may use whatever its rules say, as runc and crun have it: mknod of
// anything, null, zero, full, random, urandom, tty, ptmx, pts, tun.
const std::vector<DeviceRule>& default_device_rules();

// The container's rules, then the default ones. Errors name "linux.resources.devices[N]".
Result<DevicePolicy> device_policy(const std::vector<DeviceRule>& rules);

Result<unsigned> parse_access(std::string_view text);
std::string access_text(unsigned access);

}  // namespace proa::kernel::cgroup
