// One processor of the guest: its architectural state and what each instruction does to it, one at a time. The
// translator runs blocks of instructions by itself and comes here for those that are not the host's own, for every
// slow memory access, and for all of 16- and 32-bit code.
//
// Registers are in the Context; everything else of the architecture is in a CpuState, whose gpr, rip, rflags, fx and
// FS, GS and kernel GS bases are only right after save().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "vmm/cpu/engine.h"
#include "vmm/cpu/exit_sites.h"
#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/code_cache.h"
#include "vmm/cpu/translator/control_bits.h"
#include "vmm/cpu/translator/fault.h"
#include "vmm/cpu/translator/insn.h"
#include "vmm/cpu/translator/mmu.h"

namespace proa::vmm::translator {

// What the processor asks of its surroundings.
struct Surroundings {
  Bus* bus = nullptr;
  std::function<bool(uint16_t port, unsigned size, uint32_t value)> ring;  // a doorbell; true: it took the write
  std::function<Guest<uint64_t>(uint32_t)> read_apic_msr;
  std::function<Guest<>(uint32_t, uint64_t)> write_apic_msr;  // x2APIC, APIC base, TSC deadline
  std::function<uint64_t()> tsc;                              // the guest's
  std::function<void(uint64_t)> set_tsc;
  std::function<void(uint32_t msr, uint64_t value)> clock_msr;  // KVM's paravirtual clock
  std::function<void(uint8_t)> set_task_priority;
  std::function<uint8_t()> task_priority;
};

// What a change of state means for translations and cached look-ups.
enum class Flush : uint8_t { kLocal, kGlobal, kPage };

class Core {
 public:
  Core(Context& context, CodeCache& code, GuestMemory& memory, Mmu::Outside outside, Surroundings surroundings,
       const std::vector<CpuidLeaf>& cpuid);

  // Executes the instruction at RIP. After a Fault RIP still points to it (behind it for traps).
  Guest<> step();
  // The same when it is known already.
  Guest<> step(const Insn& insn);
  // Enters the guest's handler; what cannot be delivered becomes a double fault. False: triple fault.
  bool deliver(const Fault& fault);
  bool interrupt(uint8_t vector);

  // A #GP: there is none of that number, or it cannot have that value.
  Guest<uint64_t> msr(uint32_t number);
  Guest<> set_msr(uint32_t number, uint64_t value);
  // From outside: what the guest cannot write reads so from now on.
  void give_msr(uint32_t number, uint64_t value);

  void save();                          // into state()
  void restore(const CpuState& state);  // the other way round
  CpuState& state() { return s_; }
  Context& context() { return c_; }
  Mmu& mmu() { return mmu_; }

  uint64_t rflags() const { return (c_.status & kStatusFlags) | c_.system; }
  void set_rflags(uint64_t value);
  unsigned cpl() const { return cpl_; }
  bool user() const { return cpl_ == 3; }
  bool long_mode() const { return s_.efer & kEferLma; }
  CodeSize code_size() const;
  // Makes the FPU's state live for translated code; or #NM, #UD.
  Guest<> use_fpu(bool sse);
  Guest<Insn> fetch(uint64_t rip);
  uint64_t linear_rip() const { return code_size() == CodeSize::k64 ? c_.rip : s_.segments[kCs].base + c_.rip; }

  // After step(): HLT was executed; interrupts are held off for one instruction; control or mode registers changed.
  bool halted = false;
  bool shadow = false;
  bool stack_shadow = false;  // ... by a load of SS, which holds off debug traps too
  std::function<void(Flush, uint64_t linear)> on_flush;
  ExitCounts exits{};
  std::unique_ptr<ExitSites> sites;  // null: not asked for
  void count(ExitCause cause) {
    ++exits[static_cast<size_t>(cause)];
    if (sites) [[unlikely]]
      sites->add(cause, c_.rip);
  }
  // The host's signal that an instruction run by itself met; 0: none.
  uint64_t native_signal = 0;
  // Data breakpoints that accesses of step() met, as bits of DR6.
  mutable uint64_t watch_hits = 0;
  Fault native_fault(uint64_t signal, const Insn& insn) const;

 private:
  friend class Strings;
  // --- operands.cc: registers, memory operands, the stack
  uint64_t reg(unsigned number, unsigned size, bool rex = true) const;
  void set_reg(unsigned number, unsigned size, uint64_t value, bool rex = true);
  void set_status(uint64_t mask, uint64_t value) { c_.status = (c_.status & ~mask) | (value & mask); }
  uint64_t effective(const Insn& insn) const;
  static uint8_t segment_of(const Insn& insn) {
    if (insn.segment != kNoSegment) return insn.segment;
    return insn.base == kRsp || insn.base == kRbp ? uint8_t{kSs} : uint8_t{kDs};
  }
  Guest<uint64_t> linear(unsigned segment, uint64_t offset, unsigned size, bool write) const;
  void watch(uint64_t linear, unsigned size, bool write) const;
  Guest<uint64_t> address(const Insn& insn, unsigned size, bool write) const {
    return linear(segment_of(insn), effective(insn), size, write);
  }
  Guest<uint64_t> read_rm(const Insn& insn, unsigned size);
  Guest<> write_rm(const Insn& insn, unsigned size, uint64_t value);
  Guest<uint64_t> load(unsigned segment, uint64_t offset, unsigned size);
  Guest<> store(unsigned segment, uint64_t offset, unsigned size, uint64_t value);
  uint64_t stack_mask() const;
  Guest<> push(uint64_t value, unsigned size);
  Guest<uint64_t> pop(unsigned size);
  void add_rsp(int64_t by);

