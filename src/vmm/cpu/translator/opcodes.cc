#include "vmm/cpu/translator/opcodes.h"

#include <initializer_list>

namespace proa::vmm::translator {

namespace {

using enum RegClass;
using Rm = RmClass;
constexpr uint8_t kRead = kRmRead, kWrite = kRmWrite, kBoth = kRmRead | kRmWrite;
constexpr uint8_t kModrm = kHasModrm;

constexpr Op identity(RegClass reg, Rm rm, uint16_t mem, uint8_t access, uint8_t traits = 0, uint8_t kills = 0,
                      uint8_t reads = 0, Imm imm = Imm::kNone) {
  Op op;
  op.kind = Kind::kIdentity;
  op.reg = reg;
  op.rm = rm;
  op.mem = mem;
  op.access = access;
  op.traits = traits | kModrm;
  op.kills = kills;
  op.reads = reads;
  op.imm = imm;
  return op;
}
// Without ModRM: operands are implied or in the opcode.
constexpr Op plain(uint8_t traits, Imm imm, uint8_t access, uint8_t kills = 0, uint8_t reads = 0) {
  Op op;
  op.kind = Kind::kIdentity;
  op.traits = traits;
  op.imm = imm;
  op.access = access;
  op.kills = kills;
  op.reads = reads;
  return op;
}
constexpr Op control(uint8_t traits = 0, Imm imm = Imm::kNone, Rm rm = Rm::kNone, RegClass reg = kNone,
                     uint16_t mem = kMemNone, uint8_t access = 0) {
  Op op;
  op.kind = Kind::kControl;
  op.traits = traits;
  op.imm = imm;
  op.rm = rm;
  op.reg = reg;
  op.mem = mem;
  op.access = access;
  op.reads = kAllFlags;
  return op;
}
constexpr Op group_of(uint8_t group, uint8_t traits = 0, Imm imm = Imm::kNone) {
  Op op;
  op.traits = traits | kModrm;
  op.imm = imm;
  op.group = group;
  return op;
}
// SSE: xmm, xmm/mem.
constexpr Op sse(uint16_t mem, uint8_t access = kRead | kRegWrite, Imm imm = Imm::kNone, Rm rm = Rm::kXmm,
                 RegClass reg = kXmm, uint8_t kills = 0) {
  return identity(reg, rm, mem, access, kFpu | kMandatory, kills, 0, imm);
}
constexpr Op mmx(uint16_t mem = 8, uint8_t access = kRead | kRegWrite, Imm imm = Imm::kNone) {
  return identity(kMmx, Rm::kMmx, mem, access, kFpu | kMandatory, 0, 0, imm);
}

// Status flags that Jcc, SETcc and CMOVcc number `condition` look at.
constexpr uint8_t condition_reads(unsigned condition) {
  constexpr std::array<uint8_t, 8> kReads = {kOf, kCf, kZf, kCf | kZf, kSf, kPf, kSf | kOf, kZf | kSf | kOf};
  return kReads[condition >> 1];
}

// Groups by number.
enum : uint8_t {
  kGroup1b = 1,
  kGroup1,
  kGroup1s,
  kGroup1a,
  kGroup2b,
  kGroup2,
  kGroup2b1,
  kGroup21,
  kGroup2bCl,
  kGroup2Cl,
  kGroup3b,
  kGroup3,
  kGroup4,
  kGroup5,
  kGroup6,
  kGroup7,
  kGroup8,
  kGroup9,
  kGroup11b,
  kGroup11,
  kGroup12,
  kGroup12x,
  kGroup13,
  kGroup13x,
  kGroup14,
  kGroup14x,
  kGroup15,
  kGroup16,
  kGroupP
};

constexpr void fill_arithmetic(OpTables& t) {
  for (unsigned i = 0; i < 8; ++i) {
    const bool compare = i == 7;
    const uint8_t reads = i == 2 || i == 3 ? kCf : 0;
    const uint8_t rm = compare ? kRead : kBoth;
    const uint8_t lock = compare ? 0 : kLockable;
    const uint8_t to_reg = compare ? kRead : kRead | kRegWrite;
    Op* row = &t.one[i * 8];
    row[0] = identity(kGpr8, Rm::kGpr8, 1, rm, lock | kByteOp, kAllFlags, reads);
    row[1] = identity(kGpr, Rm::kGpr, kMemV, rm, lock, kAllFlags, reads);
    row[2] = identity(kGpr8, Rm::kGpr8, 1, to_reg, kByteOp, kAllFlags, reads);
    row[3] = identity(kGpr, Rm::kGpr, kMemV, to_reg, 0, kAllFlags, reads);
    row[4] = plain(kByteOp, Imm::kByte, 0, kAllFlags, reads);
    row[5] = plain(0, Imm::kZ, 0, kAllFlags, reads);
    t.groups[kGroup1b][i] = identity(kExtension, Rm::kGpr8, 1, rm, lock | kByteOp, kAllFlags, reads, Imm::kByte);
    t.groups[kGroup1][i] = identity(kExtension, Rm::kGpr, kMemV, rm, lock, kAllFlags, reads, Imm::kZ);
    t.groups[kGroup1s][i] = identity(kExtension, Rm::kGpr, kMemV, rm, lock, kAllFlags, reads, Imm::kByte);
  }
  for (unsigned i = 0; i < 8; ++i) {
    // Shifts whose count may be zero leave the flags; those by one set them (rotates: CF and OF).
    const uint8_t reads = i == 2 || i == 3 ? kCf : 0;
    const uint8_t by_one = i < 4 ? kCf | kOf : kAllFlags;
    t.groups[kGroup2b][i] = identity(kExtension, Rm::kGpr8, 1, kBoth, kByteOp, 0, reads, Imm::kByte);
    t.groups[kGroup2][i] = identity(kExtension, Rm::kGpr, kMemV, kBoth, 0, 0, reads, Imm::kByte);
    t.groups[kGroup2b1][i] = identity(kExtension, Rm::kGpr8, 1, kBoth, kByteOp, by_one, reads);
    t.groups[kGroup21][i] = identity(kExtension, Rm::kGpr, kMemV, kBoth, 0, by_one, reads);
    t.groups[kGroup2bCl][i] = identity(kExtension, Rm::kGpr8, 1, kBoth, kByteOp, 0, reads);
    t.groups[kGroup2Cl][i] = identity(kExtension, Rm::kGpr, kMemV, kBoth, 0, 0, reads);
  }
  for (const bool byte : {true, false}) {
    auto& g = t.groups[byte ? kGroup3b : kGroup3];
    const Rm rm = byte ? Rm::kGpr8 : Rm::kGpr;
    const uint16_t mem = byte ? 1 : kMemV;
    const uint8_t b = byte ? kByteOp : 0;
    g[0] = g[1] = identity(kExtension, rm, mem, kRead, b, kAllFlags, 0, byte ? Imm::kByte : Imm::kZ);
    g[2] = identity(kExtension, rm, mem, kBoth, b | kLockable);
    g[3] = identity(kExtension, rm, mem, kBoth, b | kLockable, kAllFlags);
    g[4] = g[5] = identity(kExtension, rm, mem, kRead, b, kCf | kOf);
    g[6] = g[7] = identity(kExtension, rm, mem, kRead, b);
    auto& h = t.groups[byte ? kGroup4 : kGroup5];
    h[0] = h[1] = identity(kExtension, rm, mem, kBoth, b | kLockable, kAllFlags & ~kCf);
    auto& m = t.groups[byte ? kGroup11b : kGroup11];
    m[0] = identity(kExtension, rm, mem, kWrite, b, 0, 0, byte ? Imm::kByte : Imm::kZ);
  }
}

constexpr void fill_one_byte(OpTables& t) {
  auto& o = t.one;
  for (const unsigned i : {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f}) o[i] = control(kInvalid64);
  for (const unsigned i : {0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0xce, 0xd6}) o[i] = control(kInvalid64);
  for (unsigned i = 0x40; i < 0x50; ++i)  // INC and DEC outside 64-bit code; decode() rewrites them
    o[i] = plain(kOpcodeReg | kInvalid64, Imm::kNone, kRegWrite, kAllFlags & ~kCf);
  for (unsigned i = 0x50; i < 0x60; ++i) o[i] = control(kDefault64 | kOpcodeReg);
  o[0x62] = control(kModrm | kInvalid64, Imm::kNone, Rm::kMemory, kGpr, kMemNone);
  o[0x63] = identity(kGpr, Rm::kGprD, 4, kRead | kRegWrite);  // MOVSXD; ARPL outside 64-bit code
  o[0x68] = control(kDefault64, Imm::kZ);
  o[0x6a] = control(kDefault64, Imm::kByte);
  o[0x69] = identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, 0, kCf | kOf, 0, Imm::kZ);
  o[0x6b] = identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, 0, kCf | kOf, 0, Imm::kByte);
  for (const unsigned i : {0x6c, 0x6e, 0xa4, 0xa6, 0xaa, 0xac, 0xae}) o[i] = control(kByteOp);
  for (const unsigned i : {0x6d, 0x6f, 0xa5, 0xa7, 0xab, 0xad, 0xaf}) o[i] = control();
  for (unsigned i = 0x70; i < 0x80; ++i) o[i] = control(0, Imm::kByte);
  o[0x80] = group_of(kGroup1b, kByteOp, Imm::kByte);
  o[0x81] = group_of(kGroup1, 0, Imm::kZ);
  o[0x82] = group_of(kGroup1b, kByteOp | kInvalid64, Imm::kByte);
  o[0x83] = group_of(kGroup1s, 0, Imm::kByte);
  o[0x84] = identity(kGpr8, Rm::kGpr8, 1, kRead, kByteOp, kAllFlags);
  o[0x85] = identity(kGpr, Rm::kGpr, kMemV, kRead, 0, kAllFlags);
  o[0x86] = identity(kGpr8, Rm::kGpr8, 1, kBoth | kRegWrite, kByteOp | kLockable);
  o[0x87] = identity(kGpr, Rm::kGpr, kMemV, kBoth | kRegWrite, kLockable);
  o[0x88] = identity(kGpr8, Rm::kGpr8, 1, kWrite, kByteOp);
  o[0x89] = identity(kGpr, Rm::kGpr, kMemV, kWrite);
  o[0x8a] = identity(kGpr8, Rm::kGpr8, 1, kRead | kRegWrite, kByteOp);
  o[0x8b] = identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite);
  o[0x8c] = control(kModrm, Imm::kNone, Rm::kGpr, kSegment, 2, kWrite);
  o[0x8d] = control(kModrm, Imm::kNone, Rm::kMemory, kGpr, kMemNone);
  o[0x8e] = control(kModrm, Imm::kNone, Rm::kGprW, kSegment, 2, kRead);
  o[0x8f] = group_of(kGroup1a);
  t.groups[kGroup1a][0] = control(kModrm | kDefault64, Imm::kNone, Rm::kGpr, kExtension, kMemV, kWrite);
  o[0x90] = plain(0, Imm::kNone, 0);  // NOP, PAUSE; XCHG r8 with REX.B
  for (unsigned i = 0x91; i < 0x98; ++i) o[i] = plain(kOpcodeReg, Imm::kNone, kRegWrite);
  o[0x98] = o[0x99] = plain(0, Imm::kNone, 0);
  o[0x9a] = control(kInvalid64, Imm::kFar);
  o[0x9b] = plain(kFpu, Imm::kNone, 0);
  o[0x9c] = o[0x9d] = control(kDefault64);
  o[0x9e] = plain(0, Imm::kNone, 0, kAllFlags & ~kOf);
  o[0x9f] = plain(0, Imm::kNone, 0, 0, kAllFlags & ~kOf);
  o[0xa0] = o[0xa2] = control(kByteOp, Imm::kOffset);
  o[0xa1] = o[0xa3] = control(0, Imm::kOffset);
  o[0xa8] = plain(kByteOp, Imm::kByte, 0, kAllFlags);
  o[0xa9] = plain(0, Imm::kZ, 0, kAllFlags);
  for (unsigned i = 0xb0; i < 0xb8; ++i) o[i] = plain(kByteOp | kOpcodeReg, Imm::kByte, kRegWrite);
  for (unsigned i = 0xb8; i < 0xc0; ++i) o[i] = plain(kOpcodeReg, Imm::kV, kRegWrite);
  o[0xc0] = group_of(kGroup2b, kByteOp, Imm::kByte);
  o[0xc1] = group_of(kGroup2, 0, Imm::kByte);
  o[0xc2] = control(kDefault64, Imm::kWord);
  o[0xc3] = control(kDefault64);
  o[0xc4] = o[0xc5] = control(kModrm | kInvalid64, Imm::kNone, Rm::kMemory, kGpr, kMemFar, kRead);
  o[0xc6] = group_of(kGroup11b, kByteOp, Imm::kByte);
  o[0xc7] = group_of(kGroup11, 0, Imm::kZ);
  o[0xc8] = control(kDefault64, Imm::kEnter);
  o[0xc9] = control(kDefault64);
  o[0xca] = control(0, Imm::kWord);
  o[0xcb] = control();
  o[0xcc] = control();
  o[0xcd] = control(0, Imm::kByte);
  o[0xcf] = control();
  o[0xd0] = group_of(kGroup2b1, kByteOp);
  o[0xd1] = group_of(kGroup21);
  o[0xd2] = group_of(kGroup2bCl, kByteOp);
  o[0xd3] = group_of(kGroup2Cl);
  o[0xd4] = o[0xd5] = control(kInvalid64, Imm::kByte);
  o[0xd7] = control(kByteOp);
  for (unsigned i = 0xe0; i < 0xe4; ++i) o[i] = control(0, Imm::kByte);
  o[0xe4] = o[0xe6] = control(kByteOp, Imm::kByte);
  o[0xe5] = o[0xe7] = control(0, Imm::kByte);
  o[0xe8] = o[0xe9] = control(kDefault64, Imm::kZ);
  o[0xea] = control(kInvalid64, Imm::kFar);
  o[0xeb] = control(kDefault64, Imm::kByte);
  o[0xec] = o[0xee] = control(kByteOp);
  o[0xed] = o[0xef] = control();
  o[0xf1] = o[0xf4] = control();
  o[0xf5] = plain(0, Imm::kNone, 0, kCf, kCf);
  o[0xf8] = o[0xf9] = plain(0, Imm::kNone, 0, kCf);
  for (unsigned i = 0xfa; i < 0xfe; ++i) o[i] = control();
  o[0xf6] = group_of(kGroup3b, kByteOp, Imm::kGroup3Byte);
  o[0xf7] = group_of(kGroup3, 0, Imm::kGroup3);
  o[0xfe] = group_of(kGroup4, kByteOp);
  o[0xff] = group_of(kGroup5);
  auto& g5 = t.groups[kGroup5];
  g5[2] = g5[4] = control(kModrm | kDefault64, Imm::kNone, Rm::kGpr, kExtension, kMemV, kRead);
  g5[3] = g5[5] = control(kModrm, Imm::kNone, Rm::kMemory, kExtension, kMemFar, kRead);
  g5[6] = control(kModrm | kDefault64, Imm::kNone, Rm::kGpr, kExtension, kMemV, kRead);
}

