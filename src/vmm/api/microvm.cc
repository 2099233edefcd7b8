#include "vmm/api/microvm.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "vmm/devices/virtio/rng.h"

namespace proa::vmm {

namespace {

constexpr std::string_view kDefaultArguments =
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";
constexpr size_t kMostTyped = 1 << 20;

// Locally administered, not multicast.
Result<virtio::MacAddress> random_mac() {
  virtio::MacAddress mac{};
  if (::getrandom(mac.data(), mac.size(), 0) != static_cast<ssize_t>(mac.size())) return fail_errno(errno, "getrandom");
  mac[0] = static_cast<uint8_t>((mac[0] & 0xfc) | 2);
  return mac;
}

Result<> check_opens(const std::string& path, int flags) {
  auto opened = kernel::open(path.c_str(), flags);
  return opened ? Result<>{} : std::unexpected(std::move(opened).error());
}

Result<Fd> open_output(const std::string& path) {
  return kernel::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0600);
}

}  // namespace

std::string_view state_name(VmState state) {
  return state == VmState::kNotStarted ? "Not started" : state == VmState::kRunning ? "Running" : "Paused";
}

MicroVm::~MicroVm() = default;

VmConfig MicroVm::config() const {
  const std::lock_guard lock(mutex_);
  return config_;
}

VmState MicroVm::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<> MicroVm::before_start() const {
  if (state_ == VmState::kNotStarted) return {};
  return fail("The requested operation is not supported after starting the microVM.");
}

Result<> MicroVm::after_start() const {
  if (state_ != VmState::kNotStarted) return {};
  return fail("The requested operation is not supported before starting the microVM.");
}

Result<> MicroVm::set_boot(BootSource boot) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  TRY_CTX(check_opens(boot.kernel_image_path, O_RDONLY), "Boot source error: The kernel file cannot be opened");
  if (!boot.initrd_path.empty())
    TRY_CTX(check_opens(boot.initrd_path, O_RDONLY),
            "Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions");
  config_.boot = std::move(boot);
  return {};
}

Result<> MicroVm::set_machine(const MachineConfig& machine) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  TRY_CTX(check_machine(machine), "Machine config error");
  use_machine(machine);
  return {};
}

Result<> MicroVm::patch_machine(const boost::json::value& body) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  const MachineConfig changed = TRY(patch_machine_config(config_.machine, body));
  TRY_CTX(check_machine(changed), "Machine config error");
  use_machine(changed);
  return {};
}

void MicroVm::use_machine(const MachineConfig& machine) {
  config_.machine = machine;
  if (machine.cpu_template != StaticTemplate::kNone) config_.cpu = {};
}

// One root device at most, which comes first; the same id again replaces.
Result<> MicroVm::set_drive(DriveConfig drive) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  for (const DriveConfig& other : config_.drives)
    if (drive.is_root_device && other.is_root_device && other.drive_id != drive.drive_id)
      return fail("Drive config error: A root block device already exists!");
  TRY_CTX(check_opens(drive.path_on_host, drive.is_read_only ? O_RDONLY : O_RDWR),
          "Drive config error: Unable to create the virtio block device");
  std::vector<DriveConfig>& drives = config_.drives;
  auto place = std::ranges::find(drives, drive.drive_id, &DriveConfig::drive_id);
  if (place != drives.end()) place = drives.erase(place);
  drives.insert(drive.is_root_device ? drives.begin() : place, std::move(drive));
  return {};
}

Result<> MicroVm::set_net(NetConfig net) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  for (const NetConfig& other : config_.nets)
    if (other.iface_id != net.iface_id && net.guest_mac && other.guest_mac == net.guest_mac)
      return fail("Network config error: The MAC address is already in use: ", mac_text(*net.guest_mac));
  const auto same = std::ranges::find(config_.nets, net.iface_id, &NetConfig::iface_id);
  if (same != config_.nets.end())
    *same = std::move(net);
  else
    config_.nets.push_back(std::move(net));
  return {};
}

Result<> MicroVm::set_vsock(VsockConfig vsock) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  config_.vsock = std::move(vsock);
  return {};
}

Result<> MicroVm::set_entropy(const EntropyConfig& entropy) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  config_.entropy = entropy;
  return {};
}