  // --- interpret.cc
  Guest<> execute(const Insn& insn);
  Guest<> execute_one_byte(const Insn& insn);
  Guest<> execute_two_byte(const Insn& insn);
  Guest<> branch(const Insn& insn, uint64_t target);
  Guest<> jump_relative(const Insn& insn);
  Guest<> group5(const Insn& insn);
  Guest<> near_return(const Insn& insn);
  Guest<> loop(const Insn& insn);
  bool condition(unsigned number) const;

  // --- integer.cc
  Guest<> pop_segment(unsigned index, unsigned size);
  Guest<> pop_rm(const Insn& insn);
  Guest<> push_all(const Insn& insn);
  Guest<> pop_all(const Insn& insn);
  Guest<> enter(const Insn& insn);
  Guest<> leave(unsigned size);
  Guest<> bound(const Insn& insn);
  Guest<> adjust_privilege(const Insn& insn);
  Guest<> set_interrupt_flag(bool on);
  Guest<> decimal(const Insn& insn);
  Guest<> pop_flags(const Insn& insn);
  Guest<> compare_exchange_wide(const Insn& insn);
  Guest<> bit_string(const Insn& insn);

  // --- native.cc
  Guest<> identity(const Insn& insn);
  Guest<> masked_move(const Insn& insn);
  Guest<bool> run_native(const Insn& insn, const HostMem& memory, const std::byte* host);
  Guest<> fx_save(const Insn& insn);
  Guest<> fx_restore(const Insn& insn);

  // --- strings.cc
  Guest<> string(const Insn& insn);
  Guest<> string_io(const Insn& insn);
  Guest<> check_io(uint16_t port, unsigned size);
  Guest<> in_out(const Insn& insn);
  void port_out(uint16_t port, unsigned size, uint32_t value);

  // --- segments.cc
  struct Descriptor {
    uint64_t low = 0, high = 0;
    uint16_t selector = 0;
    uint32_t attributes() const { return static_cast<uint32_t>(low >> 40) & 0xf0ff; }
    unsigned type() const { return low >> 40 & 15; }
    bool system() const { return !(low >> 44 & 1); }
    bool code() const { return (low >> 43 & 3) == 3; }
    unsigned dpl() const { return low >> 45 & 3; }
    bool present() const { return low >> 47 & 1; }
    uint64_t base() const { return (low >> 16 & 0xffffff) | (low >> 56 << 24) | high << 32; }
    uint32_t limit() const {
      const auto raw = static_cast<uint32_t>((low & 0xffff) | (low >> 32 & 0xf0000));
      return low >> 55 & 1 ? raw << 12 | 0xfff : raw;
    }
  };
  Guest<Descriptor> descriptor(uint16_t selector, uint8_t vector = kGp);
  Guest<> mark_accessed(const Descriptor& d);
  void set_segment(unsigned index, uint16_t selector, const Descriptor& d);
  Guest<> load_segment(unsigned index, uint16_t selector);
  Guest<> far_pointer(const Insn& insn, bool call, uint16_t selector, uint64_t offset);
  Guest<> call_gate(const Insn& insn, bool call, const Descriptor& gate);
  Guest<> enter_code(const Descriptor& d, uint16_t selector, unsigned cpl, uint64_t rip);
  Guest<> far_return(const Insn& insn);
  Guest<> return_to(uint16_t selector, uint64_t rip, unsigned operand_size, bool pop_stack, unsigned release);
  Guest<> load_table_register(const Insn& insn, bool task);
  Guest<> verify(const Insn& insn);
  Guest<> load_rights(const Insn& insn);
  Guest<> load_far(const Insn& insn);
  struct Stack {
    uint16_t ss = 0;
    uint64_t rsp = 0;
  };
  Guest<Stack> task_stack(unsigned cpl, unsigned ist);

  // --- interrupts.cc
  Guest<> vector_through(uint8_t vector, bool software, bool has_error, uint32_t error);
  Guest<> vector_real(uint8_t vector);
  Guest<> vector_protected(uint8_t vector, bool software, bool has_error, uint32_t error);
  Guest<> software_interrupt(uint8_t vector);
  Guest<> interrupt_return(const Insn& insn);
  Guest<> interrupt_return_real(const Insn& insn);

  // --- system.cc
  Guest<> system_table(const Insn& insn);
  Guest<> system_registers(const Insn& insn);
  Guest<> control_register(const Insn& insn);
  Guest<> debug_register(const Insn& insn);
  Guest<> write_cr0(uint64_t value);
  Guest<> write_cr3(uint64_t value);
  Guest<> write_cr4(uint64_t value);
  Guest<> check_pdptes(uint64_t cr3);
  Guest<> read_msr();
  Guest<> write_msr();
  Guest<> syscall();
  Guest<> sysret(const Insn& insn);
  Guest<> sysenter();
  Guest<> sysexit(const Insn& insn);
  Guest<> cpuid();
  Guest<> time_stamp(bool with_aux);
  void flat_segment(unsigned index, uint16_t selector, uint32_t attributes);
  void set_cpl(unsigned cpl);
  Guest<> privileged() const { return cpl_ == 0 ? Guest<>{} : raise(kGp, 0); }

  Context& c_;
  CpuState s_;
  CodeCache& code_;
  GuestMemory& memory_;
  Mmu mmu_;
  Surroundings out_;
  std::vector<CpuidLeaf> cpuid_;
  std::map<uint32_t, uint64_t> given_msrs_;
  unsigned cpl_ = 0;
  uint64_t next_ = 0;  // RIP after the instruction being executed
};

}  // namespace proa::vmm::translator