constexpr void fill_x87(OpTables& t) {
  constexpr uint8_t kTraits = kFpu;
  const auto mem = [&](unsigned row, unsigned ext, uint16_t size, uint8_t access) {
    t.x87_memory[row][ext] = identity(kExtension, Rm::kX87, size, access, kTraits);
  };
  for (unsigned i = 0; i < 8; ++i) {
    mem(0, i, 4, kRead), mem(2, i, 4, kRead), mem(4, i, 8, kRead), mem(6, i, 2, kRead);
    Op reg = identity(kExtension, Rm::kX87, kMemNone, 0, kTraits);
    reg.reads = kAllFlags;  // FCMOVcc
    t.one[0xd8 + i] = reg;
  }
  constexpr uint16_t kEnv = 28, kSave = 108;
  mem(1, 0, 4, kRead), mem(1, 2, 4, kWrite), mem(1, 3, 4, kWrite), mem(1, 4, kEnv, kRead), mem(1, 5, 2, kRead);
  mem(1, 6, kEnv, kWrite), mem(1, 7, 2, kWrite);
  mem(3, 0, 4, kRead), mem(3, 1, 4, kWrite), mem(3, 2, 4, kWrite), mem(3, 3, 4, kWrite), mem(3, 5, 10, kRead);
  mem(3, 7, 10, kWrite);
  mem(5, 0, 8, kRead), mem(5, 1, 8, kWrite), mem(5, 2, 8, kWrite), mem(5, 3, 8, kWrite), mem(5, 4, kSave, kRead);
  mem(5, 6, kSave, kWrite), mem(5, 7, 2, kWrite);
  mem(7, 0, 2, kRead), mem(7, 1, 2, kWrite), mem(7, 2, 2, kWrite), mem(7, 3, 2, kWrite), mem(7, 4, 10, kRead);
  mem(7, 5, 8, kRead), mem(7, 6, 10, kWrite), mem(7, 7, 8, kWrite);
}

