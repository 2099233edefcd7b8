// Ring-3 instruction streams, run by the host's processor in a child and by the translator; shared by the test and the
// fuzz target.
//
// The child loads a case's registers by returning from a signal handler, and takes the outcome from the signal that
// ends the stream: INT3 at its end, or a fault on the way.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "vmm/cpu/translator/control_bits.h"
#include "vmm/cpu/translator/engine.h"
#include "vmm/cpu/translator/opcodes.h"
#include "vmm/cpu/translator/translator.h"

namespace proa::vmm::translator::differential {

// Linear addresses, the same in both worlds. Two pages of data with nothing around them, one of code.
inline constexpr uint64_t kCode = 0x20000000, kData = 0x30000000, kDataSize = 0x2000, kMiddle = kData + 0x1000;
// From here to the end of the user's half the child may have mappings of its own: the address sanitizer's shadow
// memory begins just above, libraries and stacks are higher. What is accessed there says nothing.
inline constexpr uint64_t kChildsOwn = 0x7f000000, kUserEnd = 1ULL << 47;
inline bool may_be_childs_own(uint64_t address) { return address >= kChildsOwn && address < kUserEnd; }

struct Registers {
  std::array<uint64_t, 16> gpr{};
  uint64_t rip = 0, flags = 0;
  alignas(16) std::array<uint8_t, 512> fx{};
};
struct Case {
  std::array<uint8_t, 256> code{};  // ends in INT3
  Registers start;
  uint64_t seed = 0;  // of the data
  bool touches_memory = false;
  bool supervisor = false;  // at ring 0; only under the translator
};
struct Outcome {
  Registers end;
  uint32_t vector = 0, error = 0;
  uint64_t address = 0;  // CR2
  uint64_t data_hash = 0;
};

inline void fill_data(uint8_t* data, uint64_t seed) {
  for (uint64_t i = 0; i < kDataSize; i += 8) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    const uint64_t value = seed ^ seed >> 29;
    std::memcpy(data + i, &value, 8);
  }
}
inline uint64_t hash_data(const uint8_t* data) {
  uint64_t hash = 14695981039346656037ULL;
  for (uint64_t i = 0; i < kDataSize; i += 8) {
    uint64_t value = 0;
    std::memcpy(&value, data + i, 8);
    hash = (hash ^ value) * 1099511628211ULL;
    hash ^= hash >> 31;
  }
  return hash;
}
// What depends on where the x87's last instruction was is the host's; the last bytes are not part of the state.
inline void clean_fx(std::array<uint8_t, 512>& fx) {
  std::fill(fx.begin() + 6, fx.begin() + 24, uint8_t{0});
  std::fill(fx.begin() + 28, fx.begin() + 32, uint8_t{0});
  for (unsigned i = 0; i < 8; ++i) std::fill_n(fx.begin() + 32 + 16 * i + 10, 6, uint8_t{0});
  std::fill(fx.begin() + 416, fx.end(), uint8_t{0});
}

// --- the host

