// Writes x86-64 machine code. Host registers are numbers in the encoding's order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace proa::vmm::translator {

enum HostReg : uint8_t { hRax, hRcx, hRdx, hRbx, hRsp, hRbp, hRsi, hRdi, hR8, hR9, hR10, hR11, hR12, hR13, hR14, hR15 };

// [base + index << scale + disp]; `context`: relative to the GS base.
struct HostMem {
  int8_t base = -1, index = -1;
  uint8_t scale = 0;
  int32_t disp = 0;
  bool context = false;
};

inline constexpr HostMem at_context(size_t offset) { return {.disp = static_cast<int32_t>(offset), .context = true}; }
inline HostMem at_context(size_t offset, HostReg index) {
  return {.index = static_cast<int8_t>(index), .scale = 3, .disp = static_cast<int32_t>(offset), .context = true};
}

class Emitter {
 public:
  // `to_exec`: what to add to a writing address to have the one it runs at.
  Emitter(uint8_t* at, uint8_t* end, intptr_t to_exec) : at_(at), end_(end), to_exec_(to_exec) {}

  uint8_t* at() const { return at_; }
  uint8_t* exec() const { return at_ + to_exec_; }
  bool full() const { return at_ + 4096 > end_; }

  void byte(unsigned value) { *at_++ = static_cast<uint8_t>(value); }
  void half(uint16_t value) { put(value); }
  void word(uint32_t value) { put(value); }
  void quad(uint64_t value) { put(value); }

  // An instruction with ModRM. `opcode` is map << 8 | byte with map 0, 1 (0F), 2 (0F 38), 3 (0F 3A).
  struct Form {
    uint16_t opcode = 0;
    uint8_t mandatory = 0;  // 66, F2, F3 before REX
    bool prefix66 = false, lock = false, wide = false;
    bool force_rex = false;  // SPL, BPL, SIL, DIL
  };
  void rr(const Form& form, unsigned reg, unsigned rm) {
    start(form, rex(form, reg, 0, rm));
    byte(0xc0 | (reg & 7) << 3 | (rm & 7));
  }
  void rm(const Form& form, unsigned reg, const HostMem& mem) {
    if (mem.context) byte(0x65);
    start(form, rex(form, reg, mem.index < 0 ? 0 : static_cast<unsigned>(mem.index),
                    mem.base < 0 ? 0 : static_cast<unsigned>(mem.base)));
    address(reg, mem);
  }
  // Without ModRM; `reg` extends the opcode.
  void o(const Form& form, unsigned reg = 0) {
    start(Form{static_cast<uint16_t>(form.opcode | (reg & 7)), form.mandatory, form.prefix66, form.lock, form.wide,
               form.force_rex},
          rex(form, 0, 0, reg));
  }

  void mov(unsigned to, unsigned from) { rr({.opcode = 0x8b, .wide = true}, to, from); }
  void mov32(unsigned to, unsigned from) { rr({.opcode = 0x8b}, to, from); }
  void load(unsigned to, const HostMem& mem) { rm({.opcode = 0x8b, .wide = true}, to, mem); }
  void load32(unsigned to, const HostMem& mem) { rm({.opcode = 0x8b}, to, mem); }
  void store(const HostMem& mem, unsigned from) { rm({.opcode = 0x89, .wide = true}, from, mem); }
  void store32(const HostMem& mem, unsigned from) { rm({.opcode = 0x89}, from, mem); }
  void lea(unsigned to, const HostMem& mem) { rm({.opcode = 0x8d, .wide = true}, to, mem); }
  void lea32(unsigned to, const HostMem& mem) { rm({.opcode = 0x8d}, to, mem); }
  void store_imm32(const HostMem& mem, uint32_t value, bool wide = false) {
    rm({.opcode = 0xc7, .wide = wide}, 0, mem);
    word(value);
  }
  void mov_imm(unsigned to, uint64_t value) {
    if (value <= 0xffffffff) {
      o({.opcode = 0xb8}, to);
      word(static_cast<uint32_t>(value));
    } else if (fits32(value)) {
      rr({.opcode = 0xc7, .wide = true}, 0, to);
      word(static_cast<uint32_t>(value));
    } else {
      o({.opcode = 0xb8, .wide = true}, to);
      quad(value);
    }
  }
  // to = from rotated right: leaves the flags.
  void rorx(unsigned to, unsigned from, unsigned count) {
    vex(3, 3, 0xf0, to, 0, from, true);
    byte(count);
  }
  // to = the bits of `from` that the mask in memory selects, packed: leaves the flags.
  void pext(unsigned to, unsigned from, const HostMem& mask) {
    byte(0x65);
    vex_head(2, 2, to, from, 0, true);
    byte(0xf5);
    address(to, mask);
  }
  void pext(unsigned to, unsigned from, unsigned mask) { vex(2, 2, 0xf5, to, from, mask, true); }
  void pdep(unsigned to, unsigned from, const HostMem& mask) {
    byte(0x65);
    vex_head(2, 3, to, from, 0, true);
    byte(0xf5);
    address(to, mask);
  }
  // to = the low bits of `from`, spread to where the mask has bits: leaves the flags.
  void pdep(unsigned to, unsigned from, unsigned mask) { vex(2, 3, 0xf5, to, from, mask, true); }
  // to = from >> count, signed: leaves the flags.
  void sarx(unsigned to, unsigned from, unsigned count, bool wide) { vex(2, 2, 0xf7, to, count, from, wide); }
  void movzx16(unsigned to, unsigned from) { rr({.opcode = 0x1b7}, to, from); }

