#include "kernel/tty.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kIoctl{SYS_ioctl, "ioctl", "dxp"};
constexpr CallShape kIoctlNumber{SYS_ioctl, "ioctl", "dxx"};
constexpr CallShape kOpenat2{SYS_openat2, "openat2", "dspd"};
constexpr CallShape kMknodat{SYS_mknodat, "mknodat", "dsod"};
constexpr CallShape kDup3{SYS_dup3, "dup3", "ddx"};

// Numbers that devpts gives its files (fs/devpts/inode.c, Documentation/admin-guide/devices.txt).
constexpr ino_t kRootInode = 1;
constexpr ino_t kPtmxInode = 2;
constexpr unsigned kPtmxMajor = 5, kPtmxMinor = 2;
constexpr unsigned kSlaveMajorFirst = 136, kSlaveMajorLast = 143;

// What a terminal takes at once without blocking, once poll says that it takes anything.
constexpr size_t kWriteAtOnce = 4096;
// How long the container's terminal is left alone before the end of input is offered; doubled each time.
constexpr int kOfferDelayMin = 20, kOfferDelayMax = 10'000;
// finish() stops after this much: a process left behind could write for ever.
constexpr size_t kFinishLimit = 1u << 20;

Result<struct stat> stat_on_devpts(int fd, const char* what) {
  struct statfs filesystem{};
  if (::fstatfs(fd, &filesystem) != 0) return fail_errno(errno, what);
  if (filesystem.f_type != DEVPTS_SUPER_MAGIC) return fail(what, ": not on a devpts");
  return stat_fd(fd);
}

Result<> check_ptmx(int fd) {
  const struct stat info = TRY(stat_on_devpts(fd, "ptmx"));
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(kPtmxMajor, kPtmxMinor) || info.st_ino != kPtmxInode)
    return fail("ptmx: not the pty multiplexer");
  return {};
}

Result<Fd> open_ptmx(int devpts) {
  const struct stat root = TRY(stat_on_devpts(devpts, "pts folder"));
  if (!S_ISDIR(root.st_mode) || root.st_ino != kRootInode) return fail("pts folder: not the root of a devpts");
  // Nothing can be made or renamed in a devpts, and nothing mounted over "ptmx" is crossed into: what
  // is opened is the device itself.
  const open_how how{.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
                     .mode = 0,
                     .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  Fd master = TRY(check_fd(call(kOpenat2, devpts, "ptmx", &how, sizeof how), "open ptmx"));
  TRY(check_ptmx(master.get()));
  return master;
}

Result<termios> attributes(int tty) {
  termios now{};
  if (::tcgetattr(tty, &now) != 0) return fail_errno(errno, "read terminal settings");
  return now;
}

// Cleared where the output is no terminal: files and pipes get "\n", not "\r\n".
void clear_onlcr(int tty) {
  Result<termios> now = attributes(tty);
  if (!now) return;
  now->c_oflag &= ~static_cast<tcflag_t>(ONLCR);
  ::tcsetattr(tty, TCSANOW, &*now);
}

}  // namespace

Result<PtyPair> open_pty(int devpts) {
  PtyPair pair;
  pair.master = TRY(open_ptmx(devpts));
  const int unlocked = 0;
  TRY(check_ok(call(kIoctl, pair.master.get(), TIOCSPTLCK, &unlocked), "unlock the pty"));
  pair.slave = TRY(check_fd(call(kIoctlNumber, pair.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC),
                            "open the pty's other end"));
  TRY(check_pty_slave(pair.slave.get()));
  return pair;
}

Result<> check_pty_slave(int fd) {
  const struct stat info = TRY(stat_on_devpts(fd, "pty"));
  const unsigned major_number = major(info.st_rdev);
  if (!S_ISCHR(info.st_mode) || major_number < kSlaveMajorFirst || major_number > kSlaveMajorLast)
    return fail("pty: not a terminal's device");
  return {};
}

