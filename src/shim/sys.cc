#include "shim/sys.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <concepts>
#include <type_traits>

#if !defined(__x86_64__)
#error "proa-shim makes its system calls itself and knows x86-64 only"
#endif

namespace proa::shim::sys {
namespace {

long raw(const void* pointer) { return reinterpret_cast<long>(pointer); }
long raw(std::nullptr_t) { return 0; }
template <typename T>
  requires(std::integral<T> || std::is_enum_v<T>)
long raw(T value) {
  return static_cast<long>(value);
}

template <typename... Args>
long invoke(long nr, Args... args) {
  return call(nr, raw(args)...);
}

template <typename... Args>
long restarted(long nr, Args... args) {
  long answer;
  do answer = call(nr, raw(args)...);
  while (answer == -EINTR);
  return answer;
}

constexpr size_t kSignalSet = 8;  // the kernel's, not glibc's

}  // namespace

long call(long nr, long a, long b, long c, long d, long e, long f) {
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

long read(int fd, void* to, size_t size) { return restarted(SYS_read, fd, to, size); }
long pread(int fd, void* to, size_t size, off_t offset) { return restarted(SYS_pread64, fd, to, size, offset); }
long write(int fd, const void* from, size_t size) { return restarted(SYS_write, fd, from, size); }

long write_all(int fd, const void* from, size_t size, size_t* done) {
  size_t written = 0;
  long answer = 0;
  while (written < size) {
    answer = write(fd, static_cast<const char*>(from) + written, size - written);
    if (answer <= 0) break;
    written += static_cast<size_t>(answer);
  }
  if (done != nullptr) *done = written;
  if (written == size) return 0;
  return answer == 0 ? -EIO : answer;
}

int open(int dir, const char* path, int flags, mode_t mode) {
  return static_cast<int>(restarted(SYS_openat, dir, path, flags | O_CLOEXEC, mode));
}
void close(int fd) {
  if (fd >= 0) invoke(SYS_close, fd);
}
void close_range(unsigned first, unsigned last, unsigned flags) { invoke(SYS_close_range, first, last, flags); }
int pipe(int ends[2]) { return static_cast<int>(invoke(SYS_pipe2, ends, O_CLOEXEC)); }
int duplicate(int fd, int onto) {
  if (fd == onto) return static_cast<int>(keep_on_exec(fd, true));
  return static_cast<int>(invoke(SYS_dup3, fd, onto, 0));
}
int duplicate_above(int fd, int least) { return static_cast<int>(invoke(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least)); }
long set_nonblocking(int fd) {
  const long flags = invoke(SYS_fcntl, fd, F_GETFL, 0);
  return flags < 0 ? flags : invoke(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}
long keep_on_exec(int fd, bool keep) { return invoke(SYS_fcntl, fd, F_SETFD, keep ? 0 : FD_CLOEXEC); }
long truncate(int fd, off_t size) { return invoke(SYS_ftruncate, fd, size); }
long stat(int fd, struct stat* to) { return invoke(SYS_fstat, fd, to); }
long rename(int dir, const char* from, const char* to) { return invoke(SYS_renameat, dir, from, dir, to); }
long unlink(int dir, const char* name, int flags) { return invoke(SYS_unlinkat, dir, name, flags); }
long make_dir(const char* path, mode_t mode) { return invoke(SYS_mkdirat, AT_FDCWD, path, mode); }
long lock(int fd) { return restarted(SYS_flock, fd, LOCK_EX | LOCK_NB); }
long sync(int fd) { return restarted(SYS_fsync, fd); }
long change_dir(int fd) { return invoke(SYS_fchdir, fd); }
long current_dir(char* to, size_t size) { return invoke(SYS_getcwd, to, size); }
mode_t set_umask(mode_t mask) { return static_cast<mode_t>(invoke(SYS_umask, mask)); }
long set_mode(int fd, mode_t mode) { return invoke(SYS_fchmod, fd, mode); }

long fork(int* child) { return invoke(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID, nullptr, child, nullptr, 0); }

// clone(2) comes back twice, the second time on the new stack, where only what was put there can be relied on.
long start_thread(void (*run)(void*), void* argument, char* stack, size_t size) {
  constexpr long kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  void* const words[] = {argument, reinterpret_cast<void*>(run)};
  char* const top = stack + (size & ~size_t{15}) - sizeof words;
  __builtin_memcpy(top, words, sizeof words);
  long answer;
  register long r10 asm("r10") = 0;
  register long r8 asm("r8") = 0;
  asm volatile(
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%ebp, %%ebp\n"
      "pop %%rdi\n"
      "pop %%rax\n"
      "call *%%rax\n"
      "xor %%edi, %%edi\n"
      "mov %[exit], %%eax\n"
      "syscall\n"
      "hlt\n"
      "1:"
      : "=a"(answer)
      : "a"(SYS_clone), "D"(kFlags), "S"(top), "d"(0), "r"(r10), "r"(r8), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory");
  return answer;
}

void futex_wait(const std::atomic<uint32_t>* word, uint32_t expected, int milliseconds) {
  const timespec limit = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000L};
  invoke(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, milliseconds < 0 ? nullptr : &limit);
}
void futex_wake(const std::atomic<uint32_t>* word) { invoke(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX); }

long exec(const char* path, const char* const* argv, const char* const* env) {
  return invoke(SYS_execve, path, static_cast<const void*>(argv), static_cast<const void*>(env));
}
void quit(int status) {
  for (;;) invoke(SYS_exit_group, status);
}
long wait(idtype_t kind, id_t id, siginfo_t* info, int options) {
  info->si_pid = 0;
  return restarted(SYS_waitid, kind, id, info, options | WEXITED, nullptr);
}
long kill(int pid, int signal) { return invoke(SYS_kill, pid, signal); }
int process_id() { return static_cast<int>(invoke(SYS_getpid)); }
long set_option(int option, unsigned long value) { return invoke(SYS_prctl, option, value, 0, 0, 0); }
void new_session() { invoke(SYS_setsid); }

uint64_t block_signals() {
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  invoke(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kSignalSet);
  return before;
}
void set_signal_mask(uint64_t mask) { invoke(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, kSignalSet); }
void default_action(int signal) {
  const struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } action = {};  // SIG_DFL is null
  invoke(SYS_rt_sigaction, signal, &action, nullptr, kSignalSet);
}
int signal_fd(int signal) {
  const uint64_t set = uint64_t{1} << (signal - 1);
  return static_cast<int>(invoke(SYS_signalfd4, -1, &set, kSignalSet, SFD_CLOEXEC | SFD_NONBLOCK));
}

int epoll_create() { return static_cast<int>(invoke(SYS_epoll_create1, EPOLL_CLOEXEC)); }
long epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  epoll_event event = {.events = events, .data = {.u64 = data}};
  return invoke(SYS_epoll_ctl, epoll, operation, fd, &event);
}
long epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) {
  return invoke(SYS_epoll_wait, epoll, events, most, milliseconds);
}
long poll(pollfd* fds, size_t count, int milliseconds) { return invoke(SYS_poll, fds, count, milliseconds); }

