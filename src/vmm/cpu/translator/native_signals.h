// Signals that translated code meets on the host's processor: a divide error, an undefined opcode, an alignment
// check, the guard of the stack of return addresses.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "vmm/cpu/translator/code_cache.h"

namespace proa::vmm::translator {

inline constexpr size_t kSignalStack = 64 << 10;

// Installed once for the process; signals of any other code go to whoever handled them before.
void install_native_signals();

// From enter() until its end, this thread's signals inside `code` resume at its native_fault passage, with the signal
// and the host's RIP in `context`.
class NativeSignals {
 public:
  NativeSignals() = default;
  NativeSignals(const NativeSignals&) = delete;
  NativeSignals& operator=(const NativeSignals&) = delete;
  ~NativeSignals();

  // `stack`: kSignalStack bytes that handlers run on; all three outlive this.
  Result<> enter(CodeCache& code, Context& context, uint8_t* stack);

 private:
  bool entered_ = false;
  stack_t old_stack_{};
};

}  // namespace proa::vmm::translator