// The same under every mandatory prefix.
constexpr void all(std::array<std::array<Op, 256>, 4>& map, unsigned opcode, const Op& op) {
  for (auto& table : map) table[opcode] = op;
}

constexpr void fill_two_byte_integer(OpTables& t) {
  auto& o = t.two;
  all(o, 0x00, group_of(kGroup6));
  for (unsigned i = 0; i < 6; ++i)
    t.groups[kGroup6][i] =
        control(kModrm, Imm::kNone, i < 2 ? Rm::kGpr : Rm::kGprW, kExtension, 2, i < 2 ? kWrite : kRead);
  all(o, 0x01, group_of(kGroup7));
  for (unsigned i = 0; i < 4; ++i)
    t.groups[kGroup7][i] = control(kModrm, Imm::kNone, Rm::kRegister, kExtension, kMemDesc, i < 2 ? kWrite : kRead);
  t.groups[kGroup7][4] = control(kModrm, Imm::kNone, Rm::kGpr, kExtension, 2, kWrite);
  t.groups[kGroup7][5] = control(kModrm, Imm::kNone, Rm::kRegister, kExtension, kMemNone);
  t.groups[kGroup7][6] = control(kModrm, Imm::kNone, Rm::kGprW, kExtension, 2, kRead);
  t.groups[kGroup7][7] = control(kModrm, Imm::kNone, Rm::kRegister, kExtension, kMemNone);
  all(o, 0x02, control(kModrm, Imm::kNone, Rm::kGprW, kGpr, 2, kRead));
  all(o, 0x03, control(kModrm, Imm::kNone, Rm::kGprW, kGpr, 2, kRead));
  for (const unsigned i : {0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0xa2, 0xaa})
    all(o, i, control());
  all(o, 0x0d, group_of(kGroupP));
  for (auto& op : t.groups[kGroupP]) op = identity(kExtension, Rm::kMemory, kMemNone, 0);
  for (unsigned i = 0x18; i < 0x20; ++i) all(o, i, identity(kExtension, Rm::kGpr, kMemNone, 0));
  for (const unsigned i : {0x20, 0x21, 0x22, 0x23}) all(o, i, control(kModrm, Imm::kNone, Rm::kRegister, kNone));
  for (unsigned i = 0; i < 16; ++i) {
    const uint8_t reads = condition_reads(i);
    all(o, 0x40 + i, identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, 0, 0, reads));
    all(o, 0x80 + i, control(kDefault64, Imm::kZ));
    all(o, 0x90 + i, identity(kExtension, Rm::kGpr8, 1, kWrite, kByteOp, 0, reads));
  }
  for (const unsigned i : {0xa0, 0xa1, 0xa8, 0xa9}) all(o, i, control(kDefault64));
  // The bit instructions address memory beyond the operand by the register's bit number.
  all(o, 0xa3, identity(kGpr, Rm::kGpr, kMemV, kRead, 0, kCf));
  for (const unsigned i : {0xab, 0xb3, 0xbb}) all(o, i, identity(kGpr, Rm::kGpr, kMemV, kBoth, kLockable, kCf));
  all(o, 0xba, group_of(kGroup8, 0, Imm::kByte));
  for (unsigned i = 4; i < 8; ++i)
    t.groups[kGroup8][i] =
        identity(kExtension, Rm::kGpr, kMemV, i == 4 ? kRead : kBoth, i == 4 ? 0 : kLockable, kCf, 0, Imm::kByte);
  for (const unsigned i : {0xa4, 0xac}) all(o, i, identity(kGpr, Rm::kGpr, kMemV, kBoth, 0, 0, 0, Imm::kByte));
  for (const unsigned i : {0xa5, 0xad}) all(o, i, identity(kGpr, Rm::kGpr, kMemV, kBoth));
  all(o, 0xaf, identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, 0, kCf | kOf));
  all(o, 0xb0, identity(kGpr8, Rm::kGpr8, 1, kBoth, kByteOp | kLockable, kAllFlags));
  all(o, 0xb1, identity(kGpr, Rm::kGpr, kMemV, kBoth, kLockable, kAllFlags));
  for (const unsigned i : {0xb2, 0xb4, 0xb5}) all(o, i, control(kModrm, Imm::kNone, Rm::kMemory, kGpr, kMemFar, kRead));
  all(o, 0xb6, identity(kGpr, Rm::kGpr8, 1, kRead | kRegWrite));
  all(o, 0xbe, identity(kGpr, Rm::kGpr8, 1, kRead | kRegWrite));
  all(o, 0xb7, identity(kGpr, Rm::kGprW, 2, kRead | kRegWrite));
  all(o, 0xbf, identity(kGpr, Rm::kGprW, 2, kRead | kRegWrite));
  o[2][0xb8] = identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, kMandatory, kAllFlags);
  all(o, 0xb9, control(kModrm, Imm::kNone, Rm::kGpr, kGpr, kMemNone));  // UD1
  all(o, 0xff, control(kModrm, Imm::kNone, Rm::kGpr, kGpr, kMemNone));  // UD0
  for (const unsigned i : {0xbc, 0xbd}) all(o, i, identity(kGpr, Rm::kGpr, kMemV, kRead | kRegWrite, 0, kZf));
  all(o, 0xc0, identity(kGpr8, Rm::kGpr8, 1, kBoth | kRegWrite, kByteOp | kLockable, kAllFlags));
  all(o, 0xc1, identity(kGpr, Rm::kGpr, kMemV, kBoth | kRegWrite, kLockable, kAllFlags));
  o[0][0xc3] = identity(kGprY, Rm::kMemory, kMemY, kWrite);
  all(o, 0xc7, group_of(kGroup9));
  t.groups[kGroup9][1] = control(kModrm, Imm::kNone, Rm::kMemory, kExtension, kMemNone);
  t.groups[kGroup9][6] = t.groups[kGroup9][7] = identity(kExtension, Rm::kRegister, kMemNone, kWrite, 0, kAllFlags);
  for (unsigned i = 0xc8; i < 0xd0; ++i) all(o, i, plain(kOpcodeReg, Imm::kNone, kRegWrite));
  all(o, 0xae, group_of(kGroup15));
  auto& g15 = t.groups[kGroup15];
  g15[0] = control(kModrm, Imm::kNone, Rm::kMemory, kExtension, 512, kWrite);
  g15[1] = control(kModrm, Imm::kNone, Rm::kMemory, kExtension, 512, kRead);
  g15[2] = identity(kExtension, Rm::kMemory, 4, kRead, kFpu);
  g15[3] = identity(kExtension, Rm::kMemory, 4, kWrite, kFpu);
  g15[5] = g15[6] = identity(kExtension, Rm::kRegister, kMemNone, 0);
  g15[7] = identity(kExtension, Rm::kGpr, kMemNone, 0);  // SFENCE; CLFLUSH is left out by the translator
}