Result<> mount_console(int slave, int dev) {
  TRY(check_pty_slave(slave));
  const long made = call(kMknodat, dev, "console", S_IFREG | 0600, 0);
  if (made != -EEXIST) TRY(check_ok(made, "make /dev/console"));
  Fd target = TRY_CTX(open_beneath_no_links(dev, "console", O_PATH | O_NOFOLLOW), "/dev/console");
  const struct stat info = TRY(stat_fd(target.get()));
  if (S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode)) return fail("/dev/console: a folder or a link is in the way");
  Fd bind = TRY_CTX(clone_tree(slave, false), "bind the pty");
  return attach(bind.get(), target.get());
}

Result<> set_controlling_terminal(int tty) {
  return check_ok(call(kIoctlNumber, tty, TIOCSCTTY, 0), "make the terminal the controlling one");
}

Result<> use_as_standard_streams(int fd) {
  for (int stream = 0; stream < 3; ++stream)
    if (fd != stream) TRY(check_ok(call(kDup3, fd, stream, 0), "standard stream ", stream));
  return {};
}

Result<> set_window_size(int tty, WindowSize size) {
  const winsize raw{.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  return check_ok(call(kIoctl, tty, TIOCSWINSZ, &raw), "set the terminal's size");
}

Result<WindowSize> window_size(int tty) {
  winsize raw{};
  TRY(check_ok(call(kIoctl, tty, TIOCGWINSZ, &raw), "read the terminal's size"));
  return WindowSize{.rows = raw.ws_row, .columns = raw.ws_col};
}

Result<RawMode> RawMode::enter(int tty) {
  const termios saved = TRY(attributes(tty));
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(tty, TCSANOW, &raw) != 0) return fail_errno(errno, "set the terminal to raw mode");
  return RawMode(tty, saved);
}

RawMode::RawMode(RawMode&& other) noexcept : tty_(std::exchange(other.tty_, -1)), saved_(other.saved_) {}

RawMode& RawMode::operator=(RawMode&& other) noexcept {
  if (this != &other) {
    restore();
    tty_ = std::exchange(other.tty_, -1);
    saved_ = other.saved_;
  }
  return *this;
}

void RawMode::restore() {
  if (tty_ >= 0) ::tcsetattr(std::exchange(tty_, -1), TCSANOW, &saved_);
}

