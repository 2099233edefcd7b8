// Builds the stage's plan (stage/plan.h): steps added in order, then sealed into a memfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/runtime/stage/plan.h"

namespace proa::oci::runtime {

class PlanBuilder {
 public:
  // An argument of a step: a number, or a place in the plan's data.
  struct Arg {
    uint64_t value = 0;
    bool in_data = false;
    template <typename T>
      requires(std::integral<T> || std::is_enum_v<T>)
    Arg(T number)
        : value(static_cast<uint64_t>(static_cast<int64_t>(number))) {}  // NOLINT(google-explicit-constructor)
    static Arg data(uint64_t offset) {
      Arg arg(offset);
      arg.in_data = true;
      return arg;
    }
  };

  // Data the steps point to. Offsets stay valid; alignment 8.
  Arg bytes(const void* data, size_t size);
  Arg text(std::string_view text);
  // A null-terminated array of pointers to strings.
  Arg texts(std::span<const std::string> texts);
  // `data` with one pointer inside it, at `pointer_at`, to `target` (sock_fprog).
  Arg bytes_with_pointer(const void* data, size_t size, size_t pointer_at, Arg target);

  // `label` says what the step serves; it becomes the error's text ("process.user.uid").
  void step(long nr, std::initializer_list<Arg> args, std::string_view label, uint32_t flags = stage::kFatal);
  void step(stage::Step step, std::initializer_list<Arg> args, std::string_view label, uint32_t flags = stage::kFatal) {
    this->step(static_cast<long>(step), args, label, flags);
  }

  // The plan as a sealed memfd; `sync` is the socket number the stage reports on.
  Result<Fd> seal(int sync) const;

 private:
  struct Pending {
    stage::PlanStep step;
    uint32_t data_args;  // bit n: args[n] is an offset into data_
  };
  std::vector<Pending> steps_;
  std::string data_;
  std::vector<uint64_t> pointers_;  // offsets in data_ of values that are themselves offsets
};

// The error that a stage's report (stage::StageReport and label, without its first byte) stands for.
Error decode_report(std::string_view body);

// Executes the stage with the plan in `plan_fd`; returns only on failure. `program` is a memfd from
// stage_program(), made beforehand so that this needs no file system.
Result<Fd> stage_program();
Error execute_stage(int program, int plan_fd);

}  // namespace proa::oci::runtime
