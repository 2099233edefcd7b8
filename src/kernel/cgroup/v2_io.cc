#include "kernel/cgroup/v2.h"

namespace proa::kernel::cgroup::v2 {
namespace {

Result<> set_weights(const Folder& folder, const BlockIoResources& io) {
  const uint16_t weight = io.weight.value_or(0);
  if (weight == 0 && io.weight_device.empty()) return {};
  // BFQ's file takes v1's numbers; io.weight (iocost) has a range of its own.
  const bool bfq = folder.has("io.bfq.weight");
  const char* file = bfq ? "io.bfq.weight" : "io.weight";
  const auto scaled = [bfq](uint16_t value) { return bfq ? value : io_weight_of(value); };
  if (weight != 0) TRY(folder.set("linux.resources.blockIO.weight", file, scaled(weight)));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const BlockIoWeightDevice& device = io.weight_device[i];
    if (const uint16_t value = device.weight.value_or(0); value != 0)
      TRY(folder.set(cat("linux.resources.blockIO.weightDevice[", i, "].weight"), file,
                     cat(device.major, ':', device.minor, ' ', scaled(value))));
  }
  return {};
}

Result<> set_throttle(const Folder& folder, const char* field, const char* key,
                      const std::vector<BlockIoThrottleDevice>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const BlockIoThrottleDevice& device = devices[i];
    // v1 lifts a limit by writing zero.
    const std::string rate = device.rate == 0 ? "max" : cat(device.rate);
    TRY(folder.set(cat("linux.resources.blockIO.", field, "[", i, "].rate"), "io.max",
                   cat(device.major, ':', device.minor, ' ', key, '=', rate)));
  }
  return {};
}

}  // namespace

Result<> set_block_io(const Folder& folder, const BlockIoResources& io) {
  constexpr const char* reason = ": cgroup v2 has no such limit";
  if (io.leaf_weight.value_or(0) != 0) return fail("linux.resources.blockIO.leafWeight", reason);
  for (size_t i = 0; i < io.weight_device.size(); ++i)
    if (io.weight_device[i].leaf_weight.value_or(0) != 0)
      return fail("linux.resources.blockIO.weightDevice[", i, "].leafWeight", reason);
  TRY(set_weights(folder, io));
  TRY(set_throttle(folder, "throttleReadBpsDevice", "rbps", io.throttle_read_bps));
  TRY(set_throttle(folder, "throttleWriteBpsDevice", "wbps", io.throttle_write_bps));
  TRY(set_throttle(folder, "throttleReadIOPSDevice", "riops", io.throttle_read_iops));
  return set_throttle(folder, "throttleWriteIOPSDevice", "wiops", io.throttle_write_iops);
}

}  // namespace proa::kernel::cgroup::v2