Result<> MicroVm::set_mmds(MmdsConfig mmds) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  if (mmds.interfaces.empty())
    return fail("MMDS config error: The list of network interface IDs that allow forwarding MMDS requests is empty.");
  for (const std::string& id : mmds.interfaces)
    if (std::ranges::find(config_.nets, id, &NetConfig::iface_id) == config_.nets.end())
      return fail(
          "MMDS config error: The list of network interface IDs provided contains at least one ID that does not "
          "correspond to any existing network interface.");
  // RFC 3927, 2.1: the first and the last 256 addresses are reserved.
  if (mmds.address < 0xa9fe0100 || mmds.address > 0xa9fefeff)
    return fail("MMDS config error: The MMDS IPv4 address is not link local.");
  metadata_->configure(mmds.version, mmds.imds_compatible);
  config_.mmds = std::move(mmds);
  return {};
}

Result<> MicroVm::set_console(const ConsoleConfig& console) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  config_.console = console;
  return {};
}

Result<> MicroVm::set_logger(LoggerConfig logger) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  using log::Level;
  static constexpr std::pair<std::string_view, Level> kLevels[] = {
      {"error", Level::kError}, {"warning", Level::kWarning}, {"warn", Level::kWarning}, {"info", Level::kInfo},
      {"debug", Level::kDebug}, {"trace", Level::kDebug},     {"off", Level::kError}};
  std::string lower = logger.level;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto* level = std::ranges::find(kLevels, lower, &std::pair<std::string_view, Level>::first);
  if (level == std::end(kLevels)) return fail("Logger error: unknown level `", logger.level, "`");
  const bool off = lower == "off";
  TRY_CTX(log::configure({.file = off ? "/dev/null" : logger.log_path, .level = level->second}), "Logger error");
  config_.logger = std::move(logger);
  return {};
}

Result<> MicroVm::set_metrics(MetricsConfig metrics) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  if (config_.metrics) return fail("Metrics error: Reinitialization of metrics not allowed.");
  metrics_file_ = TRY_CTX(open_output(metrics.metrics_path), "Metrics error");
  config_.metrics = std::move(metrics);
  return {};
}

Result<> MicroVm::set_serial(SerialConfig serial) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  config_.serial = std::move(serial);
  return {};
}

// The last of /cpu-config and `cpu_template` counts.
Result<> MicroVm::set_cpu(CpuTemplate cpu) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  config_.cpu = std::move(cpu);
  config_.machine.cpu_template = StaticTemplate::kNone;
  return {};
}

Result<> MicroVm::set_config(VmConfig config) {
  if (config.boot) TRY(set_boot(std::move(*config.boot)));
  TRY(set_machine(config.machine));
  for (DriveConfig& drive : config.drives) TRY(set_drive(std::move(drive)));
  for (NetConfig& net : config.nets) TRY(set_net(std::move(net)));
  if (config.vsock) TRY(set_vsock(std::move(*config.vsock)));
  if (config.entropy) TRY(set_entropy(*config.entropy));
  if (config.mmds) TRY(set_mmds(std::move(*config.mmds)));
  if (config.console) TRY(set_console(*config.console));
  if (config.logger) TRY(set_logger(std::move(*config.logger)));
  if (config.metrics) TRY(set_metrics(std::move(*config.metrics)));
  TRY(set_serial(std::move(config.serial)));
  return config.cpu.empty() ? Result<>{} : set_cpu(std::move(config.cpu));
}

std::string command_line(const VmConfig& config) {
  std::string line = config.boot->boot_args ? *config.boot->boot_args : std::string(kDefaultArguments);
  const auto at = std::ranges::find_if(config.drives, &DriveConfig::is_root_device);
  if (at == config.drives.end()) return line;
  const DriveConfig& root = *at;
  line += root.partuuid.empty() ? " root=/dev/vda" : cat(" root=PARTUUID=", root.partuuid);
  return line + (root.is_read_only ? " ro" : " rw");
}

Result<> MicroVm::open_serial() {
  if (!config_.serial.serial_out_path.empty())
    serial_file_ = TRY_CTX(open_output(config_.serial.serial_out_path), "serial output");
  serial_bucket_ = TokenBucket(config_.serial.rate, Clock::system().monotonic());
  return {};
}

// Under the serial port's lock.
void MicroVm::serial_byte(char byte) {
  if (!serial_bucket_.take(1, Clock::system().monotonic())) {
    ++serial_dropped_;
    return;
  }
  ++serial_bytes_;
  if (serial_file_)
    static_cast<void>(!::write(serial_file_.get(), &byte, 1));
  else if (options_.serial_output)
    options_.serial_output({&byte, 1});
}

