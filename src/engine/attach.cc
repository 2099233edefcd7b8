#include "engine/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/text.h"
#include "engine/shim_client.h"
#include "kernel/file.h"
#include "kernel/tty.h"

namespace proa::engine {
namespace {

constexpr size_t kHeader = 8;
constexpr size_t kMostPending = 256u << 10;

// Not those that mean something to us alone, or that only the kernel should send.
bool passed_on(int signal) {
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case SIGCHLD:
    case SIGPIPE:
    case SIGURG:
    case SIGTTIN:
    case SIGTTOU:
    case SIGTSTP:
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS: return false;
    default: return signal > 0 && signal < 32;
  }
}

sigset_t watched(bool proxy) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGWINCH);
  if (proxy)
    for (int signal = 1; signal < 32; ++signal)
      if (passed_on(signal)) ::sigaddset(&set, signal);
  return set;
}

Result<> write_out(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
      continue;
    }
    if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return fail_errno(errno, "write the container's output");
    }
  }
  return {};
}

}  // namespace

Result<std::string> parse_detach_keys(const std::string& text) {
  std::string out;
  for (const std::string_view key : split(text, ',')) {
    if (key.size() == 1) {
      out += key;
    } else if (key.starts_with("ctrl-") && key.size() == 6) {
      const char c = key[5];
      if (c >= 'a' && c <= 'z')
        out += static_cast<char>(c - 'a' + 1);
      else if (c == '@')
        out += '\0';
      else if (c >= '[' && c <= '_')
        out += static_cast<char>(c - '@');
      else
        return fail("Invalid escape keys (", text, ") provided: '", key, "'");
    } else if (key == "DEL") {
      out += '\x7f';
    } else {
      return fail("Invalid escape keys (", text, ") provided: '", key, "'")
          .hint("a letter, or ctrl- and one of a-z @ [ \\ ] ^ _");
    }
  }
  return out;
}

std::string attach_line(bool in, bool out, bool err) {
  return cat("attach", in ? " stdin" : "", out ? " stdout" : "", err ? " stderr" : "", " exit patience=forever");
}

Result<AttachSession> AttachSession::connect(const std::string& shim_folder, const AttachOptions& options) {
  return adopt(TRY(shim_attach(shim_folder, attach_line(options.in, options.out, options.err))), shim_folder, options);
}

Result<AttachSession> AttachSession::adopt(Fd socket, const std::string& shim_folder, const AttachOptions& options) {
  AttachSession out;
  out.options_ = options;
  out.folder_ = shim_folder;
  if (options.tty && options.in) out.keys_ = TRY(parse_detach_keys(options.detach_keys));
  out.socket_ = std::move(socket);
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched(options.proxy_signals);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  out.signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!out.signals_) return fail_errno(errno, "signalfd");
  out.input_open_ = options.in;
  ::fcntl(out.socket_.get(), F_SETFL, O_NONBLOCK);
  if (options.tty) out.resize();
  return out;
}

void AttachSession::resize() const {
  for (const int fd : {STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO}) {
    const auto size = ::isatty(fd) != 0 ? kernel::window_size(fd) : Result<kernel::WindowSize>(fail("no terminal"));
    if (!size || size->rows == 0) continue;
    (void)shim_command(folder_, cat("resize ", size->rows, " ", size->columns));
    return;
  }
}

void AttachSession::on_signal() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH) {
      if (options_.tty) resize();
    } else if (options_.proxy_signals) {
      (void)shim_command(folder_, cat("signal ", signal));
    }
  }
}

