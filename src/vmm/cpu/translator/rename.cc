#include "vmm/cpu/translator/rename.h"

#include <cstddef>

#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/context.h"

namespace proa::vmm::translator {

namespace {

HostMem slot(unsigned guest) { return at_context(offsetof(Context, gpr) + 8 * guest); }

// A general register as an operand: where it is while the instruction runs.
struct Operand {
  bool used = false, byte = false, high = false, written = false;
  uint8_t guest = 0;
  int8_t host = kInMemory;  // its home; kInMemory
  uint8_t at = 0;           // the host register that the instruction names
  bool moved = false;       // at is a temporary
};

Operand operand(unsigned number, bool byte, bool rex, bool written) {
  Operand op;
  op.used = true;
  op.byte = byte;
  op.high = byte && !rex && number >= 4 && number < 8;
  op.guest = static_cast<uint8_t>(op.high ? number - 4 : number);
  op.host = kHostOf[op.guest];
  op.written = written;
  return op;
}

bool counts_by_cl(const Insn& insn) {
  const uint16_t code = insn.code;
  return code == 0xd2 || code == 0xd3 || code == (kMap0F | 0xa5) || code == (kMap0F | 0xad);
}
bool index_to_ecx(const Insn& insn) { return insn.code == (kMap0F3A | 0x61) || insn.code == (kMap0F3A | 0x63); }

bool is_gpr(RegClass c) {
  return c == RegClass::kGpr8 || c == RegClass::kGpr || c == RegClass::kGprY || c == RegClass::kGprD;
}
bool is_gpr(RmClass c) {
  return c == RmClass::kGpr8 || c == RmClass::kGpr || c == RmClass::kGprY || c == RmClass::kGprD || c == RmClass::kGprW;
}

// A third temporary, which the double shifts by CL may need: put aside meanwhile.
constexpr HostReg kSpare = hRbx;
constexpr HostMem kSpareSlot = at_context(offsetof(Context, scratch));

class Renaming {
 public:
  Renaming(Emitter& out, const Insn& insn, const HostMem& memory) : out_(out), i_(insn), memory_(memory) {}

  bool run() {
    find_operands();
    if (!place()) return false;
    if (spare_) out_.store(kSpareSlot, kSpare);
    if (cl_) {
      if (memory_uses(kTemp0)) {
        out_.lea(kTemp1, memory_);
        memory_ = {.base = kTemp1};
      }
      load_guest(out_, kTemp0, kRcx);
    }
    for (Operand* op : {&reg_, &rm_})
      if (op->moved && !(op == &rm_ && shared_)) load_guest(out_, op->at, op->guest);
    emit();
    for (Operand* op : {&reg_, &rm_})
      if (op->moved && op->written) store_guest(out_, op->guest, op->at);
    if (index_to_ecx(i_)) store_guest(out_, kRcx, hRcx);
    if (spare_) out_.load(kSpare, kSpareSlot);
    return true;
  }

 private:
  bool memory_uses(uint8_t reg) const {
    return i_.has_memory && !memory_.context && (memory_.base == reg || memory_.index == reg);
  }

  void find_operands() {
    const Op& op = *i_.op;
    cl_ = counts_by_cl(i_);
    if (opcode_register()) {
      rm_ = operand(i_.opcode_reg(), op.traits & kByteOp, i_.rex, true);
      return;
    }
    if (!i_.has_modrm()) return;
    if (is_gpr(op.reg)) reg_ = operand(i_.reg(), op.reg == RegClass::kGpr8, i_.rex, op.access & kRegWrite);
    if (i_.has_memory) return;
    const bool random = i_.code == (kMap0F | 0xc7);
    if (is_gpr(op.rm) || random) rm_ = operand(i_.rm(), op.rm == RmClass::kGpr8, i_.rex, op.access & kRmWrite);
  }
  bool opcode_register() const { return (i_.op->traits & kOpcodeReg) || (i_.code == 0x90 && (i_.rex & 1)); }

