// Interrupt lines of the board: each of the 24 lines (GSIs) goes to the IOAPIC, the first 16 to the pair of 8259s too.
// ISA line 0, the PIT's, is GSI 2 at the IOAPIC, as the MADT says.
//
// What comes out goes to the local APICs of the engine: MSIs from the IOAPIC, one line (INTR) from the 8259s.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "vmm/cpu/engine.h"
#include "vmm/devices/io_space.h"
#include "vmm/devices/state_stream.h"

namespace proa::vmm {

inline constexpr unsigned kLines = 24;
inline constexpr GuestAddress kIoapicBase = 0xfec00000;

// Where interrupts go; called with the board's lock held: must not come back.
class InterruptSink {
 public:
  virtual ~InterruptSink() = default;
  virtual void deliver(const Msi& msi) = 0;
  virtual void set_extint(bool level) = 0;
  // Line `line` will be sent as this message; null: not at all. The engine has to know, to report its end.
  virtual void routed(unsigned line, const Msi* msi) = 0;
};

// One 8259A (Intel 231468). Pin 2 of the first has the second's output.
class Pic {
 public:
  void set_line(unsigned pin, bool level);
  uint8_t in(unsigned port);
  void out(unsigned port, uint8_t value);
  bool output() const { return pending() >= 0; }
  // INTA: the vector's low three bits are the pin; spurious ones are 7.
  unsigned acknowledge();
  uint8_t vector_base() const { return base_; }
  uint8_t edge_level = 0;  // ELCR: bits of level-triggered pins
  void reset();
  void transfer(StateStream& s);

 private:
  int pending() const;
  int highest(uint8_t bits) const;
  void end(uint8_t value);
  void initialise(uint8_t value);

  uint8_t request_ = 0, service_ = 0, mask_ = 0xff, lines_ = 0, base_ = 0;
  uint8_t lowest_ = 7;  // the pin of lowest priority
  uint8_t step_ = 0;    // of initialisation: the ICW that comes next; 0: none
  bool needs_icw4_ = false, auto_end_ = false, rotate_ = false, read_service_ = false, special_mask_ = false,
       poll_ = false, special_nested_ = false;
};

class Interrupts : public MmioDevice {
 public:
  explicit Interrupts(InterruptSink& sink) : sink_(sink) { reset(); }

  // The ports of the 8259s and of ELCR, and the IOAPIC's page.
  Result<> attach(IoSpace& space);

  void set_line(unsigned line, bool level);
  // An edge.
  void pulse(unsigned line) {
    set_line(line, true);
    set_line(line, false);
  }
  void end_of_interrupt(uint8_t vector);
  uint8_t acknowledge_extint();

  uint64_t read(uint64_t offset, unsigned size) override;
  void write(uint64_t offset, unsigned size, uint64_t value) override;

  void reset();
  void transfer(StateStream& s);
  // After loading: tells the sink of all routes and of the output.
  void announce();

 private:
  class Ports : public PortDevice {
   public:
    explicit Ports(Interrupts& owner) : owner_(owner) {}
    uint8_t in(uint16_t port) override;
    void out(uint16_t port, uint8_t value) override;

   private:
    Interrupts& owner_;
  };

  // A redirection entry (82093AA, 3.2.4).
  static constexpr uint64_t kMasked = 1u << 16, kLevel = 1u << 15, kRemoteIrr = 1u << 14, kActiveLow = 1u << 13,
                            kPending = 1u << 12;
  static Msi message(uint64_t entry);
  void set_pic_line(unsigned line, bool level);
  void update_pics();
  void set_ioapic_line(unsigned line, bool level);
  void service(unsigned line);
  void route(unsigned line);
  uint32_t read_register(uint8_t index) const;
  void write_register(uint8_t index, uint32_t value);

  InterruptSink& sink_;
  Ports ports_{*this};
  std::mutex mutex_;
  std::array<Pic, 2> pics_;
  bool extint_ = false;
  uint8_t select_ = 0;
  uint32_t id_ = 0;
  uint32_t levels_ = 0;  // of the lines
  std::array<uint64_t, kLines> table_{};
};

// A device's line.
struct Line {
  Interrupts* board = nullptr;
  unsigned number = 0;
  void set(bool level) const {
    if (board != nullptr) board->set_line(number, level);
  }
  void pulse() const {
    if (board != nullptr) board->pulse(number);
  }
};

}  // namespace proa::vmm