constexpr void fill_two_byte_sse(OpTables& t) {
  auto& o = t.two;
  constexpr uint8_t kLoad = kRead | kRegWrite, kStore = kWrite;
  const auto four = [&](unsigned opcode, uint16_t ps, uint16_t pd, uint16_t ss, uint16_t sd, uint8_t access = kLoad,
                        Imm imm = Imm::kNone) {
    const uint16_t sizes[4] = {ps, pd, ss, sd};
    for (unsigned i = 0; i < 4; ++i)
      if (sizes[i]) o[i][opcode] = sse(sizes[i], access, imm);
  };
  four(0x10, 16, 16, 4, 8), four(0x11, 16, 16, 4, 8, kStore);
  four(0x12, 8, 0, 16, 8), o[1][0x12] = sse(8, kLoad, Imm::kNone, Rm::kMemory);
  o[0][0x13] = o[1][0x13] = o[0][0x17] = o[1][0x17] = sse(8, kStore, Imm::kNone, Rm::kMemory);
  four(0x14, 16, 16, 0, 0), four(0x15, 16, 16, 0, 0);
  four(0x16, 8, 0, 16, 0), o[1][0x16] = sse(8, kLoad, Imm::kNone, Rm::kMemory);
  four(0x28, 16, 16, 0, 0), four(0x29, 16, 16, 0, 0, kStore);
  o[0][0x2a] = o[1][0x2a] = sse(8, kLoad, Imm::kNone, Rm::kMmx);
  o[2][0x2a] = o[3][0x2a] = sse(kMemY, kLoad, Imm::kNone, Rm::kGprY);
  o[0][0x2b] = o[1][0x2b] = sse(16, kStore, Imm::kNone, Rm::kMemory);
  for (const unsigned i : {0x2c, 0x2d}) {
    o[0][i] = sse(8, kLoad, Imm::kNone, Rm::kXmm, kMmx), o[1][i] = sse(16, kLoad, Imm::kNone, Rm::kXmm, kMmx);
    o[2][i] = sse(4, kLoad, Imm::kNone, Rm::kXmm, kGprY), o[3][i] = sse(8, kLoad, Imm::kNone, Rm::kXmm, kGprY);
  }
  for (const unsigned i : {0x2e, 0x2f})
    o[0][i] = sse(4, kRead, Imm::kNone, Rm::kXmm, kXmm, kAllFlags),
    o[1][i] = sse(8, kRead, Imm::kNone, Rm::kXmm, kXmm, kAllFlags);
  o[0][0x50] = o[1][0x50] = sse(kMemNone, kLoad, Imm::kNone, Rm::kRegister, kGprY);
  for (const unsigned i : {0x51, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f}) four(i, 16, 16, 4, 8);
  for (const unsigned i : {0x52, 0x53}) four(i, 16, 0, 4, 0);
  for (const unsigned i : {0x54, 0x55, 0x56, 0x57}) four(i, 16, 16, 0, 0);
  four(0x5a, 8, 16, 4, 8), four(0x5b, 16, 16, 16, 0);
  for (unsigned i = 0x60; i < 0x6c; ++i) o[0][i] = mmx(i < 0x63 ? 4 : 8), o[1][i] = sse(16);
  o[1][0x6c] = o[1][0x6d] = sse(16);
  o[0][0x6e] = identity(kMmx, Rm::kGprY, kMemY, kLoad, kFpu | kMandatory);
  o[1][0x6e] = sse(kMemY, kLoad, Imm::kNone, Rm::kGprY);
  o[0][0x6f] = mmx(), o[1][0x6f] = o[2][0x6f] = sse(16);
  o[0][0x70] = mmx(8, kLoad, Imm::kByte);
  for (unsigned i = 1; i < 4; ++i) o[i][0x70] = sse(16, kLoad, Imm::kByte);
  for (const unsigned g : {kGroup12, kGroup13, kGroup14}) {
    const unsigned opcode = g == kGroup12 ? 0x71 : g == kGroup13 ? 0x72 : 0x73;
    o[0][opcode] = group_of(static_cast<uint8_t>(g), kMandatory, Imm::kByte);
    o[1][opcode] = group_of(static_cast<uint8_t>(g + 1), kMandatory, Imm::kByte);
    for (unsigned i = 2; i < 8; ++i) {
      const bool shift = i == 2 || i == 6 || (i == 4 && g != kGroup14), whole = g == kGroup14 && (i == 3 || i == 7);
      Op op = identity(kExtension, Rm::kRegister, kMemNone, kBoth, kFpu | kMandatory, 0, 0, Imm::kByte);
      if (shift) t.groups[g][i] = op;
      if (shift || whole) t.groups[g + 1][i] = op;
    }
  }
  for (unsigned i = 0x74; i < 0x77; ++i) o[0][i] = mmx(), o[1][i] = sse(16);
  o[0][0x77] = plain(kFpu | kMandatory, Imm::kNone, 0);
  for (const unsigned i : {0x7c, 0x7d}) o[1][i] = o[3][i] = sse(16);
  o[0][0x7e] = identity(kMmx, Rm::kGprY, kMemY, kStore, kFpu | kMandatory);
  o[1][0x7e] = sse(kMemY, kStore, Imm::kNone, Rm::kGprY), o[2][0x7e] = sse(8);
  o[0][0x7f] = mmx(8, kStore), o[1][0x7f] = o[2][0x7f] = sse(16, kStore);
  four(0xc2, 16, 16, 4, 8, kLoad, Imm::kByte);
  o[0][0xc4] = identity(kMmx, Rm::kGprD, 2, kLoad, kFpu | kMandatory, 0, 0, Imm::kByte);
  o[1][0xc4] = sse(2, kLoad, Imm::kByte, Rm::kGprD);
  o[0][0xc5] = identity(kGprY, Rm::kRegister, kMemNone, kLoad, kFpu | kMandatory, 0, 0, Imm::kByte);
  o[1][0xc5] = o[0][0xc5];
  o[0][0xc6] = o[1][0xc6] = sse(16, kLoad, Imm::kByte);
  for (unsigned i = 0xd1; i < 0xff; ++i)
    if (i != 0xd6 && i != 0xd7 && i != 0xe6 && i != 0xe7 && i != 0xf0 && i != 0xf7) o[0][i] = mmx(), o[1][i] = sse(16);
  o[1][0xd0] = o[3][0xd0] = sse(16);
  o[1][0xd6] = sse(8, kStore);
  o[2][0xd6] = sse(kMemNone, kLoad, Imm::kNone, Rm::kRegister),
  o[3][0xd6] = sse(kMemNone, kLoad, Imm::kNone, Rm::kRegister);
  o[0][0xd7] = o[1][0xd7] = identity(kGprY, Rm::kRegister, kMemNone, kLoad, kFpu | kMandatory);
  o[1][0xe6] = sse(16), o[2][0xe6] = sse(8), o[3][0xe6] = sse(16);
  o[0][0xe7] = identity(kMmx, Rm::kMemory, 8, kStore, kFpu | kMandatory);
  o[1][0xe7] = sse(16, kStore, Imm::kNone, Rm::kMemory);
  o[3][0xf0] = sse(16, kLoad, Imm::kNone, Rm::kMemory);
  // MASKMOVQ, MASKMOVDQU write where RDI says.
  Op masked = control(kModrm | kFpu | kMandatory, Imm::kNone, Rm::kRegister, kXmm);
  o[0][0xf7] = o[1][0xf7] = masked;
}