class Native {
 public:
  static constexpr unsigned kBatch = 256;
  // Runs the cases in a child; false when that died.
  static bool run(const std::vector<Case>& cases, std::vector<Outcome>& outcomes) {
    auto* shared = static_cast<Shared*>(
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (shared == MAP_FAILED) return false;
    bool good = true;
    for (size_t from = 0; from < cases.size() && good; from += kBatch) {
      shared->count = std::min<size_t>(kBatch, cases.size() - from);
      shared->done = 0;
      std::copy_n(cases.begin() + static_cast<long>(from), shared->count, shared->cases.begin());
      const pid_t child = ::fork();
      if (child == 0) child_main(*shared);
      int status = 0;
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {  // a fuzzer's timer
      }
      good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && shared->done == shared->count;
      for (size_t i = 0; i < shared->done; ++i) outcomes.push_back(shared->outcomes[i]);
    }
    ::munmap(shared, sizeof(Shared));
    return good;
  }

 private:
  struct Shared {
    size_t count = 0, done = 0;
    std::array<Case, kBatch> cases;
    std::array<Outcome, kBatch> outcomes;
  };
  static inline Shared* shared_ = nullptr;

  static void begin(ucontext_t& context, const Case& c) {
    std::memcpy(reinterpret_cast<void*>(kCode), c.code.data(), c.code.size());
    fill_data(reinterpret_cast<uint8_t*>(kData), c.seed);
    static constexpr std::array<int, 16> kOrder = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                                   REG_R12, REG_R13, REG_R14, REG_R15};
    auto& registers = context.uc_mcontext.gregs;
    for (unsigned i = 0; i < 16; ++i) registers[kOrder[i]] = static_cast<greg_t>(c.start.gpr[i]);
    registers[REG_RIP] = static_cast<greg_t>(kCode);
    registers[REG_EFL] = static_cast<greg_t>(c.start.flags | 2);
    auto* fx = reinterpret_cast<uint8_t*>(context.uc_mcontext.fpregs);
    std::memcpy(fx, c.start.fx.data(), 416);
    // XSTATE_BV, if the frame is an extended one: x87 and SSE are there.
    uint32_t magic = 0;
    std::memcpy(&magic, fx + 464, 4);
    if (magic == 0x46505853) fx[512] |= 3;
  }
  static void on_signal(int, siginfo_t*, void* pointer) {
    auto& context = *static_cast<ucontext_t*>(pointer);
    auto& registers = context.uc_mcontext.gregs;
    if (static_cast<uint64_t>(registers[REG_RIP]) - kCode < 0x2000) {
      Outcome& out = shared_->outcomes[shared_->done];
      static constexpr std::array<int, 16> kOrder = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                                     REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                                     REG_R12, REG_R13, REG_R14, REG_R15};
      for (unsigned i = 0; i < 16; ++i) out.end.gpr[i] = static_cast<uint64_t>(registers[kOrder[i]]);
      out.end.rip = static_cast<uint64_t>(registers[REG_RIP]);
      out.end.flags = static_cast<uint64_t>(registers[REG_EFL]);
      std::memcpy(out.end.fx.data(), context.uc_mcontext.fpregs, 512);
      out.vector = static_cast<uint32_t>(registers[REG_TRAPNO]);
      const bool has_error = out.vector == kPfFault || out.vector == kGp;
      out.error = has_error ? static_cast<uint32_t>(registers[REG_ERR]) : 0;
      out.address = out.vector == kPfFault ? static_cast<uint64_t>(registers[REG_CR2]) : 0;
      out.data_hash = hash_data(reinterpret_cast<uint8_t*>(kData));
      ++shared_->done;
    } else if (shared_->done != 0) {
      ::_exit(3);
    }
    if (shared_->done == shared_->count) ::_exit(0);
    begin(context, shared_->cases[shared_->done]);
  }
  [[noreturn]] static void child_main(Shared& shared) {
    shared_ = &shared;
    const auto map = [](uint64_t at, size_t size, int protection) {
      return ::mmap(reinterpret_cast<void*>(at), size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                    -1, 0) != MAP_FAILED;
    };
    if (!map(kCode, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC) || !map(kData, kDataSize, PROT_READ | PROT_WRITE))
      ::_exit(2);
    stack_t stack{};
    stack.ss_size = 1 << 18;
    stack.ss_sp = ::mmap(nullptr, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::sigaltstack(&stack, nullptr);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGUSR1}) ::sigaction(signal, &action, nullptr);
    ::alarm(60);
    ::raise(SIGUSR1);
    ::_exit(4);
  }
};

// --- the translator

class Translated : public Bus {
 public:
  // Physical addresses.
  static constexpr GuestAddress kTables = 0x10000, kIdt = 0x1000, kGdt = 0x2000, kTss = 0x3000, kStack = 0x8000,
                                kHandlers = 0x9000, kCodePage = 0x100000, kDataPage = 0x110000;
  static constexpr uint64_t kKernel = 0xffff800000000000;  // where physical memory is seen by the guest's kernel

