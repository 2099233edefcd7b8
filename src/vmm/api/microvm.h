// A microVM as Firecracker's API sees it: configured piece by piece, started once, then paused, resumed, saved.
//
// Threads: any; one call at a time does its work, others wait.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "vmm/api/config.h"
#include "vmm/devices/virtio/block.h"
#include "vmm/devices/virtio/console.h"
#include "vmm/devices/virtio/net.h"
#include "vmm/devices/virtio/vsock.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/snapshot.h"

namespace proa::vmm {

enum class VmState : uint8_t { kNotStarted, kRunning, kPaused };
std::string_view state_name(VmState state);  // "Not started", "Running", "Paused"

// The kernel's command line: what the configuration says, and where its root is.
std::string command_line(const VmConfig& config);

class MicroVm {
 public:
  struct Options {
    std::string id = "anonymous-instance";
    EngineKind engine = EngineKind::kAuto;
    EngineOptions engine_options;
    std::string kernel_cache;  // folder of unpacked kernels; "": none
    // A cpio archive after the initial RAM disk, made when the machine boots; null: none.
    std::function<Result<std::string>()> initrd_extra;
    bool debug_exit = false;
    size_t metadata_limit = Metadata::kDefaultLimit;
    // What the guest writes to the serial port, unless PUT /serial names a file. On vCPU threads.
    std::function<void(std::string_view)> serial_output;
  };

  explicit MicroVm(Options options)
      : options_(std::move(options)), metadata_(std::make_shared<Metadata>(options_.id, options_.metadata_limit)) {}
  ~MicroVm();

  const Options& options() const { return options_; }
  VmConfig config() const;
  VmState state() const;

  // --- before the start; errors in Firecracker's words
  Result<> set_boot(BootSource boot);
  Result<> set_machine(const MachineConfig& machine);
  Result<> patch_machine(const boost::json::value& body);
  Result<> set_drive(DriveConfig drive);
  Result<> set_net(NetConfig net);
  Result<> set_vsock(VsockConfig vsock);
  Result<> set_entropy(const EntropyConfig& entropy);
  Result<> set_mmds(MmdsConfig mmds);
  Result<> set_console(const ConsoleConfig& console);
  Result<> set_logger(LoggerConfig logger);
  Result<> set_metrics(MetricsConfig metrics);
  Result<> set_serial(SerialConfig serial);
  Result<> set_cpu(CpuTemplate cpu);
  Result<> set_config(VmConfig config);
  // What a machine is that has booted already; of one with the same board, engine and number of devices of each type.
  struct Image {
    Fd memory;  // mapped privately
    std::string state;
  };
  // With an image the machine goes on from there in place of booting.
  Result<> start(std::optional<Image> image = {});
  Result<> load(const SnapshotLoad& load);

  // --- after it
  Result<> pause();
  Result<> resume();
  Result<> ctrl_alt_del();
  Result<> snapshot(const SnapshotCreate& create);
  // Of a running machine, whose guest notices nothing. Fails once a driver has taken a disk or a network interface: it
  // may know what will be different.
  Result<> save_image(const std::string& description, const SnapshotFiles& files);
  Result<> update_drive(const DriveUpdate& update);
  Result<> update_net(const NetUpdate& update);

  // What the guest reads of the metadata service; before the start and after it.
  Metadata& metadata() { return *metadata_; }

  // A line of JSON to the metrics file.
  Result<> flush_metrics();
  boost::json::value metrics() const;
  // What somebody typed for the serial port.
  void type(std::string_view text);
  // Until the start, which may be somebody else's call to the API; false: stop() came before.
  bool wait_for_start();
  // Ends the machine, or the wait for its start.
  void stop();
  // Null before the start.
  Machine* machine() const { return machine_.get(); }

 private:
  Result<> go_on(const SnapshotLoad& load);
  void drop_machine();
  Result<> before_start() const;
  Result<> after_start() const;
  Result<> make_machine(std::optional<Fd> memory);
  Result<> add_devices();
  Result<> add_net(NetConfig& net);
  void use_machine(const MachineConfig& machine);
  Result<> boot();
  Result<> open_serial();
  void serial_byte(char byte);
  void feed_serial();
  boost::json::value mmds_metrics() const;

  const Options options_;
  const std::shared_ptr<Metadata> metadata_;
  mutable std::mutex mutex_;
  VmConfig config_;
  VmState state_ = VmState::kNotStarted;
  std::condition_variable started_;
  bool abandoned_ = false;
  std::unique_ptr<Machine> machine_;
  std::map<std::string, virtio::Block*> blocks_;
  std::map<std::string, virtio::Net*> nets_;
  virtio::Vsock* vsock_ = nullptr;
  virtio::Console* console_ = nullptr;
  std::vector<MetadataStack*> stacks_;

  Fd serial_file_, metrics_file_;
  TokenBucket serial_bucket_;
  uint64_t serial_bytes_ = 0, serial_dropped_ = 0;
  std::mutex typed_mutex_;
  std::string typed_;  // not yet read by the guest
};

}  // namespace proa::vmm
