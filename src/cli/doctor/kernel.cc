// Kernel version, namespaces and what limits them.
#include <linux/version.h>
#include <sched.h>
#include <sys/utsname.h>

#include <cstdio>

#include "base/error.h"
#include "cli/doctor/probe.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace proa::cli::doctor {
namespace {

template <int Flag>
int try_unshare() {
  return ::unshare(Flag) == 0 ? 0 : errno;
}

struct Namespace {
  std::string_view name;
  int (*attempt)();
  bool needed;
  std::string_view config;
};

constexpr Namespace kNamespaces[] = {
    {"mount", try_unshare<CLONE_NEWNS>, true, "CONFIG_NAMESPACES"},
    {"pid", try_unshare<CLONE_NEWPID>, true, "CONFIG_PID_NS"},
    {"network", try_unshare<CLONE_NEWNET>, true, "CONFIG_NET_NS"},
    {"ipc", try_unshare<CLONE_NEWIPC>, true, "CONFIG_IPC_NS"},
    {"uts", try_unshare<CLONE_NEWUTS>, true, "CONFIG_UTS_NS"},
    {"cgroup", try_unshare<CLONE_NEWCGROUP>, false, "CONFIG_CGROUPS"},
    {"time", try_unshare<CLONE_NEWTIME>, false, "CONFIG_TIME_NS (Linux 5.6)"},
};

void check_user_namespaces(std::vector<Check>& out) {
  const int error = in_child(try_unshare<CLONE_NEWUSER>);
  std::string fix = "use a kernel with CONFIG_USER_NS";
  if (error == ENOSPC) fix = "sysctl -w user.max_user_namespaces=28633";
  if (error == EPERM) {
    fix = "leave the chroot or container this runs in, or allow user namespaces there";
    if (read_small("/proc/sys/kernel/unprivileged_userns_clone") == "0")
      fix = "sysctl -w kernel.unprivileged_userns_clone=1";
    if (read_small("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
      fix = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  }
  const bool needed = !is_root();  // rootless containers begin with one
  add(out, "namespaces", "user", error, needed, {"", "cannot be made", fix, fix});
}

void check_namespace_limits(std::vector<Check>& out) {
  std::string low;
  for (const std::string_view kind : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"}) {
    const auto limit = read_small(cat("/proc/sys/user/max_", kind, "_namespaces"));
    if (limit && limit->size() < 3) low += cat(low.empty() ? "" : " ", "user.max_", kind, "_namespaces=", *limit);
  }
  Check check{.area = "namespaces", .name = "limits", .status = Status::kOk, .detail = {}, .fix = {}};
  check.detail =
      cat("user.max_user_namespaces=", read_small("/proc/sys/user/max_user_namespaces").value_or("unlimited"));
  if (!low.empty()) {
    check.status = Status::kGap;
    check.detail = cat("too low: ", low);
    check.fix = "raise them with sysctl -w, and in /etc/sysctl.d";
  }
  out.push_back(std::move(check));
}

}  // namespace

void check_kernel(std::vector<Check>& out) {
  utsname name{};
  ::uname(&name);
  unsigned major = 0, minor = 0;
  std::sscanf(name.release, "%u.%u", &major, &minor);
  const bool usable = KERNEL_VERSION(major, minor, 0) >= KERNEL_VERSION(5, 6, 0);
  out.push_back({"kernel", "version", usable ? Status::kOk : Status::kMissing,
                 cat(name.sysname, " ", name.release, " ", name.machine), usable ? "" : "use Linux 5.6 or newer"});
}

void check_namespaces(std::vector<Check>& out) {
  for (const Namespace& one : kNamespaces) {
    const int error = in_child_as_root(one.attempt);
    const std::string fix = cat("use a kernel with ", one.config);
    add(out, "namespaces", one.name, error, one.needed, {"", "cannot be made", fix});
  }
  check_user_namespaces(out);
  check_namespace_limits(out);
}

}  // namespace proa::cli::doctor
