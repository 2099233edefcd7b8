#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/opcodes.h"

namespace proa::vmm::translator {

namespace {

constexpr unsigned kLongest = 15;

class Decoder {
 public:
  Decoder(std::span<const uint8_t> bytes, CodeSize size, Insn& insn) : bytes_(bytes), size_(size), i_(insn) {}

  Decoded run() {
    i_ = Insn{};
    i_.size = size_;
    prefixes();
    opcode();
    if (!ended_ && i_.op->kind == Kind::kInvalid && !i_.op->group) return Decoded::kInvalid;
    if (!ended_) modrm();
    if (!ended_ && !invalid_) sizes();
    if (!ended_ && !invalid_) immediate();
    if (at_ > kLongest) return Decoded::kTooLong;
    if (ended_) return bytes_.size() >= kLongest ? Decoded::kTooLong : Decoded::kTruncated;
    if (invalid_) return Decoded::kInvalid;
    i_.length = static_cast<uint8_t>(at_);
    return check();
  }

 private:
  uint8_t next() {
    if (at_ >= bytes_.size()) {
      ended_ = true;
      return 0;
    }
    return bytes_[at_++];
  }
  uint64_t signed_bytes(unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; ++i) value |= static_cast<uint64_t>(next()) << (8 * i);
    const unsigned shift = 64 - 8 * count;
    return count == 8 ? value : static_cast<uint64_t>(static_cast<int64_t>(value << shift) >> shift);
  }

  void prefixes() {
    bool address_prefix = false;
    for (;; ++at_) {
      if (at_ >= bytes_.size() || at_ >= kLongest) {
        ended_ = true;
        break;
      }
      const uint8_t byte = bytes_[at_];
      if (size_ == CodeSize::k64 && (byte & 0xf0) == 0x40) {
        i_.rex = byte;
        continue;
      }
      if (!prefix(byte, address_prefix)) break;
      i_.rex = 0;  // one before another prefix does not count
    }
    i_.rex_w = i_.rex & 8;
    const bool wide = size_ != CodeSize::k16;
    i_.address_size = size_ == CodeSize::k64 ? (address_prefix ? 4 : 8) : wide != address_prefix ? 4 : 2;
  }
  bool prefix(uint8_t byte, bool& address_prefix) {
    switch (byte) {
      case 0x66: i_.prefix66 = true; return true;
      case 0x67: address_prefix = true; return true;
      case 0xf0: i_.lock = true; return true;
      case 0xf2: i_.repne = true, i_.rep = false; return true;
      case 0xf3: i_.rep = true, i_.repne = false; return true;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        if (size_ != CodeSize::k64) i_.segment = static_cast<uint8_t>(byte >> 3 & 3);
        return true;
      case 0x64: i_.segment = kFs; return true;
      case 0x65: i_.segment = kGs; return true;
      default: return false;
    }
  }

  void opcode() {
    uint8_t byte = next();
    if (byte != 0x0f) {
      i_.code = byte;
      i_.op = &kOps.one[byte];
      rewrite_for_size();
      return;
    }
    byte = next();
    const uint8_t prefix = i_.repne ? 0xf2 : i_.rep ? 0xf3 : i_.prefix66 ? 0x66 : 0;
    const std::array<std::array<Op, 256>, 4>* map = &kOps.two;
    uint16_t base = kMap0F;
    if (byte == 0x38 || byte == 0x3a) {
      map = byte == 0x38 ? &kOps.three_38 : &kOps.three_3a;
      base = byte == 0x38 ? kMap0F38 : kMap0F3A;
      byte = next();
    }
    i_.code = static_cast<uint16_t>(base | byte);
    i_.op = &(*map)[prefix_index(prefix)][byte];
    if (i_.op->traits & kMandatory) i_.mandatory = prefix;
  }
  // What 64-bit code took from the one-byte map.
  void rewrite_for_size() {
    static constexpr Op kArpl = [] {
      Op op;
      op.kind = Kind::kControl;
      op.traits = kHasModrm;
      op.reg = RegClass::kGpr;
      op.rm = RmClass::kGprW;
      op.mem = 2;
      op.access = kRmRead | kRmWrite;
      op.reads = kAllFlags;
      return op;
    }();
    if (size_ == CodeSize::k64) return;
    if (i_.code == 0x63) i_.op = &kArpl;
    if (i_.code >= 0x40 && i_.code < 0x50) {  // INC and DEC have a longer form that 64-bit code knows too
      const uint8_t ext = i_.code >= 0x48 ? 1 : 0;
      i_.modrm = static_cast<uint8_t>(0xc0 | ext << 3 | (i_.code & 7));
      i_.code = 0xff;
      i_.op = &kOps.groups[kOps.one[0xff].group][ext];
      rewritten_ = true;
    }
  }

