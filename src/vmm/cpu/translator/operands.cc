// Registers, addresses, memory operands and the stack of one instruction.
#include "vmm/cpu/translator/core.h"

namespace proa::vmm::translator {

uint64_t Core::reg(unsigned number, unsigned size, bool rex) const {
  if (size == 1 && !rex && number >= 4 && number < 8) return c_.gpr[number - 4] >> 8 & 0xff;
  return c_.gpr[number] & mask_of(size);
}
void Core::set_reg(unsigned number, unsigned size, uint64_t value, bool rex) {
  if (size == 1 && !rex && number >= 4 && number < 8) {
    auto& whole = c_.gpr[number - 4];
    whole = (whole & ~0xff00ULL) | (value & 0xff) << 8;
    return;
  }
  auto& whole = c_.gpr[number];
  if (size == 8)
    whole = value;
  else if (size == 4)
    whole = static_cast<uint32_t>(value);
  else
    whole = (whole & ~mask_of(size)) | (value & mask_of(size));
}

uint64_t Core::effective(const Insn& insn) const {
  uint64_t at = static_cast<uint64_t>(static_cast<int64_t>(insn.disp));
  if (insn.rip_relative) at += c_.rip + insn.length;
  if (insn.base >= 0) at += c_.gpr[static_cast<unsigned>(insn.base)];
  if (insn.index >= 0) at += c_.gpr[static_cast<unsigned>(insn.index)] << insn.scale;
  return at & mask_of(insn.address_size);
}

Guest<uint64_t> Core::linear(unsigned segment, uint64_t offset, unsigned size, bool write) const {
  const uint8_t vector = segment == kSs ? kSsFault : kGp;
  if (code_size() == CodeSize::k64) {
    if (segment == kFs) offset += c_.fs_base;
    if (segment == kGs) offset += c_.gs_base;
    if (!mmu_.canonical(offset) || !mmu_.canonical(offset + size - 1)) return raise(vector, 0);
    watch(offset, size, write);
    return offset;
  }
  const Segment& seg = s_.segments[segment];
  const uint64_t base = segment == kFs ? c_.fs_base : segment == kGs ? c_.gs_base : seg.base;
  if (s_.cr0 & kCr0Pe && !(c_.system & kFlagVm)) {
    if (seg.attributes & kSegUnusable) return raise(vector, 0);
    const bool code = seg.attributes & 8, rw = seg.attributes & 2;
    if (write ? code || !rw : code && !rw) return raise(vector, 0);
    if (!code && (seg.attributes & 4)) {  // grows down
      const uint64_t top = seg.attributes & kSegDb ? 0xffffffff : 0xffff;
      if (offset <= seg.limit || offset + size - 1 > top) return raise(vector, 0);
      return (base + offset) & 0xffffffff;
    }
  }
  if (offset + size - 1 > seg.limit) return raise(vector, 0);
  watch((base + offset) & 0xffffffff, size, write);
  return (base + offset) & 0xffffffff;
}

// Data breakpoints (SDM 3B, 18.2.4): with any enabled, instructions come here one by one.
void Core::watch(uint64_t linear, unsigned size, bool write) const {
  if (!(s_.dr7 & 0xff)) return;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned kind = s_.dr7 >> (16 + 4 * i) & 3, length = s_.dr7 >> (18 + 4 * i) & 3;
    if (!(s_.dr7 >> (2 * i) & 3) || !(kind == 3 || (kind == 1 && write))) continue;
    const uint64_t bytes = length == 2 ? 8 : length + 1, from = s_.dr[i] & ~(bytes - 1);
    if (linear < from + bytes && from < linear + size) watch_hits |= 1ULL << i;
  }
}

Guest<uint64_t> Core::load(unsigned segment, uint64_t offset, unsigned size) {
  uint64_t value = 0;
  const uint64_t at = TRY(linear(segment, offset, size, false));
  TRY(mmu_.load(at, &value, size, user()));
  return value;
}
Guest<> Core::store(unsigned segment, uint64_t offset, unsigned size, uint64_t value) {
  const uint64_t at = TRY(linear(segment, offset, size, true));
  return mmu_.store(at, &value, size, user());
}
Guest<uint64_t> Core::read_rm(const Insn& insn, unsigned size) {
  if (insn.has_memory) return load(segment_of(insn), effective(insn), size);
  return reg(insn.rm(), size, insn.rex);
}
Guest<> Core::write_rm(const Insn& insn, unsigned size, uint64_t value) {
  if (insn.has_memory) return store(segment_of(insn), effective(insn), size, value);
  set_reg(insn.rm(), size, value, insn.rex);
  return {};
}

uint64_t Core::stack_mask() const {
  if (code_size() == CodeSize::k64) return ~0ULL;
  return s_.segments[kSs].attributes & kSegDb ? 0xffffffff : 0xffff;
}
void Core::add_rsp(int64_t by) {
  const uint64_t mask = stack_mask();
  const uint64_t moved = (c_.gpr[kRsp] + static_cast<uint64_t>(by)) & mask;
  c_.gpr[kRsp] = mask == 0xffff ? (c_.gpr[kRsp] & ~mask) | moved : moved;
}
Guest<> Core::push(uint64_t value, unsigned size) {
  TRY(store(kSs, (c_.gpr[kRsp] - size) & stack_mask(), size, value));
  add_rsp(-static_cast<int64_t>(size));
  return {};
}
Guest<uint64_t> Core::pop(unsigned size) {
  const uint64_t value = TRY(load(kSs, c_.gpr[kRsp] & stack_mask(), size));
  add_rsp(size);
  return value;
}

void Core::set_rflags(uint64_t value) {
  c_.status = value & kStatusFlags;
  c_.system = (value & 0x3f7700 & ~kStatusFlags) | 2;
}

void Core::set_cpl(unsigned cpl) { cpl_ = cpl; }

}  // namespace proa::vmm::translator