  // Displacements are relative to the end of the instruction; `target` is an address of execution.
  void jmp(const uint8_t* target) { byte(0xe9), relative(target); }
  void call(const uint8_t* target) { byte(0xe8), relative(target); }
  void jcc(unsigned condition, const uint8_t* target) { byte(0x0f), byte(0x80 | condition), relative(target); }
  // Forward jumps, to be bound.
  uint8_t* jcc_short(unsigned condition) {
    byte(0x70 | condition), byte(0);
    return at_;
  }
  uint8_t* jrcxz() {
    byte(0xe3), byte(0);
    return at_;
  }
  uint8_t* jmp_short() {
    byte(0xeb), byte(0);
    return at_;
  }
  void bind_short(uint8_t* after) { after[-1] = static_cast<uint8_t>(at_ - after); }
  uint8_t* jcc_near(unsigned condition) {
    byte(0x0f), byte(0x80 | condition), word(0);
    return at_;
  }
  uint8_t* jmp_near() {
    byte(0xe9), word(0);
    return at_;
  }
  void bind_near(uint8_t* after) { set_relative(after, at_); }
  static void set_relative(uint8_t* after, const uint8_t* target) {
    const auto distance = static_cast<int32_t>(target - after);
    __atomic_store_n(reinterpret_cast<int32_t*>(after - 4), distance, __ATOMIC_RELAXED);
  }
  void align(unsigned to) {
    while (reinterpret_cast<uintptr_t>(at_) % to) byte(0x90);
  }

  static bool fits32(uint64_t value) {
    return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value))) == value;
  }

 private:
  template <typename T>
  void put(T value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }
  void relative(const uint8_t* target) { word(static_cast<uint32_t>(target - (exec() + 4))); }

  static unsigned rex(const Form& form, unsigned reg, unsigned index, unsigned base) {
    const unsigned bits = (form.wide ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3;
    return bits || form.force_rex ? 0x40 | bits : 0;
  }
  void start(const Form& form, unsigned rex_byte) {
    if (form.lock) byte(0xf0);
    if (form.prefix66) byte(0x66);
    if (form.mandatory) byte(form.mandatory);
    if (rex_byte) byte(rex_byte);
    if (form.opcode >= 0x100) byte(0x0f);
    if (form.opcode >= 0x200) byte(form.opcode >= 0x300 ? 0x3a : 0x38);
    byte(form.opcode & 0xff);
  }
  void address(unsigned reg, const HostMem& mem) {
    const unsigned r = (reg & 7) << 3;
    if (mem.base < 0) {
      byte(r | 4);
      byte(mem.scale << 6 | ((mem.index < 0 ? 4 : mem.index & 7) << 3) | 5);
      word(static_cast<uint32_t>(mem.disp));
      return;
    }
    const unsigned base = mem.base & 7;
    const bool sib = mem.index >= 0 || base == 4;
    const unsigned mod = mem.disp == 0 && base != 5 ? 0 : mem.disp == static_cast<int8_t>(mem.disp) ? 0x40 : 0x80;
    byte(mod | r | (sib ? 4 : base));
    if (sib) byte(mem.scale << 6 | ((mem.index < 0 ? 4 : mem.index & 7) << 3) | base);
    if (mod == 0x40) byte(static_cast<uint8_t>(mem.disp));
    if (mod == 0x80) word(static_cast<uint32_t>(mem.disp));
  }
  // VEX.LZ: `pp` 1 66, 2 F3, 3 F2; `map` 2 0F38, 3 0F3A.
  void vex_head(unsigned map, unsigned pp, unsigned reg, unsigned vvvv, unsigned rm_reg, bool wide) {
    byte(0xc4);
    byte((reg & 8 ? 0 : 0x80) | 0x40 | (rm_reg & 8 ? 0 : 0x20) | map);
    byte((wide ? 0x80 : 0) | (~vvvv & 15) << 3 | pp);
  }
  void vex(unsigned map, unsigned pp, unsigned opcode, unsigned reg, unsigned vvvv, unsigned rm_reg, bool wide) {
    vex_head(map, pp, reg, vvvv, rm_reg, wide);
    byte(opcode);
    byte(0xc0 | (reg & 7) << 3 | (rm_reg & 7));
  }

  uint8_t* at_;
  uint8_t* end_;
  intptr_t to_exec_;
};

}  // namespace proa::vmm::translator
