#include "vmm/cpu/translator/code_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"
#include "vmm/cpu/state.h"
#include "vmm/cpu/translator/rename.h"

namespace proa::vmm::translator {

namespace {

constexpr std::array<HostReg, 6> kCalleeSaved = {hRbx, hRbp, hR12, hR13, hR14, hR15};
#define FIELD(name) at_context(offsetof(Context, name))

void save_registers(Emitter& out) {
  for (unsigned guest = 0; guest < 16; ++guest)
    if (kHostOf[guest] != kInMemory)
      out.store(at_context(offsetof(Context, gpr) + 8 * guest), static_cast<unsigned>(kHostOf[guest]));
  out.byte(0x9c);                              // pushfq
  out.rm({.opcode = 0x8f}, 0, FIELD(status));  // pop
}
void save_fpu(Emitter& out) {
  out.rm({.opcode = 0x83}, 7, FIELD(fpu_dead)), out.byte(0);
  uint8_t* dead = out.jcc_short(5);
  out.rm({.opcode = 0x1ae, .wide = true}, 0, FIELD(fx));  // fxsave64
  out.rm({.opcode = 0x1ae}, 2, FIELD(default_mxcsr));     // ldmxcsr
  out.bind_short(dead);
}

}  // namespace

Result<std::unique_ptr<CodeCache>> CodeCache::create(size_t size, const Handlers& handlers) {
  std::unique_ptr<CodeCache> cache(new CodeCache);
  const Fd file(::memfd_create("proa-translations", MFD_CLOEXEC));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "memory for translations");
  void* write = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (write == MAP_FAILED) return fail_errno(errno, "map memory for translations");
  cache->write_ = static_cast<uint8_t*>(write);
  cache->size_ = size;
  void* exec = ::mmap(nullptr, size, PROT_READ | PROT_EXEC, MAP_SHARED, file.get(), 0);
  if (exec == MAP_FAILED) return fail_errno(errno, "map memory for translations to run");
  cache->to_exec_ = static_cast<uint8_t*>(exec) - cache->write_;
  void* stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) return fail_errno(errno, "map the stack of return predictions");
  cache->stack_ = static_cast<uint8_t*>(stack);
  if (::mprotect(stack, kGuard, PROT_NONE) != 0) return fail_errno(errno, "guard the stack of return predictions");
  cache->build(handlers);
  return cache;
}

CodeCache::~CodeCache() {
  if (write_) {
    if (to_exec_) ::munmap(write_ + to_exec_, size_);
    ::munmap(write_, size_);
  }
  if (stack_) ::munmap(stack_, kStack);
}

// From translated code to a handler and on to where it says.
const uint8_t* CodeCache::build_handler(Emitter& out, Handler handler, bool with_data) {
  out.align(16);
  const uint8_t* start = out.exec();
  save_registers(out);
  out.mov(hRdx, hRcx);
  if (with_data)
    out.o({.opcode = 0x58}, hRsi);  // pop: the address behind the call
  else
    out.mov_imm(hRsi, 0);
  out.store(FIELD(call_rsp), hRsp);
  out.load(hRsp, FIELD(host_rsp));
  save_fpu(out);
  out.load(hRdi, FIELD(owner));
  out.mov_imm(hRax, reinterpret_cast<uint64_t>(handler));
  out.rr({.opcode = 0xff}, 2, hRax);
  out.store(FIELD(target), hRax);
  out.rr({.opcode = 0x85, .wide = true}, hRax, hRax);
  out.jcc(4, leave_tail_);
  out.jmp(resume_);
  return start;
}

void CodeCache::build_resume(Emitter& out) {
  out.rm({.opcode = 0x83}, 7, FIELD(fpu_dead)), out.byte(0);
  uint8_t* dead = out.jcc_short(5);
  out.rm({.opcode = 0x1ae, .wide = true}, 1, FIELD(fx));  // fxrstor64
  out.bind_short(dead);
  out.load(hRsp, FIELD(call_rsp));
  out.rm({.opcode = 0xff}, 6, FIELD(status));  // push
  out.byte(0x9d);                              // popfq
  for (unsigned guest = 0; guest < 16; ++guest)
    if (kHostOf[guest] != kInMemory)
      out.load(static_cast<unsigned>(kHostOf[guest]), at_context(offsetof(Context, gpr) + 8 * guest));
  out.rm({.opcode = 0xff}, 4, FIELD(target));  // jmp
}

void CodeCache::build(const Handlers& handlers) {
  Emitter out(write_, write_ + size_, to_exec_);
  leave_tail_ = out.exec();
  out.lea(hRsp, {.base = hRsp, .disp = 8});
  for (auto reg = kCalleeSaved.rbegin(); reg != kCalleeSaved.rend(); ++reg) out.o({.opcode = 0x58}, *reg);
  out.byte(0xc3);
  out.align(16);
  enter_ = reinterpret_cast<void (*)()>(reinterpret_cast<uintptr_t>(out.exec()));
  for (const HostReg reg : kCalleeSaved) out.o({.opcode = 0x50}, reg);
  // After the return address and six registers RSP is off by eight from where a call may be made.
  out.lea(hRsp, {.base = hRsp, .disp = -8});
  out.store(FIELD(host_rsp), hRsp);
  resume_ = out.exec();
  build_resume(out);

  out.align(16);
  passages_.leave = out.exec();
  save_registers(out);
  out.store(FIELD(call_rsp), hRsp);
  out.load(hRsp, FIELD(host_rsp));
  save_fpu(out);
  out.jmp(leave_tail_);

  passages_.slow_access = build_handler(out, handlers.slow_access, true);
  passages_.call_out = build_handler(out, handlers.call_out, true);
  passages_.link = build_handler(out, handlers.link, true);
  passages_.safe_point = build_handler(out, handlers.safe_point, true);
  passages_.need_fpu = build_handler(out, handlers.need_fpu, true);
  passages_.indirect = build_handler(out, handlers.indirect, false);
  passages_.native_fault = build_handler(out, handlers.native_fault, false);
  out.align(16);
  passages_.underflow = out.exec();
  out.lea(hRsp, {.base = hRsp, .disp = -8});
  out.jmp(passages_.indirect);

  scratch_ = out.at();
  start_ = at_ = scratch_ + kScratch;
  // Returns below the oldest call meet the passage that looks the target up.
  auto* bottom = reinterpret_cast<uint64_t*>(stack_ + kStack - 64);
  for (unsigned i = 0; i < 8; ++i) bottom[i] = reinterpret_cast<uint64_t>(passages_.underflow);
}

#undef FIELD

}  // namespace proa::vmm::translator