  static Result<std::unique_ptr<Translated>> create(bool exact_flags) {
    std::unique_ptr<Translated> made(new Translated);
    TRY(made->build(exact_flags));
    return made;
  }
  Result<Outcome> run(const Case& c) {
    memory_->write(kCodePage, c.code.data(), c.code.size());
    fill_data(reinterpret_cast<uint8_t*>(memory_->at(kDataPage, kDataSize)), c.seed);
    TRY(vcpu_->set_state(start_state(c)));
    const Stop stop = TRY(vcpu_->run());
    if (stop.reason != StopReason::kKicked)
      return fail("the guest stopped for another reason: ", static_cast<int>(stop.reason));
    const CpuState state = TRY(vcpu_->state());
    return outcome(state);
  }
  Engine& engine() const { return *engine_; }
  GuestMemory& memory() { return *memory_; }

  // Bus: the handlers of exceptions end in OUT.
  uint32_t port_in(uint16_t, unsigned) override { return ~0U; }
  void port_out(uint16_t, unsigned, uint32_t) override { vcpu_->kick(); }
  uint64_t mmio_read(GuestAddress, unsigned) override { return ~0ULL; }
  void mmio_write(GuestAddress, unsigned, uint64_t) override {}
  void end_of_interrupt(uint8_t) override {}
  uint8_t acknowledge_extint() override { return 0; }

 private:
  Result<> build(bool exact_flags) {
    std::vector<SlotPlan> plans(1);
    plans[0].size = 4 << 20;
    memory_ = TRY(GuestMemory::create(std::move(plans)));
    auto engine = TRY(TranslatorEngine::create(*memory_, *this, {}));
    const auto cpuid = TRY(engine->supported_cpuid());
    auto vcpu = TRY(engine->create_vcpu(0, cpuid));
    static_cast<TranslatorVcpu&>(*vcpu).translations().exact_flags = exact_flags;
    vcpu_ = std::move(vcpu);
    engine_ = std::move(engine);
    next_table_ = kTables + kPageSize;
    map(kCode, kCodePage, 7);
    for (uint64_t i = 0; i < kDataSize; i += kPageSize) map(kData + i, kDataPage + i, 7);
    for (uint64_t page = 0; page < 0x20000; page += kPageSize) map(kKernel + page, page, 3);
    const std::array<uint64_t, 7> gdt = {
        0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0x00008b0000000067, 0};
    memory_->write(kGdt, gdt.data(), sizeof gdt);
    const uint64_t rsp0 = kKernel + kStack;
    memory_->write(kTss + 4, &rsp0, 8);
    memory_->store(kTss + 102, uint16_t{0x68});  // no bitmap of ports
    for (uint64_t vector = 0; vector < 256; ++vector) {
      const uint64_t at = kKernel + kHandlers + 16 * vector;
      const std::array<uint64_t, 2> gate = {(at & 0xffff) | 8 << 16 | 0xee00ULL << 32 | (at & 0xffff0000) << 32,
                                            at >> 32};
      memory_->write(kIdt + 16 * vector, gate.data(), 16);
      const std::array<uint8_t, 3> code = {0xe6, 0xf4, 0xf4};  // out 0xf4, al; hlt
      memory_->write(kHandlers + 16 * vector, code.data(), code.size());
    }
    return {};
  }

  void map(uint64_t linear, GuestAddress physical, uint64_t bits) {
    GuestAddress table = kTables;
    for (int level = 3; level > 0; --level) {
      const GuestAddress at = table + (linear >> (12 + 9 * level) & 511) * 8;
      uint64_t entry = *memory_->load<uint64_t>(at);
      if (!(entry & 1)) {
        entry = next_table_ | 7;
        next_table_ += kPageSize;
        memory_->store(at, entry);
      }
      table = entry & ~0xfffULL;
    }
    memory_->store(table + (linear >> 12 & 511) * 8, physical | bits);
  }