void TerminalRelay::Queue::compact() {
  if (begin_ == 0) return;
  std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

long TerminalRelay::Queue::read_from(int fd) {
  compact();
  const ssize_t got = ::read(fd, bytes_.data() + end_, kCapacity - end_);
  if (got < 0) return -errno;
  end_ += static_cast<size_t>(got);
  return got;
}

long TerminalRelay::Queue::write_to(int fd) {
  const ssize_t wrote = ::write(fd, bytes_.data() + begin_, std::min(end_ - begin_, kWriteAtOnce));
  if (wrote < 0) return -errno;
  begin_ += static_cast<size_t>(wrote);
  return wrote;
}

void TerminalRelay::Queue::push(char byte) {
  compact();
  if (room() > 0) bytes_[end_++] = byte;
}

Result<TerminalRelay> TerminalRelay::start(Fd master, Streams streams) {
  TerminalRelay relay(std::move(master), streams);
  // Ours alone, unlike the standard streams: those are shared with the shell and stay blocking.
  const int flags = ::fcntl(relay.master_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(relay.master_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno(errno, "set up the container's terminal");
  if (::isatty(streams.out) == 0) clear_onlcr(relay.master_.get());
  TRY(relay.adopt_host_terminal());
  relay.resize();
  return relay;
}

Result<> TerminalRelay::adopt_host_terminal() {
  for (const int stream : {streams_.in, streams_.out, streams_.error}) {
    if (stream < 0 || ::isatty(stream) == 0) continue;
    host_terminal_ = stream;
    break;
  }
  // Only a terminal that is read from needs its keys unprocessed.
  if (streams_.in >= 0 && ::isatty(streams_.in) != 0) raw_.push_back(TRY(RawMode::enter(streams_.in)));
  return {};
}

void TerminalRelay::resize() {
  if (host_terminal_ < 0 || !master_) return;
  const Result<WindowSize> size = window_size(host_terminal_);
  // A terminal of unknown size (0 x 0) says nothing. Failure: it is going away, which poll will tell.
  if (size && size->rows != 0 && size->columns != 0) static_cast<void>(set_window_size(master_.get(), *size));
}

Result<size_t> TerminalRelay::copy_until(std::span<const int> wake) {
  enum : size_t { kInput, kMaster, kOutput, kStreams };
  std::vector<pollfd> polled(kStreams + wake.size());
  for (size_t i = 0; i < wake.size(); ++i) polled[kStreams + i] = {.fd = wake[i], .events = POLLIN, .revents = 0};
  for (;;) {
    const bool take_input = input_open_ && master_ && to_container_.room() > 0;
    const auto master_events =
        static_cast<short>((to_user_.room() == 0 ? 0 : POLLIN) | (to_container_.empty() ? 0 : POLLOUT));
    polled[kInput] = {.fd = take_input ? streams_.in : -1, .events = POLLIN, .revents = 0};
    // Not even for a hang-up while nothing can be done about it: poll would not sleep.
    polled[kMaster] = {.fd = master_events != 0 ? master_.get() : -1, .events = master_events, .revents = 0};
    polled[kOutput] = {.fd = to_user_.empty() ? -1 : streams_.out, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(polled.data(), polled.size(), input_open_ || !master_ ? -1 : offer_delay_ms_);
    if (ready < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "poll");
    }
    if (ready == 0) offer_end();
    if (polled[kOutput].revents != 0) write_output();
    if ((polled[kMaster].revents & POLLOUT) != 0) write_master();
    if ((polled[kMaster].revents & ~POLLOUT) != 0) read_master();
    if (polled[kInput].revents != 0) read_input();
    for (size_t i = 0; i < wake.size(); ++i)
      if (polled[kStreams + i].revents != 0) return i;
  }
}

void TerminalRelay::read_input() {
  const long got = to_container_.read_from(streams_.in);
  if (got > 0) {
    write_master();
  } else if (got != -EINTR && got != -EAGAIN) {
    input_open_ = false;
    offer_delay_ms_ = kOfferDelayMin;
  }
}

// Types the end-of-file character, unless there is input still to be read: a character typed ahead is
// lost when the reader changes the terminal's mode first, as shells do before each line.
void TerminalRelay::offer_end() {
  offer_delay_ms_ = std::min(2 * offer_delay_ms_, kOfferDelayMax);
  if (!to_container_.empty()) return;
  const Fd slave(static_cast<int>(call(kIoctlNumber, master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)));
  if (!slave) return;
  pollfd unread{.fd = slave.get(), .events = POLLIN, .revents = 0};
  const Result<termios> now = attributes(master_.get());
  if (!now || ::poll(&unread, 1, 0) != 0) return;
  to_container_.push(static_cast<char>(now->c_cc[VEOF]));
  write_master();
}

void TerminalRelay::read_master() {
  const long got = to_user_.read_from(master_.get());
  if (got == -EINTR || got == -EAGAIN) return;
  if (got <= 0) {  // EIO: nobody has the other end any more
    master_.reset();
    to_container_.clear();
    return;
  }
  offer_delay_ms_ = kOfferDelayMin;
  if (!output_open_) to_user_.clear();
}

void TerminalRelay::write_master() {
  const long wrote = to_container_.write_to(master_.get());
  if (wrote < 0 && wrote != -EAGAIN && wrote != -EINTR) to_container_.clear();
}

void TerminalRelay::write_output() {
  const long wrote = to_user_.write_to(streams_.out);
  if (wrote >= 0 || wrote == -EAGAIN || wrote == -EINTR) return;
  // The reader has gone. The container must not block on that.
  output_open_ = false;
  to_user_.clear();
}

void TerminalRelay::finish() {
  size_t total = 0;
  while (output_open_ && total < kFinishLimit) {
    if (to_user_.empty() && master_) read_master();
    if (to_user_.empty()) break;
    pollfd output{.fd = streams_.out, .events = POLLOUT, .revents = 0};
    if (::poll(&output, 1, -1) < 0 && errno != EINTR) break;
    write_output();
    total += kWriteAtOnce;
  }
  raw_.clear();
}

}  // namespace proa::kernel
