#include "vmm/api/config.h"

#include <arpa/inet.h>

#include <boost/json.hpp>
#include <charconv>

#include "base/text.h"
#include "vmm/api/fields.h"
#include "vmm/machine/machine.h"

namespace proa::vmm {

namespace json = boost::json;

namespace {

constexpr unsigned kMaxVcpus = 32;  // Firecracker's

Result<BucketPlan> parse_bucket(const json::value& body) {
  BucketPlan plan;
  Fields fields(body);
  fields.number("size", plan.size, true, INT64_MAX)
      .number("refill_time", plan.refill_ms, true, 1ULL << 40)
      .number("one_time_burst", plan.one_time_burst, false, INT64_MAX);
  TRY(fields.finish());
  return plan;
}

Result<RateUpdate> parse_rate_update(const json::value* body) {
  RateUpdate update;
  if (body == nullptr) return update;
  Fields fields(*body);
  if (const auto* bytes = fields.any("bandwidth")) update.bandwidth = TRY(parse_bucket(*bytes));
  if (const auto* operations = fields.any("ops")) update.operations = TRY(parse_bucket(*operations));
  TRY(fields.finish());
  return update;
}

Result<RatePlan> parse_rate(const json::value* body) {
  RatePlan plan;
  TRY(parse_rate_update(body)).apply(plan);
  return plan;
}

json::value bucket_json(const BucketPlan& plan) {
  if (!plan.limits()) return nullptr;
  return {{"size", plan.size}, {"one_time_burst", plan.one_time_burst}, {"refill_time", plan.refill_ms}};
}
json::value rate_json(const RatePlan& plan) {
  if (!plan.bandwidth.limits() && !plan.operations.limits()) return nullptr;
  return {{"bandwidth", bucket_json(plan.bandwidth)}, {"ops", bucket_json(plan.operations)}};
}

Fields& machine_fields(Fields& fields, MachineConfig& config, bool required) {
  auto named = static_cast<size_t>(config.cpu_template);
  size_t huge = 0;
  fields.number("vcpu_count", config.vcpu_count, required, 255)
      .number("mem_size_mib", config.mem_size_mib, required, 1ULL << 24)
      .flag("smt", config.smt)
      .flag("track_dirty_pages", config.track_dirty_pages)
      .choice("cpu_template", named, {"None", "C3", "T2", "T2S", "T2CL", "T2A"})
      .choice("huge_pages", huge, {"None"});
  config.cpu_template = static_cast<StaticTemplate>(named);
  return fields;
}

Result<uint32_t> parse_index(const std::string& text, std::string_view name) {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x")) base = 16;
  if (digits.starts_with("0b")) base = 2;
  if (base != 10) digits.remove_prefix(2);
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
    return fail("invalid value of `", name, "`: ", text);
  return value;
}

// "0b" and as many characters as the register has bits, or fewer: 0 and 1 set the bit, x leaves it.
template <typename Modifier>
Result<> parse_bitmap(const std::string& text, Modifier& modifier) {
  using Register = decltype(modifier.mask);
  constexpr unsigned kBits = 8 * sizeof(Register);
  std::string_view bits = text;
  if (!bits.starts_with("0b")) return fail("invalid value of `bitmap`: ", text);
  bits.remove_prefix(2);
  unsigned count = 0;
  for (const char bit : bits) {
    if (bit == '_') continue;
    if (bit != '0' && bit != '1' && bit != 'x') return fail("invalid value of `bitmap`: ", text);
    if (++count > kBits) break;
    modifier.mask = modifier.mask << 1 | Register{bit != 'x'};
    modifier.bits = modifier.bits << 1 | Register{bit == '1'};
  }
  if (count == 0 || count > kBits) return fail("invalid value of `bitmap`: ", text);
  return {};
}

Result<> parse_leaf(const json::value& body, std::vector<CpuidModifier>& all) {
  std::string leaf;
  std::string subleaf;
  uint32_t flags = 0;
  Fields fields(body);
  fields.text("leaf", leaf, true).text("subleaf", subleaf, true).number("flags", flags, true);
  const json::value* modifiers = fields.any("modifiers");
  TRY(fields.finish());
  if (modifiers == nullptr || !modifiers->is_array()) return fail("missing field `modifiers`");
  for (const json::value& one : modifiers->get_array()) {
    CpuidModifier modifier{.leaf = TRY(parse_index(leaf, "leaf")), .subleaf = TRY(parse_index(subleaf, "subleaf"))};
    std::string bitmap;
    size_t which = 0;
    Fields parts(one);
    parts.text("bitmap", bitmap, true).choice("register", which, {"eax", "ebx", "ecx", "edx"});
    TRY(parts.finish());
    TRY(parse_bitmap(bitmap, modifier));
    modifier.reg = static_cast<CpuidModifier::Register>(which);
    all.push_back(modifier);
  }
  return {};
}

Result<MsrModifier> parse_msr(const json::value& body) {
  std::string index;
  std::string bitmap;
  Fields fields(body);
  fields.text("addr", index, true).text("bitmap", bitmap, true);
  TRY(fields.finish());
  MsrModifier modifier{.index = TRY(parse_index(index, "addr"))};
  TRY(parse_bitmap(bitmap, modifier));
  return modifier;
}

}  // namespace

Result<virtio::MacAddress> parse_mac_address(std::string_view text) {
  virtio::MacAddress mac{};
  const auto parts = split(text, ':');
  if (parts.size() != mac.size()) return fail("invalid MAC address \"", text, "\"");
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* end = parts[i].data() + parts[i].size();
    if (parts[i].size() != 2 || std::from_chars(parts[i].data(), end, mac[i], 16).ptr != end)
      return fail("invalid MAC address \"", text, "\"");
  }
  return mac;
}

