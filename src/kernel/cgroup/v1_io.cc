#include "kernel/cgroup/v1.h"

namespace proa::kernel::cgroup::v1 {
namespace {

struct WeightFiles {
  const char *weight, *device;
};

// CFQ is gone since 5.0; BFQ took over its weights, under names of its own but for 5.4 and earlier.
WeightFiles weight_files(const Folder& folder) {
  if (folder.has("blkio.weight")) return {"blkio.weight", "blkio.weight_device"};
  return {"blkio.bfq.weight", "blkio.bfq.weight_device"};
}

Result<> set_weights(const Folder& folder, const BlockIoResources& io) {
  const uint16_t weight = io.weight.value_or(0);
  const bool per_device = !io.weight_device.empty();
  const WeightFiles files = weight != 0 || per_device ? weight_files(folder) : WeightFiles{};
  if (weight != 0) TRY(folder.set("linux.resources.blockIO.weight", files.weight, weight));
  if (const uint16_t leaf = io.leaf_weight.value_or(0); leaf != 0)
    TRY(folder.set("linux.resources.blockIO.leafWeight", "blkio.leaf_weight", leaf));
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const BlockIoWeightDevice& device = io.weight_device[i];
    const std::string number = cat(device.major, ':', device.minor, ' ');
    const std::string field = cat("linux.resources.blockIO.weightDevice[", i, "].");
    if (const uint16_t value = device.weight.value_or(0); value != 0)
      TRY(folder.set(cat(field, "weight"), files.device, cat(number, value)));
    if (const uint16_t value = device.leaf_weight.value_or(0); value != 0)
      TRY(folder.set(cat(field, "leafWeight"), "blkio.leaf_weight_device", cat(number, value)));
  }
  return {};
}

Result<> set_throttle(const Folder& folder, const char* field, const char* file,
                      const std::vector<BlockIoThrottleDevice>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const BlockIoThrottleDevice& device = devices[i];
    TRY(folder.set(cat("linux.resources.blockIO.", field, "[", i, "].rate"), file,
                   cat(device.major, ':', device.minor, ' ', device.rate)));
  }
  return {};
}

}  // namespace

Result<> set_block_io(const Folder& folder, const BlockIoResources& io) {
  TRY(set_weights(folder, io));
  TRY(set_throttle(folder, "throttleReadBpsDevice", "blkio.throttle.read_bps_device", io.throttle_read_bps));
  TRY(set_throttle(folder, "throttleWriteBpsDevice", "blkio.throttle.write_bps_device", io.throttle_write_bps));
  TRY(set_throttle(folder, "throttleReadIOPSDevice", "blkio.throttle.read_iops_device", io.throttle_read_iops));
  return set_throttle(folder, "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", io.throttle_write_iops);
}

}  // namespace proa::kernel::cgroup::v1
