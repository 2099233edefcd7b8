#include "vmm/cpu/translator/block_builder.h"

#include <algorithm>

namespace proa::vmm::translator {

namespace {

HostMem slot(unsigned guest) { return at_context(offsetof(Context, gpr) + 8 * guest); }
HostMem scratch(unsigned number) { return at_context(offsetof(Context, scratch) + 8 * number); }
constexpr bool mapped(int guest) { return guest < 0 || kHostOf[static_cast<unsigned>(guest)] != kInMemory; }
int8_t host_of(int guest) { return guest < 0 ? int8_t{-1} : kHostOf[static_cast<unsigned>(guest)]; }

bool is_bit_string(const Insn& insn) {
  const uint16_t code = insn.code;
  return insn.has_memory &&
         (code == (kMap0F | 0xa3) || code == (kMap0F | 0xab) || code == (kMap0F | 0xb3) || code == (kMap0F | 0xbb));
}
// Nothing of the block's straight line is left behind it.
bool ends_block(const Insn& insn) {
  if (insn.op->kind == Kind::kIdentity) return false;
  switch (insn.code) {
    case 0x17:
    case 0x8e:
    case 0xc2:
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcc:
    case 0xcd:
    case 0xcf:
    case 0xe9:
    case 0xea:
    case 0xeb:
    case 0xf1:
    case 0xf4:
    case 0xfc:
    case 0xfd:
    case kMap0F | 0x01:
      if (insn.code == (kMap0F | 0x01) && insn.modrm == 0xf8) return false;  // SWAPGS
      return true;
    case kMap0F | 0x05:
    case kMap0F | 0x06:
    case kMap0F | 0x07:
    case kMap0F | 0x0b:
    case kMap0F | 0x22:
    case kMap0F | 0x23:
    case kMap0F | 0x30:
    case kMap0F | 0x34:
    case kMap0F | 0x35:
    case kMap0F | 0xae:
    case kMap0F | 0xb2: return true;
    case 0xff: return insn.ext() >= 3 && insn.ext() <= 5;
    default: return false;
  }
}

}  // namespace

BlockBuilder::BlockBuilder(Translations& owner, Block& block)
    : owner_(owner), block_(block), out_(owner.cache_.emitter()) {}

void BlockBuilder::collect() {
  const uint64_t offset = block_.pc & (kPageSize - 1);
  std::array<uint8_t, 32> crossing{};
  std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(block_.page->host) + offset, kPageSize - offset);
  if (block_.second) {
    std::memcpy(crossing.data(), bytes.data(), bytes.size());
    std::memcpy(crossing.data() + bytes.size(), block_.second->host, 15);
    bytes = {crossing.data(), bytes.size() + 15};
  }
  size_t done = 0;
  Insn insn;
  while (insns_.size() < kMostInstructions && done < bytes.size()) {
    if (decode(bytes.subspan(done), CodeSize::k64, insn) != Decoded::kOk) break;
    insns_.push_back(insn);
    guest_.push_back(static_cast<uint16_t>(done));
    done += insn.length;
    if (ends_block(insn) || block_.second) break;
  }
  guest_.push_back(static_cast<uint16_t>(done));
  block_.length = static_cast<uint16_t>(done);
}

void BlockBuilder::find_live_flags() {
  live_.assign(insns_.size() + 1, kAllFlags);
  uint8_t live = kAllFlags;
  for (size_t i = insns_.size(); i-- > 0;) {
    const Insn& insn = insns_[i];
    const Op& op = *insn.op;
    uint8_t kills = op.kills, reads = op.reads;
    if (op.kind == Kind::kControl) {
      // What goes on in the block without leaving it reads no flags.
      const bool quiet = (insn.code >= 0x50 && insn.code < 0x60) || insn.code == 0x68 || insn.code == 0x6a ||
                         insn.code == 0x8d || insn.code == 0xc9 || (insn.code == 0xff && insn.ext() == 6);
      reads = quiet ? 0 : kAllFlags;
      kills = 0;
    } else if (insn.code == 0xc0 || insn.code == 0xc1) {
      const unsigned count = insn.imm & (insn.operand_size == 8 ? 63 : 31);
      if (count != 0 && insn.ext() >= 4) kills = kAllFlags;
    }
    live = static_cast<uint8_t>((live & ~kills) | reads);
    live_[i] = live;
  }
}