std::string mac_text(const virtio::MacAddress& mac) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : mac) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<BootSource> parse_boot_source(const json::value& body) {
  BootSource boot;
  Fields fields(body);
  fields.text("kernel_image_path", boot.kernel_image_path, true)
      .text("initrd_path", boot.initrd_path)
      .text("boot_args", boot.boot_args);
  TRY(fields.finish());
  return boot;
}

Result<> check_machine(const MachineConfig& config) {
  const bool odd = config.smt && config.vcpu_count > 1 && config.vcpu_count % 2 != 0;
  if (config.vcpu_count == 0 || config.vcpu_count > kMaxVcpus || odd)
    return fail("The number of vCPUs must be greater than 0, less than ", kMaxVcpus,
                " and must be 1 or an even number if SMT is enabled.");
  if (config.mem_size_mib == 0)
    return fail("The memory size (MiB) is either 0, or not a multiple of the configured page size.");
  if (config.mem_size_mib < 4) return fail("The memory size (MiB) is less than 4.");
  return {};
}

CpuTemplate cpu_template(const VmConfig& config) {
  return config.machine.cpu_template == StaticTemplate::kNone ? config.cpu
                                                              : static_template(config.machine.cpu_template);
}

Result<MachineConfig> parse_machine_config(const json::value& body) {
  MachineConfig config;
  Fields fields(body);
  TRY(machine_fields(fields, config, true).finish());
  return config;
}

Result<MachineConfig> patch_machine_config(const MachineConfig& now, const json::value& body) {
  MachineConfig config = now;
  Fields fields(body);
  TRY(machine_fields(fields, config, false).finish());
  return config;
}

Result<DriveConfig> parse_drive(const json::value& body) {
  DriveConfig drive;
  size_t cache = 0;
  size_t engine = 0;
  Fields fields(body);
  fields.text("drive_id", drive.drive_id, true)
      .flag("is_root_device", drive.is_root_device, true)
      .text("path_on_host", drive.path_on_host, true)
      .text("partuuid", drive.partuuid)
      .flag("is_read_only", drive.is_read_only)
      .choice("cache_type", cache, {"Unsafe", "Writeback"})
      .choice("io_engine", engine, {"Sync", "Async"});
  const json::value* rate = fields.any("rate_limiter");
  TRY(fields.finish());
  drive.writeback = cache == 1;
  drive.async = engine == 1;
  drive.rate = TRY(parse_rate(rate));
  return drive;
}

