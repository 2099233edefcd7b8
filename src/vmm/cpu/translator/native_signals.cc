#include "vmm/cpu/translator/native_signals.h"

#include <ucontext.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace proa::vmm::translator {

namespace {

thread_local CodeCache* running_code = nullptr;
thread_local Context* running_context = nullptr;
std::array<struct sigaction, 65> previous_actions;

// The predictions are full: forget all but the newest and go on.
void forget_old_returns(greg_t& rsp) {
  constexpr size_t kKept = 64;
  auto* fresh = reinterpret_cast<uint8_t*>(running_code->call_stack_base() - kKept);
  std::memcpy(fresh, reinterpret_cast<const uint8_t*>(rsp), kKept);
  rsp = static_cast<greg_t>(reinterpret_cast<uint64_t>(fresh));
}

// Somebody else's: as it was before us.
void pass_on(int signal, siginfo_t* info, void* ucontext) {
  const struct sigaction& old = previous_actions[static_cast<size_t>(signal)];
  if (old.sa_flags & SA_SIGINFO) {
    old.sa_sigaction(signal, info, ucontext);
  } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(signal);
  } else {
    ::sigaction(signal, &old, nullptr);  // happens again, and for good
  }
}

void on_signal(int signal, siginfo_t* info, void* ucontext) {
  auto& registers = static_cast<ucontext_t*>(ucontext)->uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(registers[REG_RIP]);
  if (!running_code || !running_code->contains(rip)) {
    pass_on(signal, info, ucontext);
    return;
  }
  if (signal == SIGSEGV && running_code->in_stack_guard(reinterpret_cast<uint64_t>(info->si_addr))) {
    forget_old_returns(registers[REG_RSP]);
    return;
  }
  running_context->fault_host_rip = rip;
  running_context->fault_signal = static_cast<uint64_t>(signal);
  registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uint64_t>(running_code->passages().native_fault));
}

}  // namespace

void install_native_signals() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const int signal : {SIGSEGV, SIGFPE, SIGILL, SIGBUS}) {
      struct sigaction action{};
      action.sa_sigaction = on_signal;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      ::sigaction(signal, &action, &previous_actions[static_cast<size_t>(signal)]);
    }
  });
}

Result<> NativeSignals::enter(CodeCache& code, Context& context, uint8_t* stack) {
  stack_t ours{};
  ours.ss_sp = stack;
  ours.ss_size = kSignalStack;
  if (::sigaltstack(&ours, &old_stack_) != 0) return fail_errno(errno, "signal stack of a vCPU");
  running_context = &context;
  running_code = &code;
  entered_ = true;
  return {};
}

NativeSignals::~NativeSignals() {
  if (!entered_) return;
  running_context = nullptr;
  running_code = nullptr;
  old_stack_.ss_flags &= ~SS_ONSTACK;
  ::sigaltstack(&old_stack_, nullptr);
}

}  // namespace proa::vmm::translator