Result<> MicroVm::make_machine(std::optional<Fd> memory) {
  TRY(open_serial());
  machine_ = TRY(Machine::create({.vcpus = config_.machine.vcpu_count,
                                  .memory_bytes = config_.machine.mem_size_mib << 20,
                                  .memory_file = std::move(memory),
                                  .engine = options_.engine,
                                  .engine_options = options_.engine_options,
                                  .cpu = cpu_template(config_),
                                  .debug_exit = options_.debug_exit,
                                  .serial_output = [this](char byte) { serial_byte(byte); }}));
  machine_->serial().on_room = [this] { machine_->reactor().post([this] { feed_serial(); }); };
  return add_devices();
}

Result<> MicroVm::add_devices() {
  for (const DriveConfig& drive : config_.drives) {
    auto block = TRY(virtio::Block::open({.path = drive.path_on_host,
                                          .serial = drive.drive_id,
                                          .read_only = drive.is_read_only,
                                          .flush = drive.writeback,
                                          .async = drive.async,
                                          .rate = drive.rate}));
    blocks_[drive.drive_id] = block.get();
    TRY(machine_->add(std::move(block)));
  }
  for (NetConfig& net : config_.nets) TRY(add_net(net));
  if (config_.vsock) {
    auto vsock = TRY_CTX(virtio::Vsock::listen({.guest_cid = config_.vsock->guest_cid, .path = config_.vsock->uds_path},
                                               machine_->reactor()),
                         "Vsock config error");
    vsock_ = vsock.get();
    TRY(machine_->add(std::move(vsock)));
  }
  if (config_.entropy) TRY(machine_->add(std::make_unique<virtio::Rng>(config_.entropy->rate)));
  if (config_.console) {
    auto console = std::make_unique<virtio::Console>([this](std::string_view text) {
      if (options_.serial_output) options_.serial_output(text);
    });
    console->on_room = [this] { machine_->reactor().post([this] { feed_serial(); }); };
    console_ = console.get();
    TRY(machine_->add(std::move(console)));
  }
  return {};
}

Result<> MicroVm::add_net(NetConfig& net) {
  if (!net.guest_mac) net.guest_mac = TRY(random_mac());
  Fd tap = TRY_CTX(virtio::open_tap(net.host_dev_name), "Network config error: Cannot open/create the tap device");
  auto device = std::make_unique<virtio::Net>(
      std::move(tap),
      virtio::NetOptions{.mac = *net.guest_mac, .mtu = net.mtu, .receive = net.receive, .send = net.send});
  if (config_.mmds && std::ranges::find(config_.mmds->interfaces, net.iface_id) != config_.mmds->interfaces.end()) {
    const auto first = static_cast<uint32_t>(TRY(random_number()));
    auto stack = std::make_unique<MetadataStack>(metadata_, config_.mmds->address, first);
    stacks_.push_back(stack.get());
    device->set_filter(std::move(stack));
  }
  nets_[net.iface_id] = device.get();
  return machine_->add(std::move(device));
}

void MicroVm::drop_machine() {
  machine_.reset();
  blocks_.clear();
  nets_.clear();
  vsock_ = nullptr;
  console_ = nullptr;
  stacks_.clear();
}

Result<> MicroVm::boot() {
  std::string extra;
  if (options_.initrd_extra) extra = TRY_CTX(options_.initrd_extra(), "the guest's init");
  return machine_->boot({.kernel = config_.boot->kernel_image_path,
                         .initrd = config_.boot->initrd_path,
                         .initrd_extra = std::move(extra),
                         .command_line = command_line(config_),
                         .options = {.cache_folder = options_.kernel_cache, .protocol = {}}});
}

Result<> MicroVm::start(std::optional<Image> image) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  if (!config_.boot) return fail("Start microvm error: Cannot start microvm without kernel configuration.");
  const auto begin = [&]() -> Result<> {
    if (config_.machine.cpu_template != StaticTemplate::kNone)
      TRY(check_processor(config_.machine.cpu_template, host_processor(), choose_engine(options_.engine)));
    TRY(make_machine(image ? std::optional(std::move(image->memory)) : std::nullopt));
    TRY(image ? machine_->restore(image->state) : boot());
    if (config_.machine.track_dirty_pages) TRY(machine_->track_dirty(true));
    TRY(machine_->start());
    return machine_->resume();
  };
  if (auto begun = begin(); !begun) {
    drop_machine();
    return std::unexpected(std::move(begun.error()).with_context("Start microvm error"));
  }
  state_ = VmState::kRunning;
  started_.notify_all();
  feed_serial();
  return {};
}