bool BlockBuilder::run() {
  collect();
  if (insns_.empty()) return false;
  find_live_flags();
  out_.align(16);
  block_.entry = out_.at();
  auto& counters = owner_.counters_;
  for (at_ = 0; at_ < insns_.size() && !ended_; ++at_) {
    owner_.points_.push_back({static_cast<uint16_t>(out_.at() - block_.entry), guest_[at_]});
    translate(insns_[at_]);
    ++counters.instructions;
  }
  owner_.points_.push_back({static_cast<uint16_t>(out_.at() - block_.entry), guest_[at_]});
  block_.points = static_cast<uint16_t>(at_ + 1);
  if (!ended_) jump_to(block_.pc + guest_[at_]);
  slow_stubs();
  counters.host_bytes += static_cast<uint64_t>(out_.at() - block_.entry);
  counters.guest_bytes += block_.length;
  owner_.cache_.keep(out_);
  return true;
}

void BlockBuilder::translate(const Insn& insn) {
  auto& counters = owner_.counters_;
  if (insn.op->kind == Kind::kIdentity) {
    if (identity(insn)) {
      ++counters.identity;
      return;
    }
  } else if (inlined(insn)) {
    ++counters.inlined;
    return;
  }
  ++counters.called_out;
  call_out();
  if (ends_block(insn)) ended_ = true;
}

// --- memory

BlockBuilder::Where BlockBuilder::where(const Insn& insn) const {
  Where w;
  w.base = insn.base;
  w.index = insn.index;
  w.scale = insn.scale;
  w.disp = insn.disp;
  if (insn.rip_relative) w.disp += static_cast<int64_t>(pc(at_) + insn.length);
  w.narrow = insn.address_size == 4;
  if (w.narrow && w.base < 0 && w.index < 0) w.disp = static_cast<int64_t>(static_cast<uint32_t>(w.disp));
  if (insn.segment == kFs) w.segment = static_cast<int>(offsetof(Context, fs_base));
  if (insn.segment == kGs) w.segment = static_cast<int>(offsetof(Context, gs_base));
  return w;
}

void BlockBuilder::address_to_temp0(const Where& w) {
  if (w.base < 0 && w.index < 0) {
    out_.mov_imm(kTemp0, static_cast<uint64_t>(w.disp));
  } else {
    HostMem mem{
        .base = host_of(w.base), .index = host_of(w.index), .scale = w.scale, .disp = static_cast<int32_t>(w.disp)};
    if (!mapped(w.base)) {
      out_.load(kTemp0, slot(static_cast<unsigned>(w.base)));
      mem.base = kTemp0;
    }
    if (!mapped(w.index)) {
      out_.load(kTemp1, slot(static_cast<unsigned>(w.index)));
      mem.index = kTemp1;
    }
    if (w.narrow)
      out_.lea32(kTemp0, mem);
    else if (mem.index < 0 && mem.disp == 0)
      mem.base == kTemp0 ? void() : out_.mov(kTemp0, static_cast<unsigned>(mem.base));
    else
      out_.lea(kTemp0, mem);
  }
  if (w.segment >= 0) {
    out_.load(kTemp1, at_context(static_cast<size_t>(w.segment)));
    out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  }
}

