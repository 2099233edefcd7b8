// System calls without a libc: proa-shim links none, as a static glibc alone costs more memory than
// a whole shim may (docs/shim.md). Each function answers a value >= 0 or a negative errno.
//
// Ownership: descriptors are plain ints here; the process is one thread that holds all of them until
// it ends. Every descriptor is close-on-exec unless said otherwise.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace proa::shim::sys {

long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

// Files. Interrupted calls are taken up again.
long read(int fd, void* to, size_t size);
long pread(int fd, void* to, size_t size, off_t offset);
long write(int fd, const void* from, size_t size);
// All of it, or a negative errno; `done` tells how much was written in either case.
long write_all(int fd, const void* from, size_t size, size_t* done = nullptr);
int open(int dir, const char* path, int flags, mode_t mode = 0);
void close(int fd);
void close_range(unsigned first, unsigned last, unsigned flags);
int pipe(int ends[2]);
int duplicate(int fd, int onto);  // not close-on-exec
int duplicate_above(int fd, int least);
long set_nonblocking(int fd);
long keep_on_exec(int fd, bool keep);
long truncate(int fd, off_t size);
long stat(int fd, struct stat* to);
long rename(int dir, const char* from, const char* to);
long unlink(int dir, const char* name, int flags = 0);
long make_dir(const char* path, mode_t mode);
long lock(int fd);  // exclusive, without waiting
long sync(int fd);
long change_dir(int fd);
long current_dir(char* to, size_t size);  // length with the NUL
mode_t set_umask(mode_t mask);
long set_mode(int fd, mode_t mode);

// Processes and threads.
// `child`: has the child's id before the child runs; null: not wanted.
long fork(int* child = nullptr);
// Runs a thread on `stack`, which ends with `run`. A negative errno if it could not be made.
long start_thread(void (*run)(void*), void* argument, char* stack, size_t size);
// While *word is `expected`: until it is woken, for so many milliseconds (-1: for ever), or for no reason.
void futex_wait(const std::atomic<uint32_t>* word, uint32_t expected, int milliseconds);
void futex_wake(const std::atomic<uint32_t>* word);  // all who wait
long exec(const char* path, const char* const* argv, const char* const* env);
[[noreturn]] void quit(int status);
// waitid(2) for ended children; without a wait when `options` has WNOHANG. `info` has si_pid 0 when there is none.
long wait(idtype_t kind, id_t id, siginfo_t* info, int options);
long kill(int pid, int signal);
int process_id();
long set_option(int option, unsigned long value);  // prctl
void new_session();
// Blocks every signal and answers the mask there was before.
uint64_t block_signals();
void set_signal_mask(uint64_t mask);
void default_action(int signal);
int signal_fd(int signal);

// Events and sockets.
int epoll_create();
long epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data);
long epoll_wait(int epoll, epoll_event* events, int most, int milliseconds);
long poll(pollfd* fds, size_t count, int milliseconds);
// A stream socket listening at `name` in the current folder, mode 0600.
int listen_at(const char* name, int backlog);
int accept(int listener, int flags);
long receive(int fd, void* to, size_t size, int flags);
long send(int fd, const msghdr* message, int flags);
long receive_message(int fd, msghdr* message, int flags);
long set_socket_option(int fd, int option, int value);
long shut_down(int fd, int how);
long control(int fd, unsigned long request, const void* argument);  // ioctl
long control(int fd, unsigned long request, long argument);

timespec now(clockid_t clock);
int64_t milliseconds();  // on the monotonic clock
void* map(size_t size);  // fresh zeroed memory, or nullptr
void drop_pages(void* from, size_t size);

}  // namespace proa::shim::sys
