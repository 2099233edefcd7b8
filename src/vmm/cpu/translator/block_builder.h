// Translates one block: decodes to its end, finds which status flags matter where, and writes the host's code.
#pragma once

#include <vector>

#include "vmm/cpu/translator/rename.h"
#include "vmm/cpu/translator/translations.h"

namespace proa::vmm::translator {

class BlockBuilder {
 public:
  BlockBuilder(Translations& owner, Block& block);
  // False: there is nothing that could be translated at the block's start.
  bool run();
  static void make_landing(Translations& owner, Block& block);

 private:
  static constexpr unsigned kMostInstructions = 48;
  // Where a memory operand is.
  struct Where {
    int8_t base = -1, index = -1;
    uint8_t scale = 0;
    int64_t disp = 0;
    int segment = -1;     // Context offset of a segment's base
    bool narrow = false;  // 32-bit addresses
    bool constant() const { return base < 0 && index < 0 && segment < 0; }
  };
  struct Slow {
    uint8_t* from;  // behind the near jump
    Where where;
    Site site;
  };
  struct EdgeStub {
    Edge* edge;
    uint8_t* other;  // behind a second jump to the stub; null: there is none
  };

  void collect();
  void find_live_flags();
  void translate(const Insn& insn);
  Where where(const Insn& insn) const;

  // Emits the soft TLB's look-up; the result is the operand's host address. kTemp0 holds it, and kTemp1 maybe.
  HostMem access(const Where& where, unsigned size, bool write);
  HostMem access_keeping_flags(const Where& where, const Site& site, const HostMem& negated, const HostMem& addend);
  void address_to_temp0(const Where& where);
  void emit_site(unsigned size = 0, bool write = false);
  Site site(unsigned size, bool write) const {
    return {block_.index, static_cast<uint16_t>(at_), static_cast<uint8_t>(size), static_cast<uint8_t>(write)};
  }
  void slow_stubs();
  bool flags_live() const { return owner_.exact_flags || live_[at_] != 0; }

  bool identity(const Insn& insn);
  bool bit_string(const Insn& insn);
  bool inlined(const Insn& insn);
  bool one_byte(const Insn& insn);
  bool two_byte(const Insn& insn);
  void call_out();
  void require_fpu();

  void push_register(unsigned guest);
  bool push_value(const Insn& insn);
  void pop_register(unsigned guest);
  void leave();
  void store_immediate(const HostMem& to, uint64_t value);
  void swap_gs();
  void push_flags();
  void pop_flags();
  void set_interrupts();
  void lea(const Insn& insn);
  void compare_exchange(const Insn& insn);

  void jump_to(uint64_t target, bool call = false);
  void conditional(const Insn& insn, unsigned condition);
  void counted(const Insn& insn);
  void call_direct(const Insn& insn);
  void landing_of_call();
  void return_near(const Insn& insn);
  void indirect(const Insn& insn, bool call);
  void compare_target(uint64_t expected);
  bool poll_needed(uint64_t target) const { return target <= pc(at_); }
  uint64_t pc(unsigned insn) const { return block_.pc + guest_[insn]; }

  Translations& owner_;
  Block& block_;
  Emitter out_;
  std::vector<Insn> insns_;
  std::vector<uint16_t> guest_;  // offsets of instructions, and the end's
  std::vector<uint8_t> live_;    // status flags that matter at each instruction's start
  std::vector<Slow> slow_;
  std::vector<EdgeStub> edges_;
  std::vector<std::pair<uint8_t*, Site>> fpu_stubs_;
  unsigned at_ = 0;
  bool ended_ = false, fpu_checked_ = false;
};

}  // namespace proa::vmm::translator