Result<DriveUpdate> parse_drive_update(const json::value& body) {
  DriveUpdate update;
  Fields fields(body);
  fields.text("drive_id", update.drive_id, true).text("path_on_host", update.path_on_host);
  const json::value* rate = fields.any("rate_limiter");
  TRY(fields.finish());
  update.rate = TRY(parse_rate_update(rate));
  return update;
}

Result<NetConfig> parse_net(const json::value& body) {
  NetConfig net;
  std::optional<std::string> mac;
  Fields fields(body);
  fields.text("iface_id", net.iface_id, true)
      .text("host_dev_name", net.host_dev_name, true)
      .text("guest_mac", mac)
      .number("mtu", net.mtu);
  const json::value* receive = fields.any("rx_rate_limiter");
  const json::value* send = fields.any("tx_rate_limiter");
  TRY(fields.finish());
  if (net.mtu != 0 && net.mtu < 68) return fail("invalid value of `mtu`: at least 68");
  if (mac) net.guest_mac = TRY(parse_mac_address(*mac));
  net.receive = TRY(parse_rate(receive));
  net.send = TRY(parse_rate(send));
  return net;
}

Result<NetUpdate> parse_net_update(const json::value& body) {
  NetUpdate update;
  Fields fields(body);
  fields.text("iface_id", update.iface_id, true);
  const json::value* receive = fields.any("rx_rate_limiter");
  const json::value* send = fields.any("tx_rate_limiter");
  TRY(fields.finish());
  update.receive = TRY(parse_rate_update(receive));
  update.send = TRY(parse_rate_update(send));
  return update;
}

Result<VsockConfig> parse_vsock(const json::value& body) {
  VsockConfig vsock;
  std::string id;
  Fields fields(body);
  fields.number("guest_cid", vsock.guest_cid, true).text("uds_path", vsock.uds_path, true).text("vsock_id", id);
  TRY(fields.finish());
  if (vsock.guest_cid < 3) return fail("invalid value of `guest_cid`: at least 3");
  return vsock;
}

Result<EntropyConfig> parse_entropy(const json::value& body) {
  Fields fields(body);
  const json::value* rate = fields.any("rate_limiter");
  TRY(fields.finish());
  return EntropyConfig{.rate = TRY(parse_rate(rate))};
}