  void modrm() {
    if (!(i_.op->traits & kHasModrm) || rewritten_) return;
    i_.modrm = next();
    if (i_.op->group) {
      i_.op = &kOps.groups[i_.op->group][i_.ext()];
      if (i_.op->kind == Kind::kInvalid) {
        invalid_ = true;
        return;
      }
    }
    const bool always_register = i_.code >= (kMap0F | 0x20) && i_.code <= (kMap0F | 0x23);
    i_.has_memory = i_.mod() != 3 && !always_register;
    if (i_.code >= 0xd8 && i_.code <= 0xdf) return x87();
    if (i_.has_memory) memory_operand();
  }
  void x87() {
    if (i_.has_memory) {
      i_.op = &kOps.x87_memory[i_.code & 7][i_.ext()];
      if (i_.op->kind == Kind::kInvalid) {
        invalid_ = true;
        return;
      }
      memory_operand();
      return;
    }
    // Register forms that do not exist.
    const uint8_t row = i_.code & 7, m = i_.modrm;
    const bool bad =
        (row == 1 && ((m > 0xd0 && m < 0xd8) || m == 0xe2 || m == 0xe3 || m == 0xe6 || m == 0xe7 || m == 0xef)) ||
        (row == 2 && m >= 0xe0 && m != 0xe9) || (row == 3 && ((m >= 0xe5 && m < 0xe8) || m >= 0xf8)) ||
        (row == 5 && m >= 0xf0) || (row == 6 && m >= 0xd8 && m < 0xe0 && m != 0xd9) ||
        (row == 7 && (m >= 0xf8 || (m > 0xe0 && m < 0xe8)));
    invalid_ = bad;
  }

  void memory_operand() {
    if (i_.address_size == 2) return memory_operand16();
    const uint8_t rm = i_.modrm & 7;
    uint8_t base = rm;
    if (rm == 4) {
      const uint8_t sib = next();
      i_.scale = sib >> 6;
      const auto index = static_cast<int8_t>((sib >> 3 & 7) | (i_.rex & 2) << 2);
      if (index != 4) i_.index = index;
      base = sib & 7;
    }
    i_.base = static_cast<int8_t>(base | (i_.rex & 1) << 3);
    if (i_.mod() == 0 && base == 5) {
      i_.base = -1;
      i_.rip_relative = rm == 5 && size_ == CodeSize::k64;
      i_.disp = static_cast<int32_t>(signed_bytes(4));
    } else if (i_.mod() == 1) {
      i_.disp = static_cast<int32_t>(signed_bytes(1));
    } else if (i_.mod() == 2) {
      i_.disp = static_cast<int32_t>(signed_bytes(4));
    }
    if (i_.segment == kNoSegment && size_ != CodeSize::k64 && (i_.base == kRsp || i_.base == kRbp)) i_.segment = kSs;
  }
  void memory_operand16() {
    static constexpr int8_t kBases[8] = {kRbx, kRbx, kRbp, kRbp, kRsi, kRdi, kRbp, kRbx};
    static constexpr int8_t kIndexes[8] = {kRsi, kRdi, kRsi, kRdi, -1, -1, -1, -1};
    const uint8_t rm = i_.modrm & 7;
    i_.base = kBases[rm];
    i_.index = kIndexes[rm];
    if (i_.mod() == 0 && rm == 6) {
      i_.base = -1;
      i_.disp = static_cast<int32_t>(signed_bytes(2));
    } else if (i_.mod() == 1) {
      i_.disp = static_cast<int32_t>(signed_bytes(1));
    } else if (i_.mod() == 2) {
      i_.disp = static_cast<int32_t>(signed_bytes(2));
    }
    if (i_.segment == kNoSegment && i_.base == kRbp) i_.segment = kSs;
  }

