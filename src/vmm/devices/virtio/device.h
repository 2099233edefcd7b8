// What every virtio device is to its transport, and the transport (MMIO, virtio 1.2, 4.2) to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "vmm/devices/interrupts.h"
#include "vmm/devices/io_space.h"
#include "vmm/devices/reactor.h"
#include "vmm/devices/state_stream.h"
#include "vmm/devices/virtio/queue.h"

namespace proa::vmm::virtio {

// Device types (virtio 1.2, 5).
enum class Type : uint32_t { kNet = 1, kBlock = 2, kConsole = 3, kEntropy = 4, kVsock = 19 };

inline constexpr uint64_t kIndirectDesc = 1ULL << 28, kEventIdx = 1ULL << 29, kVersion1 = 1ULL << 32;

class Transport;

// All calls come under the reactor's lock, as its callbacks do.
class Device {
 public:
  virtual ~Device() = default;
  virtual Type type() const = 0;
  // Feature bits of the device's own.
  virtual uint64_t features() const = 0;
  // Its queues' largest sizes; powers of two.
  virtual std::vector<uint16_t> queue_sizes() const = 0;
  // The configuration space as it is now.
  virtual std::string config() const = 0;
  // The driver wrote there; most devices have nothing to write.
  virtual void write_config(uint64_t offset, unsigned size, uint64_t value);
  // The driver is ready; features() that it took. Queues may be used from here on, until reset(). Also called after a
  // restore.
  virtual void activate(uint64_t features) = 0;
  // Nothing is in flight when this returns, and the queues are not touched any more.
  virtual void reset() = 0;
  // There are requests in the queue, perhaps.
  virtual void notified(unsigned queue) = 0;
  // Waits for what is in flight: the state is about to be saved. notified() comes for every queue when it goes on.
  virtual void quiesce() {}
  virtual void transfer(StateStream& s) = 0;

  Transport& transport() const { return *transport_; }

 private:
  friend class Transport;
  Transport* transport_ = nullptr;
};

class Transport : public MmioDevice {
 public:
  static constexpr uint64_t kSize = 0x1000;
  static constexpr uint64_t kNotifyOffset = 0x50;
  static constexpr uint32_t kDriverStatus = 2;

  // The device is borrowed, as are memory and reactor.
  Transport(Device& device, const GuestMemory& memory, Reactor& reactor, Line line);
  ~Transport() override;

  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;

  // An eventfd for each queue, which the engine signals in place of a write to kNotifyOffset with the queue's number.
  Result<> make_doorbells();
  int doorbell(unsigned queue) const { return doorbells_[queue].get(); }

  // A driver has taken the device since its last reset, and may know its configuration.
  bool taken() const { return (status_ & kDriverStatus) != 0; }

  // --- for the device
  Queue& queue(unsigned index) { return queues_[index]; }
  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  Reactor& reactor() const { return reactor_; }
  const GuestMemory& memory() const { return memory_; }
  // Whether requests may be served: the driver is ready, nothing broke, the machine is not paused.
  bool running() const { return active_ && !paused_; }
  // Interrupts the driver if it wants to know of what was pushed.
  void signal(unsigned queue);
  void config_changed();
  // The driver broke the rules: nothing goes on until it resets the device (2.1.2).
  void needs_reset();

  // --- for the machine
  void pause();
  void resume();
  // While paused.
  void transfer(StateStream& s);
  void reset();
  Device& device() const { return device_; }

 private:
  uint64_t read_register(uint64_t offset) const;
  void write_register(uint64_t offset, uint32_t value);
  void write_queue(uint64_t offset, uint32_t value);
  void set_status(uint32_t status);
  bool features_fit() const;
  void notify(unsigned queue);
  void interrupt(uint32_t cause);
  void do_reset();
  uint64_t offered() const { return device_.features() | kIndirectDesc | kEventIdx | kVersion1; }

  Device& device_;
  const GuestMemory& memory_;
  Reactor& reactor_;
  const Line line_;
  std::vector<Queue> queues_;
  std::vector<Fd> doorbells_;
  std::vector<Watch> watches_;
  uint32_t status_ = 0, generation_ = 0;
  std::atomic<uint32_t> isr_ = 0;  // read and cleared without the lock: part of every interrupt
  uint32_t device_features_select_ = 0, driver_features_select_ = 0, queue_select_ = 0;
  uint64_t driver_features_ = 0;
  bool active_ = false, paused_ = false;
};

}  // namespace proa::vmm::virtio