  // Gives each operand a register that the instruction can name.
  bool place() {
    const bool no_rex = reg_.high || rm_.high;
    bool free0 = !memory_uses(kTemp0) && !cl_, free1 = !memory_uses(kTemp1) && !(cl_ && memory_uses(kTemp0));
    for (Operand* op : {&reg_, &rm_}) {
      if (!op->used) continue;
      const bool move = op->host == kInMemory || (no_rex && op->host >= 8);
      if (!move) {
        op->at = static_cast<uint8_t>(op->host);
        continue;
      }
      op->moved = true;
      if (op == &rm_ && reg_.used && reg_.moved && reg_.guest == rm_.guest) {
        op->at = reg_.at;
        shared_ = true;
      } else if (cl_ && no_rex && op->guest == kRcx) {
        op->at = kTemp0;  // CH, beside the count in CL
      } else if (free1 && !no_rex) {
        op->at = kTemp1, free1 = false;
      } else if (free0) {
        op->at = kTemp0, free0 = false;
      } else if (cl_ && !spare_ && reg_.host != kSpare && rm_.host != kSpare) {
        op->at = kSpare, spare_ = true;
      } else {
        return false;
      }
    }
    if (no_rex && i_.has_memory && !memory_.context && (memory_.base >= 8 || memory_.index >= 8)) return false;
    return true;
  }

  static unsigned number(const Operand& op) { return op.high ? op.at + 4U : op.at; }

  void emit() {
    const Op& op = *i_.op;
    Emitter::Form form;
    form.opcode = i_.code;
    form.mandatory = i_.code == 0x90 && i_.rep ? 0xf3 : i_.mandatory;
    form.prefix66 =
        i_.operand_size == 2 && !(op.traits & kByteOp) && (!(op.traits & kMandatory) || op.rm == RmClass::kGpr);
    form.lock = i_.lock && i_.has_memory;
    form.wide = i_.rex_w;
    for (const Operand* o : {&reg_, &rm_})
      if (o->used && o->byte && !o->high && o->at >= 4 && o->at < 8) form.force_rex = true;
    if (opcode_register()) {
      form.opcode = static_cast<uint16_t>(i_.code & ~7);
      out_.o(form, number(rm_));
    } else if (!i_.has_modrm()) {
      out_.o(form, i_.code & 7);
    } else {
      const unsigned reg = reg_.used ? number(reg_) : op.reg == RegClass::kXmm ? i_.reg() : i_.ext();
      if (i_.has_memory)
        out_.rm(form, reg, memory_);
      else
        out_.rr(form, reg, rm_.used ? number(rm_) : xmm_rm() ? i_.rm() : i_.modrm & 7U);
    }
    immediate();
  }
  bool xmm_rm() const {
    if (i_.op->rm == RmClass::kXmm || i_.code == (kMap0F | 0x50)) return true;
    // Register-only forms name an XMM register under 66 and F2, an MMX register otherwise.
    return i_.op->rm == RmClass::kRegister && (i_.mandatory == 0x66 || i_.mandatory == 0xf2);
  }
  void immediate() {
    switch (i_.op->imm) {
      case Imm::kByte: out_.byte(static_cast<uint8_t>(i_.imm)); break;
      case Imm::kZ:
      case Imm::kV:
        if (i_.operand_size == 2)
          out_.half(static_cast<uint16_t>(i_.imm));
        else if (i_.operand_size == 8 && i_.op->imm == Imm::kV)
          out_.quad(i_.imm);
        else
          out_.word(static_cast<uint32_t>(i_.imm));
        break;
      default: break;
    }
  }

  Emitter& out_;
  const Insn& i_;
  HostMem memory_;
  Operand reg_, rm_;
  bool cl_ = false, shared_ = false, spare_ = false;
};

}  // namespace

void load_guest(Emitter& out, unsigned host, unsigned guest) {
  if (kHostOf[guest] == kInMemory)
    out.load(host, slot(guest));
  else
    out.mov(host, static_cast<unsigned>(kHostOf[guest]));
}
void store_guest(Emitter& out, unsigned guest, unsigned host) {
  if (kHostOf[guest] == kInMemory)
    out.store(slot(guest), host);
  else
    out.mov(static_cast<unsigned>(kHostOf[guest]), host);
}

bool emit_renamed(Emitter& out, const Insn& insn, const HostMem& memory) { return Renaming(out, insn, memory).run(); }

}  // namespace proa::vmm::translator