Result<> AttachSession::read_input(AttachEnd& end, bool& over) {
  std::array<char, 32768> bytes;
  const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got <= 0) {
    input_open_ = false;
    return {};
  }
  std::string_view read(bytes.data(), static_cast<size_t>(got));
  if (keys_.empty()) {
    to_container_ += read;
    return {};
  }
  for (const char c : read) {
    if (c == keys_[matched_]) {
      if (++matched_ == keys_.size()) {
        end.detached = over = true;
        return {};
      }
      continue;
    }
    // What only began like the sequence was meant for the program.
    to_container_.append(keys_, 0, matched_);
    matched_ = c == keys_[0] ? 1 : 0;
    if (matched_ == 0) to_container_ += c;
  }
  return {};
}

Result<> AttachSession::read_frames(AttachEnd& end, bool& over) {
  std::array<char, 65536> bytes;
  const ssize_t got = ::read(socket_.get(), bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got <= 0) {
    over = true;
    return {};
  }
  frames_.append(bytes.data(), static_cast<size_t>(got));
  size_t at = 0;
  while (frames_.size() - at >= kHeader) {
    const auto* head = reinterpret_cast<const unsigned char*>(frames_.data() + at);
    const size_t size = size_t{head[4]} << 24 | size_t{head[5]} << 16 | size_t{head[6]} << 8 | head[7];
    if (head[0] == 3) {
      if (frames_.size() - at - kHeader < size) break;
      const ExitRecord record = TRY(parse_exit_record(std::string_view(frames_).substr(at + kHeader, size)));
      end.exit_code = static_cast<int>(record.exit_code);
      over = true;
      return {};
    }
    // Output is handed on as it comes; only the header has to be whole.
    const size_t have = std::min(frames_.size() - at - kHeader, size);
    if (have < size && have < 65536 && frames_.size() < kMostPending) break;
    TRY(write_out(head[0] == 2 ? STDERR_FILENO : STDOUT_FILENO, std::string_view(frames_).substr(at + kHeader, have)));
    if (have < size) {
      // The rest keeps a header of its own.
      const size_t left = size - have;
      std::array<char, kHeader> rest = {static_cast<char>(head[0]),
                                        0,
                                        0,
                                        0,
                                        static_cast<char>(left >> 24),
                                        static_cast<char>(left >> 16),
                                        static_cast<char>(left >> 8),
                                        static_cast<char>(left)};
      frames_.assign(rest.data(), rest.size());
      return {};
    }
    at += kHeader + size;
  }
  frames_.erase(0, at);
  return {};
}

Result<> AttachSession::step(AttachEnd& end, bool& over) {
  std::array<pollfd, 4> waits = {
      pollfd{signals_.get(), POLLIN, 0}, pollfd{socket_.get(), POLLIN, 0},
      pollfd{input_open_ && to_container_.size() < kMostPending ? STDIN_FILENO : -1, POLLIN, 0},
      pollfd{to_container_.empty() ? -1 : socket_.get(), POLLOUT, 0}};
  if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
  if (waits[0].revents != 0) on_signal();
  if (waits[1].revents != 0) TRY(read_frames(end, over));
  if (over) return {};
  if (waits[2].revents != 0) TRY(read_input(end, over));
  if (!to_container_.empty()) {
    const ssize_t wrote = ::send(socket_.get(), to_container_.data(), to_container_.size(), MSG_NOSIGNAL);
    if (wrote > 0) to_container_.erase(0, static_cast<size_t>(wrote));
    if (wrote < 0 && errno != EAGAIN && errno != EINTR) to_container_.clear(), input_open_ = false;
  }
  return {};
}

Result<AttachEnd> AttachSession::run() {
  std::optional<kernel::RawMode> raw;
  if (options_.tty && options_.in && ::isatty(STDIN_FILENO) != 0)
    raw.emplace(TRY(kernel::RawMode::enter(STDIN_FILENO)));
  AttachEnd end;
  bool over = false, told_end = !options_.in;
  while (!over) {
    TRY(step(end, over));
    if (!input_open_ && !told_end && to_container_.empty()) {
      told_end = true;
      ::shutdown(socket_.get(), SHUT_WR);
    }
  }
  return end;
}

}  // namespace proa::engine
