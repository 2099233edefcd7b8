// A virtual machine: memory, a CPU engine with its vCPU threads, the board, and virtio devices.
//
//   auto machine = TRY(Machine::create(std::move(plan)));
//   TRY(machine->boot(boot_plan));
//   TRY(machine->start());
//   const End end = machine->wait();
//
// Threads: everything from any thread; calls that change the life (boot, start, pause, resume, save, restore) are
// the caller's to keep apart.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "vmm/boot/boot.h"
#include "vmm/cpu/engine.h"
#include "vmm/devices/board.h"
#include "vmm/devices/interrupts.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/reactor.h"
#include "vmm/devices/serial.h"
#include "vmm/devices/virtio/device.h"
#include "vmm/machine/cpu_template.h"

namespace proa::vmm {

// Why a machine ended.
struct End {
  enum class Kind : uint8_t {
    kOff,        // the guest switched it off
    kReset,      // the guest reset it, or shut down by a triple fault
    kDebugExit,  // a test program wrote to the exit port: `status`
    kStopped,    // stop()
    kFailed      // the engine failed: `message`
  } kind = Kind::kOff;
  int status = 0;
  std::string message;
};
const char* end_name(End::Kind kind);

struct MachinePlan {
  unsigned vcpus = 1;  // 1 to 254
  uint64_t memory_bytes = 128ULL << 20;
  // Of a snapshot: memory mapped privately from this file, in the order of the slots.
  std::optional<Fd> memory_file;
  EngineKind engine = EngineKind::kAuto;
  EngineOptions engine_options;
  CpuTemplate cpu;
  bool debug_exit = false;
  // What the guest writes to the serial port; on vCPU threads, must not wait long.
  std::function<void(char)> serial_output;
};

class Machine {
 public:
  static constexpr unsigned kMaxVcpus = 254;
  static constexpr unsigned kMaxVirtio = 17;  // lines 5 to 22, without 8 and 13 which boards know as others

  static Result<std::unique_ptr<Machine>> create(MachinePlan plan);
  ~Machine();

  // Before boot() or restore(). The device comes to the machine.
  Result<> add(std::unique_ptr<virtio::Device> device);
  Result<> boot(const BootPlan& plan);
  // In place of boot(), for what was put into memory by hand: where vCPU 0 begins.
  Result<> enter(const CpuState& state);
  // Starts the vCPUs.
  Result<> start();

  // All vCPUs are out of the guest and nothing is in flight when pause() returns.
  Result<> pause();
  Result<> resume();
  bool paused() const;
  // Asks nobody. wait() gives kStopped.
  void stop();
  End wait();
  std::optional<End> ended() const;
  // Called once, on whichever thread ended it; must not wait for the machine.
  void on_end(std::function<void()> call);

  // No driver in the guest has taken one of its disks or network interfaces yet.
  bool disks_and_nets_untouched() const;
  // While paused: vCPUs, board and devices; memory is saved apart.
  Result<std::string> save();
  // In place of boot(), on a machine of the same plan and devices. A new generation id tells the guest that it is
  // another one now.
  Result<> restore(std::string_view state);
  // The memory's pages the guest or a device wrote since the last call; tracking begins with track_dirty(true).
  Result<> track_dirty(bool on);
  Result<std::vector<GuestAddress>> take_dirty();

  GuestMemory& memory() { return *memory_; }
  Engine& engine() { return *engine_; }
  Reactor& reactor() { return *reactor_; }
  Serial& serial() { return *serial_; }
  KeyboardController& keyboard() { return *keyboard_; }
  ExitCounts exits() const;
  unsigned vcpus() const { return plan_.vcpus; }
  const MachinePlan& plan() const { return plan_; }

 private:
  class BusOfMachine;
  class SinkOfMachine;
  struct Attached {
    std::unique_ptr<virtio::Device> device;
    std::unique_ptr<virtio::Transport> transport;
    AcpiVirtio place;
  };

  explicit Machine(MachinePlan plan);
  Result<> make_memory();
  Result<> make_board();
  Result<> make_vcpus();
  Result<> write_generation();
  Result<> modify_msrs();
  void transfer_msrs(StateStream& s, std::vector<uint64_t>& values) const;
  void run_vcpu(unsigned index);
  // Waits while the machine is paused; false when it has ended.
  bool rest();
  void end(End end);
  void kick_all();
  void transfer_board(StateStream& s);

  MachinePlan plan_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Reactor> reactor_;
  IoSpace space_;
  std::unique_ptr<BusOfMachine> bus_;
  std::unique_ptr<SinkOfMachine> sink_;
  std::unique_ptr<Interrupts> interrupts_;
  std::unique_ptr<Serial> serial_;
  std::unique_ptr<Pit> pit_;
  std::unique_ptr<Cmos> cmos_;
  std::unique_ptr<KeyboardController> keyboard_;
  std::unique_ptr<PowerPorts> power_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<Attached> devices_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  bool paused_ = false, ending_ = false;
  unsigned resting_ = 0, running_ = 0;
  std::optional<End> end_;
  std::function<void()> on_end_;
};

}  // namespace proa::vmm