Result<uint32_t> parse_address(std::string_view text) {
  in_addr parsed{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return fail("invalid IPv4 address syntax");
  return ntohl(parsed.s_addr);
}

Result<MmdsConfig> parse_mmds(const json::value& body) {
  MmdsConfig mmds;
  size_t version = 0;
  std::optional<std::string> address;
  Fields fields(body);
  fields.choice("version", version, {"V1", "V2"})
      .text("ipv4_address", address)
      .flag("imds_compat", mmds.imds_compatible)
      .texts("network_interfaces", mmds.interfaces, true);
  TRY(fields.finish());
  if (version == 1) mmds.version = Metadata::Version::kV2;
  if (!address) return mmds;
  mmds.address = TRY(parse_address(*address));
  return mmds;
}

Result<ConsoleConfig> parse_console(const json::value& body) {
  Fields fields(body);
  TRY(fields.finish());
  return ConsoleConfig{};
}

Result<LoggerConfig> parse_logger(const json::value& body) {
  LoggerConfig logger;
  Fields fields(body);
  // Lines have the level in any case, and never the place in the source.
  bool shown = false;
  fields.text("log_path", logger.log_path)
      .text("level", logger.level)
      .flag("show_level", shown)
      .flag("show_log_origin", shown);
  TRY(fields.finish());
  return logger;
}

Result<MetricsConfig> parse_metrics(const json::value& body) {
  MetricsConfig metrics;
  Fields fields(body);
  fields.text("metrics_path", metrics.metrics_path, true).flag("emit_id", metrics.emit_id);
  const json::value* properties = fields.any("properties");
  TRY(fields.finish());
  if (properties == nullptr) return metrics;
  if (!properties->is_object()) return fail("invalid type of `properties`: expected an object");
  for (const auto& [name, value] : properties->get_object()) {
    if (!value.is_string()) return fail("invalid type of `", std::string_view(name), "`: expected a string");
    metrics.properties.emplace_back(name, value.get_string());
  }
  return metrics;
}

Result<SerialConfig> parse_serial(const json::value& body) {
  SerialConfig serial;
  Fields fields(body);
  fields.text("serial_out_path", serial.serial_out_path);
  const json::value* rate = fields.any("rate_limiter");
  TRY(fields.finish());
  if (rate != nullptr) serial.rate = TRY(parse_bucket(*rate));
  return serial;
}

Result<CpuTemplate> parse_cpu_config(const json::value& body) {
  CpuTemplate cpu;
  Fields fields(body);
  const json::value* leaves = fields.any("cpuid_modifiers");
  const json::value* registers = fields.any("msr_modifiers");
  // A template for another processor has these empty.
  for (const char* other : {"kvm_capabilities", "reg_modifiers", "vcpu_features"}) {
    const json::value* list = fields.any(other);
    if (list != nullptr && (!list->is_array() || !list->get_array().empty()))
      return fail("`", other, "`: only CPUID and MSRs can be modified");
  }
  TRY(fields.finish());
  if (leaves != nullptr && !leaves->is_array()) return fail("invalid type of `cpuid_modifiers`: expected an array");
  if (registers != nullptr && !registers->is_array()) return fail("invalid type of `msr_modifiers`: expected an array");
  if (leaves != nullptr)
    for (const json::value& leaf : leaves->get_array()) TRY(parse_leaf(leaf, cpu.cpuid));
  if (registers != nullptr)
    for (const json::value& one : registers->get_array()) cpu.msrs.push_back(TRY(parse_msr(one)));
  return cpu;
}

Result<SnapshotCreate> parse_snapshot_create(const json::value& body) {
  SnapshotCreate snapshot;
  size_t kind = 0;
  Fields fields(body);
  fields.text("mem_file_path", snapshot.mem_file_path, true)
      .text("snapshot_path", snapshot.snapshot_path, true)
      .choice("snapshot_type", kind, {"Full", "Diff"});
  TRY(fields.finish());
  snapshot.diff = kind == 1;
  return snapshot;
}

Result<SnapshotLoad> parse_snapshot_load(const json::value& body) {
  SnapshotLoad load;
  Fields fields(body);
  bool old_name = false;
  bool realtime = false;
  size_t huge = 0;
  fields.text("snapshot_path", load.snapshot_path, true)
      .text("mem_file_path", load.mem_file_path)
      .flag("track_dirty_pages", load.track_dirty_pages)
      .flag("enable_diff_snapshots", old_name)
      .flag("resume_vm", load.resume_vm)
      .flag("clock_realtime", realtime)
      .choice("huge_pages", huge, {"Snapshot", "None"});
  const json::value* backend = fields.any("mem_backend");
  const json::value* networks = fields.any("network_overrides");
  const json::value* vsock = fields.any("vsock_override");
  TRY(fields.finish());
  if (realtime) return fail("`clock_realtime`: the guest's clock goes on from where it was");
  load.track_dirty_pages = load.track_dirty_pages || old_name;
  if ((backend != nullptr) == !load.mem_file_path.empty())
    return fail(backend != nullptr ? "too many fields: either `mem_backend` or `mem_file_path` exclusively is required"
                                   : "missing field: either `mem_backend` or `mem_file_path` is required");
  if (backend != nullptr) {
    size_t type = 0;
    Fields parts(*backend);
    parts.choice("backend_type", type, {"File"}).text("backend_path", load.mem_file_path, true);
    TRY(parts.finish());
  }
  if (networks != nullptr && !networks->is_array())
    return fail("invalid type of `network_overrides`: expected an array");
  if (networks != nullptr) {
    for (const json::value& one : networks->get_array()) {
      std::pair<std::string, std::string> change;
      Fields parts(one);
      parts.text("iface_id", change.first, true).text("host_dev_name", change.second, true);
      TRY(parts.finish());
      load.network_overrides.push_back(std::move(change));
    }
  }
  if (vsock != nullptr) load.vsock_path = TRY(parse_single(*vsock, "uds_path"));
  return load;
}

Result<std::string> parse_single(const json::value& body, std::string_view field) {
  std::string value;
  Fields fields(body);
  fields.text(field, value, true);
  TRY(fields.finish());
  return value;
}

json::value to_json(const MachineConfig& config) {
  json::object out{{"vcpu_count", config.vcpu_count},
                   {"mem_size_mib", config.mem_size_mib},
                   {"smt", config.smt},
                   {"track_dirty_pages", config.track_dirty_pages},
                   {"huge_pages", "None"}};
  if (config.cpu_template != StaticTemplate::kNone) out["cpu_template"] = static_template_name(config.cpu_template);
  return out;
}

namespace {

json::value drive_json(const DriveConfig& drive) {
  json::object out{{"drive_id", drive.drive_id},
                   {"is_root_device", drive.is_root_device},
                   {"cache_type", drive.writeback ? "Writeback" : "Unsafe"},
                   {"is_read_only", drive.is_read_only},
                   {"path_on_host", drive.path_on_host},
                   {"rate_limiter", rate_json(drive.rate)},
                   {"io_engine", drive.async ? "Async" : "Sync"}};
  if (!drive.partuuid.empty()) out["partuuid"] = drive.partuuid;
  return out;
}

json::value net_json(const NetConfig& net) {
  json::object out{{"iface_id", net.iface_id},
                   {"host_dev_name", net.host_dev_name},
                   {"rx_rate_limiter", rate_json(net.receive)},
                   {"tx_rate_limiter", rate_json(net.send)}};
  if (net.guest_mac) out["guest_mac"] = mac_text(*net.guest_mac);
  if (net.mtu != 0) out["mtu"] = net.mtu;
  return out;
}

json::value metrics_json(const MetricsConfig& metrics) {
  json::object out{{"metrics_path", metrics.metrics_path}, {"emit_id", metrics.emit_id}};
  json::object properties;
  for (const auto& [name, value] : metrics.properties) properties[name] = value;
  if (!properties.empty()) out["properties"] = std::move(properties);
  return out;
}

json::value mmds_json(const MmdsConfig& mmds) {
  char address[INET_ADDRSTRLEN] = {};
  const in_addr ip{htonl(mmds.address)};
  ::inet_ntop(AF_INET, &ip, address, sizeof address);
  return {{"version", mmds.version == Metadata::Version::kV2 ? "V2" : "V1"},
          {"network_interfaces", json::array(mmds.interfaces.begin(), mmds.interfaces.end())},
          {"ipv4_address", address},
          {"imds_compat", mmds.imds_compatible}};
}

template <typename Modifier>
std::string bitmap_text(const Modifier& m) {
  std::string bitmap = "0b";
  for (int bit = 8 * sizeof m.mask - 1; bit >= 0; --bit)
    bitmap += (m.mask >> bit & 1) == 0 ? 'x' : (m.bits >> bit & 1) != 0 ? '1' : '0';
  return bitmap;
}

json::value cpu_json(const CpuTemplate& cpu) {
  static constexpr std::string_view kRegisters[] = {"eax", "ebx", "ecx", "edx"};
  json::array leaves;
  for (const CpuidModifier& m : cpu.cpuid) {
    leaves.push_back({{"leaf", std::to_string(m.leaf)},
                      {"subleaf", std::to_string(m.subleaf)},
                      {"flags", 0},
                      {"modifiers", json::array{{{"register", kRegisters[static_cast<size_t>(m.reg)]},
                                                 {"bitmap", bitmap_text(m)}}}}});
  }
  json::array registers;
  for (const MsrModifier& m : cpu.msrs)
    registers.push_back({{"addr", std::to_string(m.index)}, {"bitmap", bitmap_text(m)}});
  return {{"cpuid_modifiers", std::move(leaves)}, {"msr_modifiers", std::move(registers)}};
}

}  // namespace

json::value to_json(const VmConfig& config) {
  json::object out;
  json::array drives;
  for (const DriveConfig& drive : config.drives) drives.push_back(drive_json(drive));
  json::array nets;
  for (const NetConfig& net : config.nets) nets.push_back(net_json(net));
  out["drives"] = std::move(drives);
  if (config.boot) {
    json::object boot{{"kernel_image_path", config.boot->kernel_image_path}};
    boot["initrd_path"] = config.boot->initrd_path.empty() ? json::value() : json::value(config.boot->initrd_path);
    boot["boot_args"] = config.boot->boot_args ? json::value(*config.boot->boot_args) : json::value();
    out["boot-source"] = std::move(boot);
  }
  out["machine-config"] = to_json(config.machine);
  out["network-interfaces"] = std::move(nets);
  if (config.vsock) out["vsock"] = {{"guest_cid", config.vsock->guest_cid}, {"uds_path", config.vsock->uds_path}};
  if (config.entropy) out["entropy"] = {{"rate_limiter", rate_json(config.entropy->rate)}};
  if (config.mmds) out["mmds-config"] = mmds_json(*config.mmds);
  if (config.console) out["console"] = json::object();
  if (config.logger) out["logger"] = {{"log_path", config.logger->log_path}, {"level", config.logger->level}};
  if (config.metrics) out["metrics"] = metrics_json(*config.metrics);
  if (!config.serial.serial_out_path.empty() || config.serial.rate.limits())
    out["serial"] = {{"serial_out_path", config.serial.serial_out_path},
                     {"rate_limiter", bucket_json(config.serial.rate)}};
  if (!config.cpu.empty()) out["cpu-config"] = cpu_json(config.cpu);
  return out;
}

Result<VmConfig> parse_vm_config(const json::value& body) {
  VmConfig config;
  Fields fields(body);
  if (const auto* boot = fields.any("boot-source")) config.boot = TRY_CTX(parse_boot_source(*boot), "boot-source");
  if (const auto* machine = fields.any("machine-config"))
    config.machine = TRY_CTX(parse_machine_config(*machine), "machine-config");
  for (const char* list : {"drives", "network-interfaces"}) {
    const json::value* all = fields.any(list);
    if (all == nullptr) continue;
    if (!all->is_array()) return fail(list, ": expected an array");
    for (const json::value& one : all->get_array()) {
      if (list[0] == 'd')
        config.drives.push_back(TRY_CTX(parse_drive(one), list));
      else
        config.nets.push_back(TRY_CTX(parse_net(one), list));
    }
  }
  if (const auto* vsock = fields.any("vsock")) config.vsock = TRY_CTX(parse_vsock(*vsock), "vsock");
  if (const auto* entropy = fields.any("entropy")) config.entropy = TRY_CTX(parse_entropy(*entropy), "entropy");
  if (const auto* mmds = fields.any("mmds-config")) config.mmds = TRY_CTX(parse_mmds(*mmds), "mmds-config");
  if (const auto* console = fields.any("console")) config.console = TRY_CTX(parse_console(*console), "console");
  if (const auto* logger = fields.any("logger")) config.logger = TRY_CTX(parse_logger(*logger), "logger");
  if (const auto* metrics = fields.any("metrics")) config.metrics = TRY_CTX(parse_metrics(*metrics), "metrics");
  if (const auto* serial = fields.any("serial")) config.serial = TRY_CTX(parse_serial(*serial), "serial");
  if (const auto* cpu = fields.any("cpu-config")) config.cpu = TRY_CTX(parse_cpu_config(*cpu), "cpu-config");
  TRY(fields.finish());
  return config;
}

}  // namespace proa::vmm
