// The controllers with one or two files each: pids, hugetlb, net_cls, net_prio, devices, rdma.
#include "kernel/cgroup/v1.h"

namespace proa::kernel::cgroup {

namespace v1 {

Result<> set_pids(const Folder& folder, int64_t limit) {
  // Zero is written as one: nobody can fork under either, and systemd knows no zero.
  return folder.set("linux.resources.pids.limit", "pids.max", limit < 0 ? "max" : cat(limit == 0 ? 1 : limit));
}

// Reservations are limited too where the kernel counts them (config-linux.md, "Huge page limits").
Result<> set_hugetlb(const Folder& folder, const std::vector<HugepageLimit>& limits) {
  for (size_t i = 0; i < limits.size(); ++i) {
    const std::string name = cat("hugetlb.", limits[i].page_size);
    const std::string field = cat("linux.resources.hugepageLimits[", i, "].limit");
    const std::string reserved = cat(name, ".rsvd.limit_in_bytes");
    TRY(folder.set(field, cat(name, ".limit_in_bytes"), limits[i].limit));
    const std::string text = cat(limits[i].limit);
    if (const long code = folder.put(reserved, text); code < 0 && code != -ENOENT)
      return folder.failure(code, field, reserved, text);
  }
  return {};
}

Result<> set_net_cls(const Folder& folder, uint32_t class_id) {
  return folder.set("linux.resources.network.classID", "net_cls.classid", class_id);
}

Result<> set_net_prio(const Folder& folder, const std::vector<NetworkPriority>& priorities) {
  for (size_t i = 0; i < priorities.size(); ++i)
    TRY(folder.set(cat("linux.resources.network.priorities[", i, "]"), "net_prio.ifpriomap",
                   cat(priorities[i].name, ' ', priorities[i].priority)));
  return {};
}

Result<> set_devices(const Folder& folder, const DevicePolicy& policy, bool fresh) {
  DevicePolicy current;
  if (fresh) {
    // A new cgroup has its parent's rules. Deny all always works and forgets them.
    TRY(current.apply({.allow = true, .type = 'a', .major = {}, .minor = {}, .access = {}}));
  } else {
    const std::string list = TRY(folder.get("devices.list"));
    current = TRY_CTX(DevicePolicy::from_list(list), "linux.resources.devices");
  }
  std::vector<std::string> lines;
  const auto steps = policy.steps_from(current);
  for (size_t i = 0; i < steps.size();) {
    const bool allow = steps[i].allow;
    lines.clear();
    for (; i < steps.size() && steps[i].allow == allow; ++i) lines.push_back(steps[i].line);
    TRY(folder.set_each("linux.resources.devices", allow ? "devices.allow" : "devices.deny", lines));
  }
  return {};
}

}  // namespace v1

Result<> set_rdma(const Folder& folder, const std::map<std::string, RdmaLimit, std::less<>>& limits) {
  for (const auto& [device, limit] : limits) {
    std::string text = device;
    if (limit.hca_handles) text += cat(" hca_handle=", *limit.hca_handles);
    if (limit.hca_objects) text += cat(" hca_object=", *limit.hca_objects);
    if (text.size() == device.size())
      return fail("linux.resources.rdma[\"", device, "\"]: needs hcaHandles or hcaObjects");
    TRY(folder.set(cat("linux.resources.rdma[\"", device, "\"]"), "rdma.max", text));
  }
  return {};
}

}  // namespace proa::kernel::cgroup
