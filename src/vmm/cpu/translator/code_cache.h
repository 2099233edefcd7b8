// Memory for translated code, mapped twice: once to write, once to run; and the passages between it and C++.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/error.h"
#include "vmm/cpu/translator/context.h"
#include "vmm/cpu/translator/emitter.h"

namespace proa::vmm::translator {

// Called with the guest's registers in the Context. `data` is what stands behind the call in translated code; `rcx`
// the host's RCX there. Returns where to go on, or null to leave.
using Handler = const uint8_t* (*)(void* owner, const uint8_t* data, uint64_t rcx);

struct Handlers {
  Handler slow_access, call_out, link, indirect, safe_point, need_fpu, native_fault;
};

class CodeCache {
 public:
  static Result<std::unique_ptr<CodeCache>> create(size_t size, const Handlers& handlers);
  CodeCache(const CodeCache&) = delete;
  CodeCache& operator=(const CodeCache&) = delete;
  ~CodeCache();

  // Passages, addresses of execution.
  struct Passages {
    const uint8_t *slow_access, *call_out, *link, *indirect, *safe_point,
        *need_fpu;  // to be called (indirect: jumped to)
    const uint8_t *native_fault, *underflow, *leave;
  };
  const Passages& passages() const { return passages_; }

  // Runs from context.target until a handler returns null. The GS base must be the context.
  void enter() const { enter_(); }

  Emitter emitter() { return {at_, write_ + size_, to_exec_}; }
  // Code up to `end` is kept.
  void keep(const Emitter& end) { at_ = end.at(); }
  bool nearly_full() const { return at_ + (256 << 10) > write_ + size_; }
  void clear() { at_ = start_; }
  size_t used() const { return static_cast<size_t>(at_ - write_); }
  // A piece for code that runs once.
  Emitter scratch() { return {scratch_, scratch_ + kScratch, to_exec_}; }
  const uint8_t* exec(const uint8_t* written) const { return written + to_exec_; }
  bool contains(uint64_t host_rip) const { return host_rip - reinterpret_cast<uint64_t>(write_ + to_exec_) < size_; }

  // The stack of return predictions: its empty state, and whether an address is in the guard page below.
  uint64_t call_stack_base() const { return reinterpret_cast<uint64_t>(stack_ + kStack - 64); }
  bool in_stack_guard(uint64_t address) const { return address - reinterpret_cast<uint64_t>(stack_) < kGuard; }

 private:
  static constexpr size_t kScratch = 4096, kStack = 64 << 10, kGuard = 4096;
  CodeCache() = default;
  void build(const Handlers& handlers);
  const uint8_t* build_handler(Emitter& out, Handler handler, bool with_data);
  void build_resume(Emitter& out);

  uint8_t *write_ = nullptr, *start_ = nullptr, *at_ = nullptr, *scratch_ = nullptr, *stack_ = nullptr;
  const uint8_t *resume_ = nullptr, *leave_tail_ = nullptr;
  size_t size_ = 0;
  intptr_t to_exec_ = 0;
  Passages passages_{};
  void (*enter_)() = nullptr;
};

}  // namespace proa::vmm::translator
