#include <string>

#include "base/json.h"
#include "oci/spec/validate.h"

namespace proa::oci {
namespace {

using namespace kernel::cgroup;  // NOLINT(google-build-using-namespace): every struct here is of it

constexpr uint64_t kMaxSwappiness = 100;

Result<> check_device_rules(const Resources& resources) {
  for (size_t i = 0; i < resources.devices.size(); ++i)
    if (resources.devices[i].access.find_first_not_of("rwm") != std::string::npos)
      return fail("devices[", i, "].access: must be made of r, w and m, found ",
                  json::quote(resources.devices[i].access));
  return {};
}

Result<> check_memory(const Resources& resources) {
  if (!resources.memory) return {};
  const MemoryResources& m = *resources.memory;
  for (const auto& [name, value] : {std::pair{"limit", m.limit},
                                    {"reservation", m.reservation},
                                    {"swap", m.swap},
                                    {"kernel", m.kernel},
                                    {"kernelTCP", m.kernel_tcp}})
    if (value && *value < -1) return fail("memory.", name, ": must be -1 (no limit) or more, found ", *value);
  if (m.swappiness && *m.swappiness > kMaxSwappiness)
    return fail("memory.swappiness: must be 0 to ", kMaxSwappiness, ", found ", *m.swappiness);
  return {};
}

Result<> check_cpu(const Resources& resources) {
  if (resources.cpu && resources.cpu->idle && (*resources.cpu->idle < 0 || *resources.cpu->idle > 1))
    return fail("cpu.idle: must be 0 or 1, found ", *resources.cpu->idle);
  return {};
}

Result<> check_pids(const Resources& resources) {
  if (resources.pids_limit && *resources.pids_limit < -1)
    return fail("pids.limit: must be -1 (no limit) or more, found ", *resources.pids_limit);
  return {};
}

Result<> check_weights(const Resources& resources) {
  if (!resources.block_io) return {};
  const std::vector<BlockIoWeightDevice>& devices = resources.block_io->weight_device;
  for (size_t i = 0; i < devices.size(); ++i)
    if (!devices[i].weight && !devices[i].leaf_weight)
      return fail("blockIO.weightDevice[", i, "]: needs weight or leafWeight");
  return {};
}

// "64KB", "2MB", "1GB": a part of a file's name.
bool is_page_size(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  return digits != std::string_view::npos && digits > 0 && text.front() != '0' && digits + 2 == text.size() &&
         std::string_view("KMG").find(text[digits]) != std::string_view::npos && text.ends_with('B');
}

Result<> check_hugepages(const Resources& resources) {
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i)
    if (!is_page_size(resources.hugepage_limits[i].page_size))
      return fail("hugepageLimits[", i, "].pageSize: must be like 64KB, 2MB or 1GB, found ",
                  json::quote(resources.hugepage_limits[i].page_size));
  return {};
}

Result<> check_network(const Resources& resources) {
  if (!resources.network) return {};
  const std::vector<NetworkPriority>& priorities = resources.network->priorities;
  for (size_t i = 0; i < priorities.size(); ++i)
    if (priorities[i].name.empty() || priorities[i].name.find_first_of(" \n/") != std::string::npos)
      return fail("network.priorities[", i, "].name: ", json::quote(priorities[i].name),
                  " is not a name of a network device");
  return {};
}

Result<> check_rdma(const Resources& resources) {
  for (const auto& [device, limit] : resources.rdma) {
    if (device.find_first_of(" \n") != std::string::npos)
      return fail("rdma[", json::quote(device), "]: is not a name of an RDMA device");
    if (!limit.hca_handles && !limit.hca_objects)
      return fail("rdma[", json::quote(device), "]: needs hcaHandles or hcaObjects");
  }
  return {};
}

// The keys are names of files in the container's own cgroup, nowhere else.
Result<> check_unified(const Resources& resources) {
  for (const auto& [file, value] : resources.unified)
    if (file == "." || file == ".." || file.find('/') != std::string::npos)
      return fail("unified[", json::quote(file), "]: is not a name of a cgroup file");
  return {};
}

}  // namespace

Result<> validate(const Resources& resources, std::string_view where) {
  for (const auto check : {check_device_rules, check_memory, check_cpu, check_pids, check_weights, check_hugepages,
                           check_network, check_rdma, check_unified})
    if (auto checked = check(resources); !checked) return fail(where, ".", checked.error().message());
  return {};
}

}  // namespace proa::oci
