#include "oci/runtime/namespaces.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/idmap.h"
#include "oci/spec/namespaces.h"
#include "oci/spec/sysctl.h"

namespace proa::oci::runtime {
namespace {

Result<Fd> open_namespace(const Namespace& entry) {
  Fd fd = TRY(kernel::open(entry.path.c_str(), O_RDONLY | O_NONBLOCK));  // it may be anything, a FIFO say
  const int flag = ::ioctl(fd.get(), NS_GET_NSTYPE);
  if (flag < 0) return fail(entry.path, ": not a namespace");
  if (static_cast<uint64_t>(flag) != info(entry.type).clone_flag)
    return fail(entry.path, ": not a ", info(entry.type).name, " namespace");
  return fd;
}

// Whether it is the runtime's own.
Result<bool> is_own(const NamespaceToJoin& entry) {
  const struct stat theirs = TRY(kernel::stat_fd(entry.fd.get()));
  struct stat ours{};
  const std::string path = cat("/proc/self/ns/", info(entry.type).proc_name);
  if (::stat(path.c_str(), &ours) != 0) return fail_errno(errno, path);
  return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

}  // namespace

uint64_t NamespacePlan::all() const {
  uint64_t flags =
      at_clone | (new_cgroup ? CLONE_NEWCGROUP : 0) | (new_time ? CLONE_NEWTIME : 0) | (new_network ? CLONE_NEWNET : 0);
  for (const NamespaceToJoin& each : join) flags |= info(each.type).clone_flag;
  return flags;
}

bool NamespacePlan::has_new(NamespaceType type) const {
  if (type == NamespaceType::kCgroup) return new_cgroup;
  if (type == NamespaceType::kTime) return new_time;
  if (type == NamespaceType::kNetwork && new_network) return true;
  return (at_clone & info(type).clone_flag) != 0;
}

namespace {

// A parameter would be set for the host when the namespace joined is the one that we are in.
Result<> check_sysctls(const NamespacePlan& plan, const Linux& linux_) {
  for (const auto& [key, value] : linux_.sysctl) {
    const auto owner = sysctl_namespace(TRY(sysctl_path(key)));
    for (const NamespaceToJoin& each : plan.join)
      if (owner == each.type && TRY(is_own(each)))
        return fail("linux.sysctl.", key, ": not allowed in the host's ", info(each.type).name, " namespace");
  }
  return {};
}

}  // namespace

Result<NamespacePlan> plan_namespaces(const Linux& linux_) {
  NamespacePlan plan;
  for (size_t i = 0; i < linux_.namespaces.size(); ++i) {
    const Namespace& entry = linux_.namespaces[i];
    if (!entry.path.empty())
      plan.join.push_back({entry.type, entry.path, TRY_CTX(open_namespace(entry), "linux.namespaces[", i, "].path")});
    else if (entry.type == NamespaceType::kCgroup)
      plan.new_cgroup = true;
    else if (entry.type == NamespaceType::kTime)
      plan.new_time = true;
    else
      plan.at_clone |= info(entry.type).clone_flag;
  }
  std::partition(plan.join.begin(), plan.join.end(),
                 [](const NamespaceToJoin& each) { return each.type == NamespaceType::kUser; });
  for (const NamespaceToJoin& each : plan.join)
    plan.intermediate |=
        each.type == NamespaceType::kUser || each.type == NamespaceType::kPid || plan.has_new(NamespaceType::kUser);
  // The network takes longest to make, so the child makes it while the runtime works on; unless a user namespace
  // must own it, or devices of the host are moved into it.
  const bool early = plan.has_new(NamespaceType::kUser) || plan.intermediate || !linux_.net_devices.empty();
  if ((plan.at_clone & CLONE_NEWNET) != 0 && !early) {
    plan.at_clone &= ~uint64_t{CLONE_NEWNET};
    plan.new_network = true;
  }
  TRY(check_sysctls(plan, linux_));
  if (!plan.join.empty() && plan.join.front().type == NamespaceType::kUser)
    TRY(check_joined_mappings(plan.join.front().fd.get(), linux_));
  return plan;
}

namespace {

Result<> join_one(const NamespaceToJoin& each) {
  TRY_CTX(kernel::join_namespaces(each.fd.get(), info(each.type).clone_flag), "join ", info(each.type).name,
          " namespace ", each.path);
  return {};
}

}  // namespace

Result<> join_first(NamespacePlan& plan) {
  std::vector<NamespaceToJoin> rest;
  const bool joins_user = !plan.join.empty() && plan.join.front().type == NamespaceType::kUser;
  // With the host's rights first: most namespaces belong to the host. A mount namespace comes last, since
  // paths mean something else in it.
  for (NamespaceToJoin& each : plan.join) {
    if (each.type == NamespaceType::kUser || each.type == NamespaceType::kMount || !join_one(each))
      rest.push_back(std::move(each));
  }
  plan.join = std::move(rest);
  if (!joins_user) return {};
  TRY(join_one(plan.join.front()));
  plan.join.erase(plan.join.begin());
  // What belongs to that user namespace can be joined now; a pid namespace must be, before the clone.
  for (auto each = plan.join.begin(); each != plan.join.end();) {
    if (each->type != NamespaceType::kPid) {
      ++each;
      continue;
    }
    TRY(join_one(*each));
    each = plan.join.erase(each);
  }
  return {};
}

Result<> join_rest(NamespacePlan& plan) {
  std::partition(plan.join.begin(), plan.join.end(),
                 [](const NamespaceToJoin& each) { return each.type != NamespaceType::kMount; });
  for (const NamespaceToJoin& each : plan.join) TRY(join_one(each));
  return {};
}

Result<> enter_new_time_namespace(const Linux& linux_) {
  TRY_CTX(kernel::unshare(CLONE_NEWTIME), "time namespace");
  std::string offsets;
  for (const auto& [clock, offset] : linux_.time_offsets)
    offsets += cat(clock, " ", offset.secs, " ", offset.nanosecs, "\n");
  if (!offsets.empty()) TRY_CTX(kernel::write_file("/proc/self/timens_offsets", offsets), "linux.timeOffsets");
  Fd own = TRY(kernel::open("/proc/self/ns/time_for_children", O_RDONLY));
  return kernel::join_namespaces(own.get(), CLONE_NEWTIME);
}

}  // namespace proa::oci::runtime
