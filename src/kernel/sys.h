// The one gate to the kernel: every facility in kernel/ makes its system calls through invoke(), so
// that a recording fake can stand in for the kernel and code above is tested without root.
//
// Ownership: none. Threads: the gate is per thread; a fake installed in one thread is not seen by
// others. After fork() the child keeps its parent's gate.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

// What a system call is called and how its arguments read: one letter each.
//   d int   x flags (hex)   o mode (octal)   s C string   p pointer   n nothing
struct CallShape {
  long nr;
  const char* name;
  const char* arguments;
};

using CallArgs = std::array<long, 6>;

class Gate {
 public:
  virtual ~Gate() = default;
  // The kernel's answer: >= 0, or a negative errno.
  virtual long invoke(const CallShape& shape, const CallArgs& args) noexcept = 0;
};

long invoke(const CallShape& shape, const CallArgs& args) noexcept;

namespace detail {
inline long raw(const void* pointer) { return reinterpret_cast<long>(pointer); }
template <typename T>
  requires(std::integral<T> || std::is_enum_v<T>)
long raw(T value) {
  return static_cast<long>(value);
}
}  // namespace detail

// The pointer that an argument is, for those who stand in for the kernel.
template <typename T>
T* pointer_in(uint64_t argument) {
  return reinterpret_cast<T*>(argument);  // NOLINT(performance-no-int-to-ptr): that is how calls carry them
}

template <typename... Args>
long call(const CallShape& shape, Args... args) noexcept {
  return invoke(shape, CallArgs{detail::raw(args)...});
}

// Turns a raw answer into a Result; `what` is joined only on failure.
template <typename... What>
Result<long> check(long answer, const What&... what) {
  if (answer < 0) [[unlikely]]
    return fail_errno(static_cast<int>(-answer), what...);
  return answer;
}
template <typename... What>
Result<> check_ok(long answer, const What&... what) {
  if (answer < 0) [[unlikely]]
    return fail_errno(static_cast<int>(-answer), what...);
  return {};
}
template <typename... What>
Result<Fd> check_fd(long answer, const What&... what) {
  if (answer < 0) [[unlikely]]
    return fail_errno(static_cast<int>(-answer), what...);
  return Fd(static_cast<int>(answer));
}

// Replaces this thread's gate for a scope (tests).
class ScopedGate {
 public:
  explicit ScopedGate(Gate& gate);
  ~ScopedGate();
  ScopedGate(const ScopedGate&) = delete;
  ScopedGate& operator=(const ScopedGate&) = delete;

 private:
  Gate* previous_;
};

// Records each call as text, e.g. `mount("proc", "/proc", "proc", 0xe, 0x0)`, and answers 0 unless
// told otherwise. Calls that make a descriptor answer numbers from 1000 up; close them at will, the
// real close of such a number is harmless.
class RecordingGate : public Gate {
 public:
  long invoke(const CallShape& shape, const CallArgs& args) noexcept override;

  // The next call named `name` whose text contains `containing` answers `answer` (once).
  void answer_next(std::string_view name, long answer, std::string_view containing = "");
  // Every call named `name` answers `answer`.
  void answer_always(std::string_view name, long answer);

  const std::vector<std::string>& calls() const { return calls_; }
  // Index of the first call from `start` on whose text contains `text`, or -1.
  int find(std::string_view text, size_t start = 0) const;

 private:
  struct Script {
    std::string name, containing;
    long answer;
    bool once;
  };
  std::vector<Script> scripts_;
  std::vector<std::string> calls_;
  int next_fd_ = 1000;
};

}  // namespace proa::kernel