  CpuState start_state(const Case& c) const {
    CpuState s;
    s.gpr = c.start.gpr;
    s.rip = kCode;
    s.rflags = (c.start.flags & (kStatusFlags | kFlagDf)) | 2 | kFlagIf;
    const Segment data = {.selector = 0x1b, .attributes = 0xc0f3, .limit = 0xffffffff};
    s.segments.fill(data);
    s.segments[kCs] = {.selector = 0x23, .attributes = 0xa0fb, .limit = 0xffffffff};
    if (c.supervisor) {
      s.segments[kCs] = {.selector = 8, .attributes = 0xa09b, .limit = 0xffffffff};
      s.segments[kSs] = {.selector = 0x10, .attributes = 0xc093, .limit = 0xffffffff};
    }
    s.tr = {.selector = 0x28, .attributes = 0x8b, .limit = 0x67, .base = kKernel + kTss};
    s.gdtr = {kKernel + kGdt, 0x37};
    s.idtr = {kKernel + kIdt, 0xfff};
    s.cr0 = kCr0Pe | kCr0Pg | kCr0Wp | kCr0Ne | kCr0Mp | kCr0Et;
    s.cr4 = kCr4Pae | kCr4OsFxsr | kCr4OsXmm;
    s.cr3 = kTables;
    s.efer = kEferLme | kEferLma | kEferNxe | kEferSce;
    s.fx = c.start.fx;
    return s;
  }

  Outcome outcome(const CpuState& state) const {
    Outcome out;
    out.end.gpr = state.gpr;
    out.end.fx = state.fx;
    out.vector = static_cast<uint32_t>((state.rip - 2 - kKernel - kHandlers) / 16);
    const bool has_error = out.vector == kDf || (out.vector >= kTs && out.vector <= kPfFault) || out.vector == kAc;
    std::array<uint64_t, 6> frame{};
    const uint64_t rsp = state.gpr[kRsp];
    const GuestAddress at = rsp - kData < kDataSize ? rsp - kData + kDataPage : rsp - kKernel;
    memory_->read(at, frame.data() + (has_error ? 0 : 1), has_error ? 48 : 40);
    out.error = static_cast<uint32_t>(frame[0]);
    out.end.rip = frame[1];
    out.end.flags = frame[3];
    out.end.gpr[kRsp] = frame[4];
    out.address = out.vector == kPfFault ? state.cr2 : 0;
    out.data_hash = hash_data(reinterpret_cast<const uint8_t*>(memory_->at(kDataPage, kDataSize)));
    return out;
  }

  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Vcpu> vcpu_;
  GuestAddress next_table_ = 0;
};

// --- what is run

