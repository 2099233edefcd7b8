// x86 instructions, decoded: lengths and operands for 16-, 32- and 64-bit code (SDM 2A, chapter 2; 2D, appendix A).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace proa::vmm::translator {

enum class CodeSize : uint8_t { k16, k32, k64 };

// The bits of an operand or address of so many bytes.
constexpr uint64_t mask_of(unsigned size) { return size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1; }

// The status flags, as a set in six bits.
enum StatusFlag : uint8_t { kCf = 1, kPf = 2, kAf = 4, kZf = 8, kSf = 16, kOf = 32, kAllFlags = 63 };

// How an instruction is run.
enum class Kind : uint8_t {
  kInvalid,   // #UD
  kIdentity,  // the host's own instruction, with registers renamed and its memory operand redirected
  kControl,   // everything else: control flow, stack, strings, system; see code
};

// What ModRM.reg names.
enum class RegClass : uint8_t { kNone, kGpr8, kGpr, kGprY, kGprD, kXmm, kMmx, kSegment, kExtension };
// What ModRM.rm names when it is a register. kMemory: only memory is allowed; kRegister: only registers are.
enum class RmClass : uint8_t { kNone, kGpr8, kGpr, kGprY, kGprD, kGprW, kXmm, kMmx, kMemory, kRegister, kX87 };
enum class Imm : uint8_t { kNone, kByte, kWord, kZ, kV, kEnter, kFar, kOffset, kGroup3, kGroup3Byte };

// Sizes of memory operands that are not a number of bytes.
enum MemSize : uint16_t {
  kMemNone = 0,       // an address that is not followed (LEA, prefetches, NOP)
  kMemV = 0xff00,     // the operand size
  kMemY = 0xff01,     // 4, or 8 with REX.W
  kMemFar = 0xff02,   // a far pointer
  kMemDesc = 0xff03,  // a pseudo-descriptor of LGDT and kin
};

enum Access : uint8_t {
  kRmRead = 1,  // ModRM.rm, memory or register
  kRmWrite = 2,
  kRegWrite = 4,  // ModRM.reg, or the register in the opcode
};

enum OpTrait : uint8_t {
  kHasModrm = 1,
  kDefault64 = 2,  // the operand size is 64 bits in 64-bit code, and never 32
  kLockable = 4,
  kOpcodeReg = 8,   // the register is in the opcode's low bits
  kMandatory = 16,  // 66, F2, F3 select the instruction
  kInvalid64 = 32,
  kFpu = 64,      // x87, MMX, SSE: needs the FPU state loaded
  kByteOp = 128,  // operand size is a byte
};

struct Op {
  Kind kind = Kind::kInvalid;
  RegClass reg = RegClass::kNone;
  RmClass rm = RmClass::kNone;
  Imm imm = Imm::kNone;
  uint16_t mem = kMemNone;
  uint8_t access = 0;
  uint8_t traits = 0;
  uint8_t kills = 0;  // status flags that it surely sets
  uint8_t reads = 0;  // status flags that its outcome depends on
  uint8_t group = 0;  // index of a table by ModRM.reg; 0: none
};

// Opcode maps: Insn::code is map << 8 | opcode byte.
enum : uint16_t { kMap0F = 0x100, kMap0F38 = 0x200, kMap0F3A = 0x300 };

enum SegmentPrefix : uint8_t { kNoSegment = 0xff };

struct Insn {
  const Op* op = nullptr;
  uint16_t code = 0;
  uint8_t length = 0;
  uint8_t rex = 0;
  uint8_t modrm = 0;
  uint8_t operand_size = 0;  // bytes
  uint8_t address_size = 0;  // bytes
  uint8_t segment = kNoSegment;
  uint8_t mandatory = 0;  // 0, 0x66, 0xf2, 0xf3
  bool lock = false, rep = false, repne = false, prefix66 = false, rex_w = false;
  CodeSize size = CodeSize::k64;
  // The memory operand: registers in the encoding's numbers, -1 for none.
  bool has_memory = false, rip_relative = false;
  int8_t base = -1, index = -1;
  uint8_t scale = 0;  // a shift
  uint16_t mem_size = 0;
  int32_t disp = 0;
  uint64_t imm = 0;   // sign-extended
  uint16_t imm2 = 0;  // ENTER's level, a far pointer's selector

  bool has_modrm() const { return op->traits & kHasModrm; }
  uint8_t mod() const { return modrm >> 6; }
  uint8_t ext() const { return modrm >> 3 & 7; }
  // Numbers with REX applied.
  uint8_t reg() const { return static_cast<uint8_t>((modrm >> 3 & 7) | (rex & 4) << 1); }
  uint8_t rm() const { return static_cast<uint8_t>((modrm & 7) | (rex & 1) << 3); }
  uint8_t opcode_reg() const { return static_cast<uint8_t>((code & 7) | (rex & 1) << 3); }
  bool register_form() const { return has_modrm() && !has_memory; }
};

enum class Decoded : uint8_t {
  kOk,
  kInvalid,    // #UD
  kTooLong,    // more than 15 bytes: #GP
  kTruncated,  // `bytes` ends within the instruction
};

Decoded decode(std::span<const uint8_t> bytes, CodeSize size, Insn& insn);

}  // namespace proa::vmm::translator