constexpr void fill_three_byte(OpTables& t) {
  auto& a = t.three_38;
  constexpr uint8_t kLoad = kRead | kRegWrite;
  for (unsigned i = 0; i < 0x0c; ++i) a[0][i] = mmx(), a[1][i] = sse(16);
  for (const unsigned i : {0x1c, 0x1d, 0x1e}) a[0][i] = mmx(), a[1][i] = sse(16);
  for (const unsigned i : {0x10, 0x14, 0x15}) a[1][i] = sse(16);
  a[1][0x17] = sse(16, kRead, Imm::kNone, Rm::kXmm, kXmm, kAllFlags);
  for (const unsigned base : {0x20, 0x30}) {
    constexpr uint16_t kSizes[6] = {8, 4, 2, 8, 4, 8};
    for (unsigned i = 0; i < 6; ++i) a[1][base + i] = sse(kSizes[i]);
  }
  for (const unsigned i : {0x28, 0x29, 0x2b, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41})
    a[1][i] = sse(16);
  a[1][0x2a] = sse(16, kLoad, Imm::kNone, Rm::kMemory);
  a[3][0xf0] = identity(kGprY, Rm::kGpr8, 1, kLoad, kMandatory);
  a[3][0xf1] = identity(kGprY, Rm::kGpr, kMemV, kLoad, kMandatory);

  auto& b = t.three_3a;
  const auto imm = [&](unsigned opcode, uint16_t size) { b[1][opcode] = sse(size, kLoad, Imm::kByte); };
  imm(0x08, 16), imm(0x09, 16), imm(0x0a, 4), imm(0x0b, 8), imm(0x0c, 16), imm(0x0d, 16), imm(0x0e, 16), imm(0x0f, 16);
  b[0][0x0f] = mmx(8, kLoad, Imm::kByte);
  b[1][0x14] = sse(1, kWrite, Imm::kByte, Rm::kGprY), b[1][0x15] = sse(2, kWrite, Imm::kByte, Rm::kGprY);
  b[1][0x16] = sse(kMemY, kWrite, Imm::kByte, Rm::kGprY), b[1][0x17] = sse(4, kWrite, Imm::kByte, Rm::kGprY);
  b[1][0x20] = sse(1, kLoad, Imm::kByte, Rm::kGprD), b[1][0x21] = sse(4, kLoad, Imm::kByte);
  b[1][0x22] = sse(kMemY, kLoad, Imm::kByte, Rm::kGprY);
  imm(0x40, 16), imm(0x41, 16), imm(0x42, 16);
  // The string comparisons: indices arrive in ECX.
  for (unsigned i = 0x60; i < 0x64; ++i) b[1][i] = sse(16, kRead, Imm::kByte, Rm::kXmm, kXmm, kAllFlags);
}

constexpr OpTables build() {
  OpTables t{};
  fill_arithmetic(t);
  fill_one_byte(t);
  fill_x87(t);
  fill_two_byte_integer(t);
  fill_two_byte_sse(t);
  fill_three_byte(t);
  return t;
}

}  // namespace

constexpr OpTables kBuilt = build();
const OpTables kOps = kBuilt;

}  // namespace proa::vmm::translator