// Restores into this machine; the configuration is the snapshot's.
Result<> MicroVm::go_on(const SnapshotLoad& load) {
  const SavedMachine saved = TRY(read_state_file(load.snapshot_path));
  const auto description = TRY_CTX(json::parse(saved.description), "state file");
  VmConfig config = TRY_CTX(parse_vm_config(description), "state file");
  for (const auto& [id, device] : load.network_overrides) {
    const auto net = std::ranges::find(config.nets, id, &NetConfig::iface_id);
    if (net == config.nets.end()) return fail("Unknown Network Device: ", id);
    net->host_dev_name = device;
  }
  if (load.vsock_path && config.vsock) config.vsock->uds_path = *load.vsock_path;
  config.machine.track_dirty_pages = load.track_dirty_pages;
  config.logger = config_.logger;
  config.metrics = config_.metrics;
  if (config.mmds) metadata_->configure(config.mmds->version, config.mmds->imds_compatible);
  config_ = std::move(config);
  Fd memory = TRY_CTX(kernel::open(load.mem_file_path.c_str(), O_RDONLY), "memory file");
  TRY(make_machine(std::move(memory)));
  TRY(machine_->restore(saved.state));
  if (load.track_dirty_pages) TRY(machine_->track_dirty(true));
  TRY(machine_->start());
  if (load.resume_vm) TRY(machine_->resume());
  return {};
}

Result<> MicroVm::load(const SnapshotLoad& load) {
  const std::lock_guard lock(mutex_);
  TRY(before_start());
  if (config_.boot || !config_.drives.empty() || !config_.nets.empty() || config_.vsock)
    return fail(
        "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.");
  VmConfig before = config_;
  if (auto done = go_on(load); !done) {
    drop_machine();
    config_ = std::move(before);
    return std::unexpected(std::move(done.error()).with_context("Load snapshot error"));
  }
  state_ = load.resume_vm ? VmState::kRunning : VmState::kPaused;
  started_.notify_all();
  return {};
}

bool MicroVm::wait_for_start() {
  std::unique_lock lock(mutex_);
  started_.wait(lock, [&] { return abandoned_ || state_ != VmState::kNotStarted; });
  return state_ != VmState::kNotStarted;
}

void MicroVm::stop() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  if (machine_) machine_->stop();
  started_.notify_all();
}

Result<> MicroVm::pause() {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  TRY(machine_->pause());
  state_ = VmState::kPaused;
  return {};
}

Result<> MicroVm::resume() {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  TRY(machine_->resume());
  state_ = VmState::kRunning;
  return {};
}

Result<> MicroVm::ctrl_alt_del() {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  machine_->keyboard().ctrl_alt_del();
  return {};
}

Result<> MicroVm::snapshot(const SnapshotCreate& create) {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  if (state_ != VmState::kPaused)
    return fail("Create snapshot error: Cannot save the microVM state: the microVM must be paused");
  if (create.diff && !config_.machine.track_dirty_pages)
    return fail("Create snapshot error: Diff snapshots are not allowed on uVMs with dirty page tracking disabled");
  TRY_CTX(write_snapshot(
              *machine_, create.diff ? SnapshotKind::kDiff : SnapshotKind::kFull, json::to_line(to_json(config_)),
              {.state = create.snapshot_path, .memory = create.mem_file_path}, config_.machine.track_dirty_pages),
          "Create snapshot error");
  return {};
}

Result<> MicroVm::save_image(const std::string& description, const SnapshotFiles& files) {
  const std::lock_guard lock(mutex_);
  if (state_ != VmState::kRunning) return fail("the machine does not run");
  TRY(machine_->pause());
  const auto save = [&]() -> Result<> {
    if (!machine_->disks_and_nets_untouched()) return fail("the kernel uses its disks or network interfaces already");
    return write_snapshot(*machine_, SnapshotKind::kFull, description, files, false);
  };
  const auto saved = save();
  TRY(machine_->resume());
  return saved;
}

Result<> MicroVm::update_drive(const DriveUpdate& update) {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  const auto at = blocks_.find(update.drive_id);
  if (at == blocks_.end())
    return fail(
        "Drive config error: Unable to patch the block device: Device not found. Please verify the request arguments.");
  const auto held = machine_->reactor().lock();
  const auto config = std::ranges::find(config_.drives, update.drive_id, &DriveConfig::drive_id);
  if (update.path_on_host) {
    TRY_CTX(at->second->replace(*update.path_on_host), "Drive config error: Unable to patch the block device");
    config->path_on_host = *update.path_on_host;
  }
  update.rate.apply(config->rate);
  at->second->set_rate(config->rate);
  return {};
}

Result<> MicroVm::update_net(const NetUpdate& update) {
  const std::lock_guard lock(mutex_);
  TRY(after_start());
  const auto at = nets_.find(update.iface_id);
  if (at == nets_.end()) return fail("Network config error: Unable to update the net device: Device not found");
  const auto held = machine_->reactor().lock();
  const auto config = std::ranges::find(config_.nets, update.iface_id, &NetConfig::iface_id);
  update.receive.apply(config->receive);
  update.send.apply(config->send);
  at->second->set_rates(config->receive, config->send);
  return {};
}