// Bytes decide; they may be random or a fuzzer's.
class Generator {
 public:
  explicit Generator(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  Case make() {
    Case c;
    c.seed = number();
    c.seed = c.seed << 32 | number();
    registers(c.start);
    unsigned at = 0;
    const unsigned wanted = 1 + byte() % 12;
    for (unsigned made = 0, tries = 0; made < wanted && tries < 400; ++tries) {
      std::array<uint8_t, 15> text{};
      const unsigned length = instruction(text, c);
      if (length == 0 || at + length + 2 > c.code.size()) continue;
      std::copy_n(text.begin(), length, c.code.begin() + at);
      at += length;
      ++made;
    }
    std::fill(c.code.begin() + at, c.code.end(), uint8_t{0xcc});
    return c;
  }
  bool empty() const { return at_ >= bytes_.size(); }

 private:
  uint8_t byte() { return at_ < bytes_.size() ? bytes_[at_++] : static_cast<uint8_t>(at_++ * 37); }
  uint32_t number() { return byte() | byte() << 8 | byte() << 16 | static_cast<uint32_t>(byte()) << 24; }

  void registers(Registers& r) {
    for (auto& value : r.gpr) {
      value = number();
      if (byte() & 1) value |= static_cast<uint64_t>(number()) << 32;
      if (byte() % 4 == 0) value = static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(value)));
    }
    // Those that memory operands are made of.
    r.gpr[kRbx] = kMiddle + (byte() & 0x3f);
    r.gpr[kRbp] = kMiddle + 0x800;
    r.gpr[kR13] = kMiddle - 0x800;
    r.gpr[kR12] = byte() & 15;
    r.gpr[kRsp] = kMiddle + 0x400 + (byte() & 0x78);
    r.gpr[kR9] = kMiddle + 0x100;
    r.gpr[kRsi] = kMiddle + 0x200 + (byte() & 0x3f);
    r.gpr[kRdi] = kMiddle + 0x600 + (byte() & 0x3f);
    r.flags = (number() & kStatusFlags) | 2;
    r.fx.fill(0);
    r.fx[0] = 0x7f, r.fx[1] = 0x03;
    r.fx[24] = 0x80, r.fx[25] = 0x1f;
    for (unsigned i = 160; i < 416; ++i) r.fx[i] = byte();
  }
  static bool pinned(unsigned reg) {
    return reg == kRbx || reg == kRbp || reg == kR13 || reg == kR12 || reg == kRsp || reg == kR9 || reg == kRsi ||
           reg == kRdi;
  }

  static bool excluded(const Insn& insn) {
    const uint16_t code = insn.code;
    if (insn.segment != kNoSegment) return true;  // the child's FS is its own
    if (insn.op->kind == Kind::kControl) {
      // What a user's straight line may hold.
      const bool stack = code >= 0x50 && code < 0x60;
      const bool fine = (stack && insn.operand_size == 8) || code == 0x68 || code == 0x6a || code == 0x8d ||
                        code == 0xfc || code == 0xfd || code == 0xd7 || (code >= 0xa4 && code <= 0xa7) ||
                        (code >= 0xaa && code <= 0xaf) || (code == (kMap0F | 0xc7) && insn.ext() == 1) ||
                        code == 0xf4 || code == 0xfa || (code == 0xff && insn.ext() == 6) || code == 0x9c;
      if (!fine || insn.rep || insn.repne) return true;
      return code == 0xfd;
    }
    const bool x87 = code >= 0xd8 && code <= 0xdf;
    // Instruction pointers in the x87's environment are the host's own.
    if (x87 && insn.has_memory && insn.mem_size > 10) return true;
    if ((code == (kMap0F | 0xbc) || code == (kMap0F | 0xbd)) && insn.rep) return true;  // TZCNT, LZCNT
    if (code == (kMap0F | 0xc7)) return true;                                           // RDRAND, RDSEED
    if (code == (kMap0F | 0xae)) return true;
    if (code == 0x90 && insn.rep) return true;
    return false;
  }

  unsigned instruction(std::array<uint8_t, 15>& text, Case& c) {
    unsigned at = 0;
    const uint8_t shape = byte();
    if (shape % 8 == 0) text[at++] = 0x66;
    if (shape % 16 == 1) text[at++] = byte() & 1 ? 0xf3 : 0xf2;
    if (shape % 16 == 2) text[at++] = 0xf0;
    if (shape % 64 == 3) text[at++] = 0x67;
    if (byte() % 2) text[at++] = static_cast<uint8_t>(0x40 | (byte() & 15));
    const uint8_t map = byte() % 8;
    if (map >= 4) text[at++] = 0x0f;
    if (map == 6) text[at++] = 0x38;
    if (map == 7) text[at++] = 0x3a;
    text[at++] = byte();
    // ModRM and SIB that keep to the pinned registers, then anything.
    uint8_t modrm = byte();
    const uint8_t mod = modrm >> 6;
    uint8_t sib = 0;
    if (mod != 3) {
      static constexpr std::array<uint8_t, 6> kBases = {3, 5, 6, 7, 3, 4};
      modrm = static_cast<uint8_t>((modrm & 0xf8) | kBases[byte() % 6]);
      if (mod == 0 && (modrm & 7) == 5) modrm |= 0x40;
      sib = static_cast<uint8_t>((byte() & 0xc0) | 4 << 3 | 3);
    }
    const unsigned at_modrm = at;
    text[at++] = modrm;
    if (mod != 3 && (modrm & 7) == 4) text[at++] = sib;
    const unsigned at_disp = at;
    while (at < text.size()) text[at++] = byte();
    // Displacements: mostly small, sometimes over the data's end.
    if ((modrm >> 6) == 2) {
      const auto disp = static_cast<int32_t>(static_cast<int16_t>(number()) / (byte() % 8 == 0 ? 4 : 32));
      std::memcpy(text.data() + at_disp, &disp, std::min<size_t>(4, text.size() - at_disp));
    }
    static_cast<void>(at_modrm);
    Insn insn;
    if (decode(text, CodeSize::k64, insn) != Decoded::kOk || excluded(insn)) return 0;
    const Op& op = *insn.op;
    if (insn.has_memory) {
      if (insn.base < 0 || !pinned(static_cast<unsigned>(insn.base)) || insn.rip_relative) return 0;
      if (insn.index >= 0 && insn.index != kR12) return 0;
      // Every base is near the data's middle.
      const uint64_t far = kMiddle + static_cast<uint64_t>(static_cast<int64_t>(insn.disp));
      if (may_be_childs_own(insn.address_size == 4 ? static_cast<uint32_t>(far) : far)) return 0;
      c.touches_memory = true;
    }
    if (op.kind == Kind::kControl) c.touches_memory = true;
    const auto gpr_class = [](RegClass k) {
      return k == RegClass::kGpr || k == RegClass::kGprY || k == RegClass::kGprD;
    };
    const auto writes_pinned = [&](unsigned number, bool byte_register) {
      if (byte_register && !insn.rex && number >= 4) return pinned(number - 4);
      return pinned(number);
    };
    if ((op.access & kRegWrite) && insn.has_modrm() && (gpr_class(op.reg) || op.reg == RegClass::kGpr8) &&
        writes_pinned(insn.reg(), op.reg == RegClass::kGpr8))
      return 0;
    if (insn.code == 0x8d && pinned(insn.reg())) return 0;
    if (insn.register_form() && (op.access & kRmWrite) && op.rm != RmClass::kXmm && op.rm != RmClass::kMmx &&
        op.rm != RmClass::kX87 && op.rm != RmClass::kRegister && writes_pinned(insn.rm(), op.rm == RmClass::kGpr8))
      return 0;
    if (op.traits & kOpcodeReg && insn.op->kind == Kind::kIdentity &&
        writes_pinned(insn.opcode_reg(), op.traits & kByteOp))
      return 0;
    if (insn.code >= 0x58 && insn.code < 0x60 && pinned(insn.opcode_reg())) return 0;
    if (insn.code == 0x90 && (insn.rex & 1)) return insn.length;
    return insn.length;
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

// Empty when both agree.
inline std::string compare(const Case& c, Outcome host, Outcome ours, bool exact_flags) {
  // A bit's number in a register reaches anywhere.
  if (ours.vector == kPfFault && may_be_childs_own(ours.address)) return {};
  std::string out;
  const auto differ = [&](const std::string& what, uint64_t a, uint64_t b) {
    if (a == b) return;
    char text[128];
    std::snprintf(text, sizeof text, "%s: host %llx, ours %llx\n", what.c_str(), static_cast<unsigned long long>(a),
                  static_cast<unsigned long long>(b));
    out += text;
  };
  differ("vector", host.vector, ours.vector);
  // Linux tells of every fault beyond the user's half as one of protection.
  if (host.vector == kPfFault && host.address >> 47) ours.error |= 1;
  differ("error", host.error, ours.error);
  differ("cr2", host.address, ours.address);
  differ("rip", host.end.rip, ours.end.rip);
  for (unsigned i = 0; i < 16; ++i) differ(cat("register ", i), host.end.gpr[i], ours.end.gpr[i]);
  // Without exact flags those that are set again before they matter are lost at a fault.
  if (exact_flags || host.vector == kBp)
    differ("flags", host.end.flags & (kStatusFlags | kFlagDf), ours.end.flags & (kStatusFlags | kFlagDf));
  differ("data", host.data_hash, ours.data_hash);
  clean_fx(host.end.fx), clean_fx(ours.end.fx);
  for (unsigned i = 0; i < 416; i += 8) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, host.end.fx.data() + i, 8), std::memcpy(&b, ours.end.fx.data() + i, 8);
    differ(cat("fx ", i), a, b);
  }
  if (out.empty()) return out;
  out += "code:";
  for (size_t i = 0; i < c.code.size() && (c.code[i] != 0xcc || c.code[i + 1] != 0xcc); ++i) {
    char text[8];
    std::snprintf(text, sizeof text, " %02x", c.code[i]);
    out += text;
  }
  return out;
}

}  // namespace proa::vmm::translator::differential
