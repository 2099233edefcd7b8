// What a microVM is made of, in the words and JSON of Firecracker's API.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "vmm/cpu/engine.h"
#include "vmm/devices/virtio/net.h"
#include "vmm/devices/virtio/rate_limiter.h"
#include "vmm/machine/cpu_template.h"
#include "vmm/mmds/stack.h"

namespace proa::vmm {

struct BootSource {
  std::string kernel_image_path, initrd_path;
  std::optional<std::string> boot_args;
};

struct MachineConfig {
  unsigned vcpu_count = 1;
  uint64_t mem_size_mib = 128;
  bool smt = false, track_dirty_pages = false;
  StaticTemplate cpu_template = StaticTemplate::kNone;
};

struct DriveConfig {
  std::string drive_id, partuuid, path_on_host;
  bool is_root_device = false, is_read_only = false;
  bool writeback = false;  // cache_type
  bool async = false;      // io_engine
  RatePlan rate;
};

struct NetConfig {
  std::string iface_id, host_dev_name;
  std::optional<virtio::MacAddress> guest_mac;
  uint16_t mtu = 0;
  RatePlan receive, send;
};

struct VsockConfig {
  uint32_t guest_cid = 3;
  std::string uds_path;
};

struct EntropyConfig {
  RatePlan rate;
};

// PUT /mmds/config; `address` in the host's byte order.
struct MmdsConfig {
  Metadata::Version version = Metadata::Version::kV1;
  std::vector<std::string> interfaces;
  uint32_t address = MetadataStack::kDefaultAddress;
  bool imds_compatible = false;
};

// A virtio console (hvc0), which Firecracker has not: what is typed goes there then.
struct ConsoleConfig {};

// PUT /logger, /metrics and /serial.
struct LoggerConfig {
  std::string log_path, level = "Info";
};
struct MetricsConfig {
  std::string metrics_path;
  bool emit_id = false;
  std::vector<std::pair<std::string, std::string>> properties;  // on every line
};
struct SerialConfig {
  std::string serial_out_path;
  BucketPlan rate;
};

struct VmConfig {
  std::optional<BootSource> boot;
  MachineConfig machine;
  std::vector<DriveConfig> drives;  // the root device first
  std::vector<NetConfig> nets;
  std::optional<VsockConfig> vsock;
  std::optional<EntropyConfig> entropy;
  std::optional<MmdsConfig> mmds;
  std::optional<ConsoleConfig> console;
  std::optional<LoggerConfig> logger;
  std::optional<MetricsConfig> metrics;
  SerialConfig serial;
  CpuTemplate cpu;  // PUT /cpu-config
};

// What the processor is to show: of /cpu-config, or of `cpu_template`.
CpuTemplate cpu_template(const VmConfig& config);

// Buckets that are not named stay as they are.
struct RateUpdate {
  std::optional<BucketPlan> bandwidth, operations;
  void apply(RatePlan& plan) const {
    if (bandwidth) plan.bandwidth = *bandwidth;
    if (operations) plan.operations = *operations;
  }
};
struct DriveUpdate {
  std::string drive_id;
  std::optional<std::string> path_on_host;
  RateUpdate rate;
};
struct NetUpdate {
  std::string iface_id;
  RateUpdate receive, send;
};
struct SnapshotCreate {
  std::string mem_file_path, snapshot_path;
  bool diff = false;
};
struct SnapshotLoad {
  std::string snapshot_path, mem_file_path;
  bool track_dirty_pages = false, resume_vm = false;
  std::vector<std::pair<std::string, std::string>> network_overrides;  // interface, host device
  std::optional<std::string> vsock_path;
};

// From JSON. Errors are about one field, in the form of serde's: "missing field `x`", "unknown field `y`".
Result<BootSource> parse_boot_source(const boost::json::value& body);
Result<MachineConfig> parse_machine_config(const boost::json::value& body);
// Whether there can be such a machine.
Result<> check_machine(const MachineConfig& config);
// PATCH: what is not there stays.
Result<MachineConfig> patch_machine_config(const MachineConfig& now, const boost::json::value& body);
Result<DriveConfig> parse_drive(const boost::json::value& body);
Result<DriveUpdate> parse_drive_update(const boost::json::value& body);
Result<NetConfig> parse_net(const boost::json::value& body);
Result<NetUpdate> parse_net_update(const boost::json::value& body);
Result<VsockConfig> parse_vsock(const boost::json::value& body);
Result<EntropyConfig> parse_entropy(const boost::json::value& body);
Result<MmdsConfig> parse_mmds(const boost::json::value& body);
Result<ConsoleConfig> parse_console(const boost::json::value& body);
Result<LoggerConfig> parse_logger(const boost::json::value& body);
Result<MetricsConfig> parse_metrics(const boost::json::value& body);
Result<SerialConfig> parse_serial(const boost::json::value& body);
Result<CpuTemplate> parse_cpu_config(const boost::json::value& body);
Result<SnapshotCreate> parse_snapshot_create(const boost::json::value& body);
Result<SnapshotLoad> parse_snapshot_load(const boost::json::value& body);
// A body with one text field of that name.
Result<std::string> parse_single(const boost::json::value& body, std::string_view field);

// GET /vm/config, and back: what a snapshot says of its machine.
boost::json::value to_json(const MachineConfig& config);
boost::json::value to_json(const VmConfig& config);
Result<VmConfig> parse_vm_config(const boost::json::value& body);

std::string mac_text(const virtio::MacAddress& mac);
Result<virtio::MacAddress> parse_mac_address(std::string_view text);
// "169.254.169.254", in the host's byte order.
Result<uint32_t> parse_address(std::string_view text);

}  // namespace proa::vmm