HostMem BlockBuilder::access(const Where& w, unsigned size, bool write) {
  const unsigned kind = (block_.page->user ? kTlbUserRead : kTlbKernelRead) + (write ? 1U : 0U);
  const size_t tlb = offsetof(Context, tlb) + kind * sizeof(SoftTlb);
  const bool constant = w.constant();
  const auto entry = [&](size_t array) {
    if (!constant) return at_context(tlb + array, kTemp1);
    return at_context(tlb + array + 8 * (static_cast<uint64_t>(w.disp) >> kPageShift & (kTlbEntries - 1)));
  };
  address_to_temp0(w);
  if (!constant) {
    out_.rorx(kTemp1, kTemp0, kPageShift);
    out_.movzx16(kTemp1, kTemp1);
  }
  if (flags_live())
    return access_keeping_flags(w, site(size, write), entry(offsetof(SoftTlb, negated)),
                                entry(offsetof(SoftTlb, addend)));
  out_.rm({.opcode = 0x03, .wide = true}, kTemp0, entry(offsetof(SoftTlb, negated)));
  out_.rr({.opcode = 0x81, .wide = true}, 7, kTemp0);
  out_.word(static_cast<uint32_t>(kPageSize - size));
  slow_.push_back({out_.jcc_near(7), w, site(size, write)});
  out_.rm({.opcode = 0x03, .wide = true}, kTemp0, entry(offsetof(SoftTlb, host)));
  return {.base = kTemp0};
}

// The same without an instruction that sets flags: the distance from the page is zero in its upper bits.
HostMem BlockBuilder::access_keeping_flags(const Where& w, const Site& at, const HostMem& negated,
                                           const HostMem& addend) {
  const bool constant = w.constant();
  const auto last = static_cast<int32_t>(at.size - 1);
  const bool simple = !constant && w.segment < 0 && !w.narrow && mapped(w.base) && mapped(w.index) && w.base >= 0 &&
                      w.disp + last == static_cast<int32_t>(w.disp + last);
  if (simple) {
    out_.load(kTemp0, negated);
    if (w.index >= 0) out_.lea(kTemp0, {.base = kTemp0, .index = host_of(w.index), .scale = w.scale});
    out_.lea(kTemp0, {.base = kTemp0, .index = host_of(w.base), .disp = static_cast<int32_t>(w.disp) + last});
  } else {
    out_.store(scratch(0), kTemp0);
    if (!constant) out_.store(scratch(1), kTemp1);
    out_.load(kTemp1, negated);
    out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1, .disp = last});
  }
  out_.pext(kTemp0, kTemp0, at_context(offsetof(Context, page_mask)));
  uint8_t* hit = out_.jrcxz();
  slow_.push_back({out_.jmp_near(), w, at});
  out_.bind_short(hit);
  if (simple) {
    out_.load(kTemp1, addend);
    address_to_temp0(w);
  } else {
    if (!constant) out_.load(kTemp1, scratch(1));
    out_.load(kTemp1, addend);
    out_.load(kTemp0, scratch(0));
  }
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  return {.base = kTemp0};
}

void BlockBuilder::emit_site(unsigned size, bool write) {
  const Site s = site(size, write);
  out_.word(s.block);
  out_.half(s.insn);
  out_.byte(s.size);
  out_.byte(s.write);
}

void BlockBuilder::slow_stubs() {
  const auto& passages = owner_.cache_.passages();
  for (const Slow& slow : slow_) {
    out_.bind_near(slow.from);
    address_to_temp0(slow.where);
    out_.call(passages.slow_access);
    at_ = slow.site.insn;
    emit_site(slow.site.size, slow.site.write);
  }
  for (const auto& [from, site] : fpu_stubs_) {
    out_.bind_near(from);
    out_.call(passages.need_fpu);
    at_ = site.insn;
    emit_site();
  }
  for (const auto& [edge, other] : edges_) {
    edge->stub = out_.exec();
    Emitter::set_relative(edge->jump, out_.at());
    if (other) Emitter::set_relative(other, out_.at());
    out_.call(passages.link);
    out_.quad(reinterpret_cast<uint64_t>(edge));
  }
}