  void sizes() {
    const Op& op = *i_.op;
    const bool swap = i_.prefix66 && !((op.traits & kMandatory) && i_.mandatory == 0x66);
    if (op.traits & kByteOp) {
      i_.operand_size = 1;
    } else if (size_ == CodeSize::k64) {
      i_.operand_size = i_.rex_w ? 8 : swap ? 2 : op.traits & kDefault64 ? 8 : 4;
      // Near branches ignore the prefix (as Intel does).
      const bool near = (i_.code >= 0xe8 && i_.code <= 0xeb && i_.code != 0xea) || i_.code == 0xc2 || i_.code == 0xc3 ||
                        (i_.code >= (kMap0F | 0x80) && i_.code <= (kMap0F | 0x8f)) ||
                        (i_.code == 0xff && (i_.ext() == 2 || i_.ext() == 4));
      if (near) i_.operand_size = 8;
    } else {
      i_.operand_size = (size_ == CodeSize::k32) != swap ? 4 : 2;
    }
    if (!i_.has_memory) return;
    switch (op.mem) {
      case kMemV: i_.mem_size = i_.operand_size; break;
      case kMemY: i_.mem_size = i_.rex_w ? 8 : 4; break;
      case kMemFar: i_.mem_size = static_cast<uint16_t>(i_.operand_size + 2); break;
      case kMemDesc: i_.mem_size = size_ == CodeSize::k64 ? 10 : 6; break;
      case 28: i_.mem_size = i_.operand_size == 2 ? 14 : 28; break;
      case 108: i_.mem_size = i_.operand_size == 2 ? 94 : 108; break;
      default: i_.mem_size = op.mem;
    }
  }

  void immediate() {
    const unsigned z = i_.operand_size == 2 ? 2 : 4;
    switch (i_.op->imm) {
      case Imm::kByte: i_.imm = signed_bytes(1); break;
      case Imm::kWord: i_.imm = signed_bytes(2) & 0xffff; break;
      case Imm::kZ: i_.imm = signed_bytes(z); break;
      case Imm::kV: i_.imm = signed_bytes(i_.operand_size == 8 ? 8 : z); break;
      case Imm::kEnter:
        i_.imm = signed_bytes(2) & 0xffff;
        i_.imm2 = next();
        break;
      case Imm::kFar:
        i_.imm = signed_bytes(z) & (z == 2 ? 0xffff : 0xffffffff);
        i_.imm2 = static_cast<uint16_t>(signed_bytes(2));
        break;
      case Imm::kOffset:
        i_.imm = signed_bytes(i_.address_size);
        if (i_.address_size < 8) i_.imm &= (1ULL << (8 * i_.address_size)) - 1;
        break;
      case Imm::kNone:
      case Imm::kGroup3:
      case Imm::kGroup3Byte: break;
    }
  }

  Decoded check() const {
    const Op& op = *i_.op;
    if (size_ == CodeSize::k64 && ((op.traits & kInvalid64) || i_.code == 0x82)) return Decoded::kInvalid;
    if (i_.lock) {
      const bool cmpxchg8 = i_.code == (kMap0F | 0xc7) && i_.ext() == 1;
      const bool mov_cr = i_.code == (kMap0F | 0x20) || i_.code == (kMap0F | 0x22);
      if (!mov_cr && (!i_.has_memory || !(cmpxchg8 || (op.traits & kLockable)))) return Decoded::kInvalid;
    }
    if (op.rm == RmClass::kMemory && !i_.has_memory) return Decoded::kInvalid;
    if (op.kind == Kind::kIdentity && op.rm == RmClass::kRegister && i_.has_memory) return Decoded::kInvalid;
    // RDRAND and RDSEED; with F3 other instructions that are not offered.
    if (i_.code == (kMap0F | 0xc7) && i_.ext() >= 6 && (i_.rep || i_.repne)) return Decoded::kInvalid;
    if (i_.code == (kMap0F | 0xf7) && i_.has_memory) return Decoded::kInvalid;
    return Decoded::kOk;
  }

  std::span<const uint8_t> bytes_;
  CodeSize size_;
  Insn& i_;
  unsigned at_ = 0;
  bool ended_ = false, invalid_ = false, rewritten_ = false;
};

}  // namespace

Decoded decode(std::span<const uint8_t> bytes, CodeSize size, Insn& insn) { return Decoder(bytes, size, insn).run(); }

}  // namespace proa::vmm::translator