int listen_at(const char* name, int backlog) {
  const long fd = invoke(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return static_cast<int>(fd);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  for (size_t i = 0; name[i] != 0 && i + 1 < sizeof address.sun_path; ++i) address.sun_path[i] = name[i];
  const mode_t mask = set_umask(0177);
  long error = invoke(SYS_bind, fd, &address, sizeof address);
  set_umask(mask);
  if (error == 0) error = invoke(SYS_listen, fd, backlog);
  if (error == 0) return static_cast<int>(fd);
  close(static_cast<int>(fd));
  return static_cast<int>(error);
}
int accept(int listener, int flags) {
  return static_cast<int>(restarted(SYS_accept4, listener, nullptr, nullptr, flags | SOCK_CLOEXEC));
}
long receive(int fd, void* to, size_t size, int flags) {
  return restarted(SYS_recvfrom, fd, to, size, flags, nullptr, nullptr);
}
long send(int fd, const msghdr* message, int flags) {
  return restarted(SYS_sendmsg, fd, message, flags | MSG_NOSIGNAL);
}
long receive_message(int fd, msghdr* message, int flags) {
  return restarted(SYS_recvmsg, fd, message, flags | MSG_CMSG_CLOEXEC);
}
long set_socket_option(int fd, int option, int value) {
  return invoke(SYS_setsockopt, fd, SOL_SOCKET, option, &value, sizeof value);
}
long shut_down(int fd, int how) { return invoke(SYS_shutdown, fd, how); }
long control(int fd, unsigned long request, const void* argument) { return invoke(SYS_ioctl, fd, request, argument); }
long control(int fd, unsigned long request, long argument) { return invoke(SYS_ioctl, fd, request, argument); }

timespec now(clockid_t clock) {
  timespec time = {};
  invoke(SYS_clock_gettime, clock, &time);
  return time;
}
int64_t milliseconds() {
  const timespec time = now(CLOCK_MONOTONIC);
  return int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}
void* map(size_t size) {
  const long at = invoke(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at < 0 && at > -4096 ? nullptr : reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr)
}
void drop_pages(void* from, size_t size) { invoke(SYS_madvise, from, size, MADV_DONTNEED); }

}  // namespace proa::shim::sys
