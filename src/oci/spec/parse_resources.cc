#include "oci/spec/fields.h"

namespace proa::oci::reader {

using namespace kernel::cgroup;  // NOLINT(google-build-using-namespace): every struct here is of it

// Absent and -1 both mean every number, as runc reads them.
struct DeviceNumber {
  std::optional<int64_t>& out;
};
void read(const Cursor& in, const DeviceNumber& target) {
  if (auto number = read_signed(in, -1, INT64_MAX); number && *number >= 0) target.out = number;
}

struct DeviceRuleType {
  char& out;
};
void read(const Cursor& in, const DeviceRuleType& target) {
  const std::optional<std::string_view> text = read_text(in);
  if (!text || text->empty()) return;
  if (*text == "a" || *text == "b" || *text == "c")
    target.out = text->front();
  else
    in.expected("\"a\", \"b\" or \"c\"");
}

void fields(Object& in, DeviceRule& out) {
  in.required("allow", out.allow);
  in.field("type", DeviceRuleType{out.type});
  in.field("major", DeviceNumber{out.major});
  in.field("minor", DeviceNumber{out.minor});
  in.field("access", out.access);
}

void fields(Object& in, MemoryResources& out) {
  in.field("limit", out.limit);
  in.field("reservation", out.reservation);
  in.field("swap", out.swap);
  in.field("kernel", out.kernel);
  in.field("kernelTCP", out.kernel_tcp);
  in.field("swappiness", out.swappiness);
  in.field("disableOOMKiller", out.disable_oom_killer);
  in.field("useHierarchy", out.use_hierarchy);
  in.field("checkBeforeUpdate", out.check_before_update);
}

void fields(Object& in, CpuResources& out) {
  in.field("shares", out.shares);
  in.field("quota", out.quota);
  in.field("burst", out.burst);
  in.field("period", out.period);
  in.field("realtimeRuntime", out.realtime_runtime);
  in.field("realtimePeriod", out.realtime_period);
  in.field("cpus", out.cpus);
  in.field("mems", out.mems);
  in.field("idle", out.idle);
}

void fields(Object& in, BlockIoWeightDevice& out) {
  in.required("major", out.major);
  in.required("minor", out.minor);
  in.field("weight", out.weight);
  in.field("leafWeight", out.leaf_weight);
}

void fields(Object& in, BlockIoThrottleDevice& out) {
  in.required("major", out.major);
  in.required("minor", out.minor);
  in.required("rate", out.rate);
}

void fields(Object& in, BlockIoResources& out) {
  in.field("weight", out.weight);
  in.field("leafWeight", out.leaf_weight);
  in.field("weightDevice", out.weight_device);
  in.field("throttleReadBpsDevice", out.throttle_read_bps);
  in.field("throttleWriteBpsDevice", out.throttle_write_bps);
  in.field("throttleReadIOPSDevice", out.throttle_read_iops);
  in.field("throttleWriteIOPSDevice", out.throttle_write_iops);
}

void fields(Object& in, HugepageLimit& out) {
  in.required("pageSize", out.page_size);
  in.required("limit", out.limit);
}

void fields(Object& in, NetworkPriority& out) {
  in.required("name", out.name);
  in.required("priority", out.priority);
}

void fields(Object& in, NetworkResources& out) {
  in.field("classID", out.class_id);
  in.field("priorities", out.priorities);
}

void fields(Object& in, RdmaLimit& out) {
  in.field("hcaHandles", out.hca_handles);
  in.field("hcaObjects", out.hca_objects);
}

struct Pids {
  std::optional<int64_t>& limit;
};
void fields(Object& in, const Pids& out) { in.field("limit", out.limit); }

void fields(Object& in, Resources& out) {
  in.field("devices", out.devices);
  in.field("memory", out.memory);
  in.field("cpu", out.cpu);
  in.field("pids", Pids{out.pids_limit});
  in.field("blockIO", out.block_io);
  in.field("hugepageLimits", out.hugepage_limits);
  in.field("network", out.network);
  in.field("rdma", out.rdma);
  in.field("unified", out.unified);
}

}  // namespace proa::oci::reader