void MicroVm::type(std::string_view text) {
  {
    const std::lock_guard lock(typed_mutex_);
    typed_ += text.substr(0, kMostTyped - std::min(kMostTyped, typed_.size()));
  }
  if (state() != VmState::kNotStarted) feed_serial();
}

void MicroVm::feed_serial() {
  // The reactor's lock first: it is held when the port has room again.
  const auto held = machine_->reactor().lock();
  const std::lock_guard lock(typed_mutex_);
  if (typed_.empty()) return;
  typed_.erase(0, console_ != nullptr ? console_->input(typed_) : machine_->serial().input(typed_));
}

// Of all interfaces together.
boost::json::value MicroVm::mmds_metrics() const {
  uint64_t taken = 0, taken_bytes = 0, sent = 0, sent_bytes = 0, malformed = 0, unusual = 0;
  uint64_t opened = 0, closed = 0, no_token = 0, invalid_token = 0;
  for (const MetadataStack* stack : stacks_) {
    const StackCounts& c = stack->counts();
    taken += c.taken, taken_bytes += c.taken_bytes, sent += c.sent, sent_bytes += c.sent_bytes;
    malformed += c.malformed, unusual += c.unusual;
    opened += stack->tcp_counts().opened, closed += stack->tcp_counts().closed;
    no_token += stack->http_counts().no_token, invalid_token += stack->http_counts().invalid_token;
  }
  return {{"rx_accepted", taken},
          {"rx_accepted_err", malformed},
          {"rx_accepted_unusual", unusual},
          {"rx_count", taken},
          {"rx_bytes", taken_bytes},
          {"tx_count", sent},
          {"tx_frames", sent},
          {"tx_bytes", sent_bytes},
          {"connections_created", opened},
          {"connections_destroyed", closed},
          {"rx_no_token", no_token},
          {"rx_invalid_token", invalid_token}};
}

boost::json::value MicroVm::metrics() const {
  namespace json = boost::json;
  const std::lock_guard lock(mutex_);
  json::object out;
  if (config_.metrics && config_.metrics->emit_id) out["id"] = options_.id;
  if (config_.metrics && !config_.metrics->properties.empty()) {
    json::object properties;
    for (const auto& [name, value] : config_.metrics->properties) properties[name] = value;
    out["properties"] = std::move(properties);
  }
  out["utc_timestamp_ms"] = Clock::system().wall().time_since_epoch().count() / 1'000'000;
  if (!machine_) return out;
  const auto held = machine_->reactor().lock();
  json::object exits;
  const ExitCounts counts = machine_->exits();
  for (size_t i = 0; i < counts.size(); ++i) exits[exit_cause_name(static_cast<ExitCause>(i))] = counts[i];
  out["vcpu"] = std::move(exits);
  out["uart"] = {{"write_count", serial_bytes_}, {"rate_limiter_dropped_bytes", serial_dropped_}};
  for (const auto& [id, block] : blocks_) {
    const virtio::BlockCounts& c = block->counts();
    out[cat("block_", id)] = {{"read_count", c.reads},       {"write_count", c.writes},
                              {"flush_count", c.flushes},    {"discard_count", c.discards},
                              {"read_bytes", c.read_bytes},  {"write_bytes", c.write_bytes},
                              {"execute_fails", c.failures}, {"rate_limiter_throttled_events", c.throttled}};
  }
  for (const auto& [id, net] : nets_) {
    const virtio::NetCounts& c = net->counts();
    out[cat("net_", id)] = {{"rx_packets_count", c.received},   {"rx_bytes_count", c.received_bytes},
                            {"tx_packets_count", c.sent},       {"tx_bytes_count", c.sent_bytes},
                            {"tx_malformed_frames", c.dropped}, {"rate_limiter_throttled_events", c.throttled}};
  }
  if (config_.mmds) out["mmds"] = mmds_metrics();
  if (vsock_ != nullptr) out["vsock"] = {{"connections", vsock_->connections()}};
  return out;
}

Result<> MicroVm::flush_metrics() {
  {
    const std::lock_guard lock(mutex_);
    TRY(after_start());
  }
  const std::string line = json::to_line(metrics()) + "\n";
  const std::lock_guard lock(mutex_);
  if (!metrics_file_) return fail("Internal VMM error: the metrics are not configured");
  return kernel::write_all(metrics_file_.get(), line);
}

}  // namespace proa::vmm
