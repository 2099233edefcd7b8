// The stage program: see plan.h. Freestanding: no libc, no data, no relocations.
#include <asm/unistd.h>
#include <linux/errno.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

namespace {

using namespace proa::oci::stage;

constexpr int kProtRead = 1;
constexpr int kMapPrivate = 2, kMapFixedNoReplace = 0x100000;
constexpr int kSockCloexec = 02000000;
constexpr int kMsgNosignal = 0x4000;

long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long answer;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(answer)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return answer;
}

[[noreturn]] void quit(int status) {
  for (;;) call(__NR_exit_group, status);
}

// Where failures go: the creator's socket, later the starter's.
int reports_to = -1;

void send(int fd, const void* data, size_t size) {
  if (fd >= 0) call(__NR_sendto, fd, reinterpret_cast<long>(data), static_cast<long>(size), kMsgNosignal);
}

[[noreturn]] void give_up(const char* label, long error) {
  struct {
    StageReport head;
    char label[kMaxLabel];
  } report;
  report.head = {'S', {0, 0, 0}, static_cast<int32_t>(error)};
  uint32_t length = 0;
  for (; label[length] != 0 && length < kMaxLabel; ++length) report.label[length] = label[length];
  send(reports_to, &report, sizeof report.head + length);
  quit(error == ENOENT ? 127 : error == EACCES ? 126 : 1);
}

long await_start(int listener) {
  for (;;) {
    const long peer = call(__NR_accept4, listener, 0, 0, kSockCloexec);
    if (peer == -EINTR) continue;
    if (peer < 0) return peer;
    char order = 0;
    long got;
    do got = call(__NR_read, peer, reinterpret_cast<long>(&order), 1);
    while (got == -EINTR);
    if (got == 1 && order == 's') {
      reports_to = static_cast<int>(peer);
      call(__NR_close, listener);
      return 0;
    }
    // Someone only asked whether we are waiting.
    call(__NR_close, peer);
  }
}

// The PATH search of execvpe(3), with the candidates already spelled out.
long execute(const uint64_t* candidates, uint64_t argv, uint64_t env) {
  long worst = -ENOENT;
  for (; *candidates != 0; ++candidates) {
    const long error =
        call(__NR_execve, static_cast<long>(*candidates), static_cast<long>(argv), static_cast<long>(env));
    if (error != -ENOENT && error != -ENOTDIR) worst = error;
    if (error != -ENOENT && error != -ENOTDIR && error != -EACCES) break;
  }
  return worst;
}

long notify_fd(int sync, long fd) {
  struct {
    char kind;
    char pad[3];
    int32_t fd;
  } message = {'N', {0, 0, 0}, static_cast<int32_t>(fd)};
  send(sync, &message, sizeof message);
  char answer = 0;
  long got;
  do got = call(__NR_read, sync, reinterpret_cast<long>(&answer), 1);
  while (got == -EINTR);
  call(__NR_close, fd);
  return got == 1 ? 0 : -EPIPE;
}

long write_label(int proc, uint64_t path, uint64_t text, uint64_t length) {
  constexpr long kWriteOnlyCloexec = 02000001;
  const long fd = call(__NR_openat, proc, static_cast<long>(path), kWriteOnlyCloexec);
  if (fd < 0) return fd;
  const long wrote = call(__NR_write, fd, static_cast<long>(text), static_cast<long>(length));
  call(__NR_close, fd);
  return wrote;
}

long perform(const PlanHeader& plan, const PlanStep& step, long previous) {
  const uint64_t* a = step.args;
  switch (static_cast<Step>(step.nr)) {
    case Step::kReady: {
      const char ready = 'R';
      send(plan.sync, &ready, 1);
      char answer = 0;
      long got;
      do got = call(__NR_read, plan.sync, reinterpret_cast<long>(&answer), 1);
      while (got == -EINTR);
      if (got != 1 || answer != 'k') quit(1);  // the creator is gone, and nobody knows of us
      call(__NR_close, plan.sync);
      reports_to = -1;
      return 0;
    }
    case Step::kAwaitStart: return await_start(static_cast<int>(a[0]));
    case Step::kExecute: return execute(reinterpret_cast<const uint64_t*>(a[0]), a[1], a[2]);
    case Step::kWriteLabel: return write_label(static_cast<int>(a[0]), a[1], a[2], a[3]);
    case Step::kNotifyFd: return notify_fd(plan.sync, previous);
  }
  return call(static_cast<long>(step.nr), static_cast<long>(a[0]), static_cast<long>(a[1]), static_cast<long>(a[2]),
              static_cast<long>(a[3]), static_cast<long>(a[4]), static_cast<long>(a[5]));
}

}  // namespace

// argv[0] is "proa-stage"; argv[1] holds the plan's descriptor in decimal.
extern "C" [[noreturn]] void stage_main(const long* stack) {
  const char* text = reinterpret_cast<const char*>(stack[2]);
  int fd = 0;
  for (; *text >= '0' && *text <= '9'; ++text) fd = fd * 10 + (*text - '0');
  // The header's size field is what bounds the mapping; the memfd is sealed by its maker.
  uint64_t head[2] = {0, 0};
  call(__NR_pread64, fd, reinterpret_cast<long>(head), sizeof head, 0);
  if (head[0] != kPlanMagic) quit(125);
  const long at = call(__NR_mmap, static_cast<long>(kPlanBase), static_cast<long>(head[1]), kProtRead,
                       kMapPrivate | kMapFixedNoReplace, fd, 0);
  if (at != static_cast<long>(kPlanBase)) quit(125);
  call(__NR_close, fd);
  const auto& plan = *reinterpret_cast<const PlanHeader*>(at);
  const auto* steps = reinterpret_cast<const PlanStep*>(&plan + 1);
  reports_to = plan.sync;
  long previous = 0;
  for (uint32_t i = 0; i < plan.steps; ++i) {
    previous = perform(plan, steps[i], previous);
    if (previous < 0 && (steps[i].flags & kMayFail) == 0)
      give_up(reinterpret_cast<const char*>(kPlanBase + steps[i].label), -previous);
  }
  quit(125);
}

asm(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call stage_main\n");
