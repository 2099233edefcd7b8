// The plan: the last steps of a container process, as data.
//
// The process that will become the user's program must not keep running the host's binary: whoever
// can open its /proc/PID/exe could write to it (CVE-2019-5736). So, after the mounts are made, it
// executes the stage: a few KiB of static code in a sealed memfd. The stage maps the plan (another
// sealed memfd) and performs it: plain system calls with fixed arguments, and the few special steps
// below. A plan is position-fixed: pointers in it are absolute, for a mapping at kPlanBase.
#pragma once

#include <cstdint>

namespace proa::oci::stage {

inline constexpr uint64_t kPlanBase = 0x2000000000;
inline constexpr uint64_t kPlanMagic = 0x31656761747370;  // "pstage1"

enum class Step : int64_t {
  kReady = -1,       // tell the creator that the container is created: "R" on `sync`, "k" back, then close it
  kAwaitStart = -2,  // accept on args[0] until a peer sends "s"; that connection takes reports from then on
  kExecute = -3,     // args: candidate paths (null-terminated array), argv, envp
  kNotifyFd = -4,  // report the result of the step before (a seccomp listener): "N" + int32 on `sync`, wait for a byte
  kWriteLabel = -5,  // args: root of a procfs, path below it, text, length: open, write, close. The kernel
                     // takes such a write only from the memory image that opened the file (proc_pid_attr(5)).
};

enum StepFlags : uint32_t {
  kFatal = 0,
  kMayFail = 1,
};

struct PlanStep {
  int64_t nr;  // system call number, or a Step
  uint64_t args[6];
  uint32_t flags;
  uint32_t label;  // which part of the configuration this serves; reported on failure
};

struct PlanHeader {
  uint64_t magic;
  uint64_t size;   // whole mapping, bytes
  uint32_t steps;  // PlanStep[steps] follows
  int32_t sync;    // creator's socket, -1 when there is none
};

// What the stage sends when a step fails: this head, then the step's label.
struct StageReport {
  char kind;  // 'S'
  char pad[3];
  int32_t error;  // errno
};
inline constexpr uint32_t kMaxLabel = 240;

}  // namespace proa::oci::stage