void BlockBuilder::call_out() {
  out_.call(owner_.cache_.passages().call_out);
  emit_site();
}

void BlockBuilder::require_fpu() {
  if (fpu_checked_) return;
  fpu_checked_ = true;
  out_.load32(kTemp0, at_context(offsetof(Context, fpu_dead)));
  uint8_t* live = out_.jrcxz();
  fpu_stubs_.emplace_back(out_.jmp_near(), site(0, false));
  out_.bind_short(live);
}

// --- the host's own instructions

bool BlockBuilder::identity(const Insn& insn) {
  const Op& op = *insn.op;
  if (op.traits & kFpu) require_fpu();
  const bool touches = insn.has_memory && op.mem != kMemNone;
  if (insn.has_memory && !touches) return true;
  if (!touches) return emit_renamed(out_, insn, {});
  if (is_bit_string(insn)) return bit_string(insn);
  // A byte register of the first four's upper halves, or a count in CL, may not go with the address in a temporary.
  Emitter trial = out_;
  const size_t slow = slow_.size();
  const HostMem memory = access(where(insn), insn.mem_size, op.access & kRmWrite);
  if (emit_renamed(out_, insn, memory)) return true;
  out_ = trial;
  slow_.resize(slow);
  return false;
}

// BT and kin address the word that holds the bit: only those whose word is the operand's own can be the host's.
bool BlockBuilder::bit_string(const Insn& insn) {
  const unsigned size = insn.operand_size;
  const Where w = where(insn);
  if (size == 2 || w.narrow || !mapped(insn.reg()) || w.segment >= 0) return false;
  const auto bit = static_cast<unsigned>(host_of(insn.reg()));
  // scratch(2) = address of the word; kTemp1 = bit number within.
  address_to_temp0(w);
  out_.store(scratch(2), kTemp0);
  out_.mov_imm(kTemp1, size == 8 ? 6 : 5);
  out_.sarx(kTemp1, bit, kTemp1, size == 8);
  if (size == 4) out_.rr({.opcode = 0x63, .wide = true}, kTemp1, kTemp1);
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1, .scale = static_cast<uint8_t>(size == 8 ? 3 : 2)});
  out_.store(scratch(2), kTemp0);
  // The look-up, on an address that is in kTemp0 and scratch(2); what is slow is left to the interpreter.
  const bool write = insn.op->access & kRmWrite;
  const unsigned kind = (block_.page->user ? kTlbUserRead : kTlbKernelRead) + (write ? 1U : 0U);
  const size_t tlb = offsetof(Context, tlb) + kind * sizeof(SoftTlb);
  out_.rorx(kTemp1, kTemp0, kPageShift);
  out_.movzx16(kTemp1, kTemp1);
  out_.store(scratch(1), kTemp1);
  out_.load(kTemp1, at_context(tlb + offsetof(SoftTlb, negated), kTemp1));
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1, .disp = static_cast<int32_t>(size - 1)});
  out_.pext(kTemp0, kTemp0, at_context(offsetof(Context, page_mask)));
  uint8_t* hit = out_.jrcxz();
  out_.load(kTemp0, scratch(2));
  out_.call(owner_.cache_.passages().slow_access);
  emit_site(size, write);
  out_.bind_short(hit);
  out_.load(kTemp1, scratch(1));
  out_.load(kTemp1, at_context(tlb + offsetof(SoftTlb, addend), kTemp1));
  out_.load(kTemp0, scratch(2));
  out_.lea(kTemp0, {.base = kTemp0, .index = kTemp1});
  // The number within the word.
  out_.mov_imm(kTemp1, size == 8 ? 63 : 31);
  out_.pext(kTemp1, bit, kTemp1);
  Emitter::Form form{.opcode = insn.code, .lock = insn.lock, .wide = insn.rex_w};
  out_.rm(form, kTemp1, {.base = kTemp0});
  return true;
}

}  // namespace proa::vmm::translator
