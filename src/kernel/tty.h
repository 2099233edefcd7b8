// Terminals: a pty pair of the container's own devpts, /dev/console, window size, raw mode, and the
// relay between a user's terminal and a foreground container.
//
// A container can put anything at its /dev/pts/N and /dev/console paths while a runtime works there
// (CVE-2025-52565 class). So the slave is opened through its master (TIOCGPTPEER), checked, and only
// ever referred to by that descriptor; no path of it is opened again.
#pragma once

#include <termios.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

struct PtyPair {
  Fd master, slave;
};
// A new pair of the devpts instance whose root folder is `devpts` (O_PATH will do). Refuses a folder
// that is not the root of a devpts, and a "ptmx" in it that is not the device. Neither becomes the
// caller's controlling terminal.
Result<PtyPair> open_pty(int devpts);
// Whether `fd` is a pty's slave on a devpts; the error says why not.
Result<> check_pty_slave(int fd);

// Binds the slave over "console" in the folder `dev`, which is made when missing; links are refused.
Result<> mount_console(int slave, int dev);
// Makes `tty` the controlling terminal of the calling session leader.
Result<> set_controlling_terminal(int tty);
// Makes `fd` the process's standard input, output and error.
Result<> use_as_standard_streams(int fd);

struct WindowSize {
  uint16_t rows = 0, columns = 0;
};
Result<> set_window_size(int tty, WindowSize size);
Result<WindowSize> window_size(int tty);

// Puts a terminal in raw mode and back as it was.
class RawMode {
 public:
  static Result<RawMode> enter(int tty);  // borrowed; must outlive this
  RawMode(RawMode&& other) noexcept;
  RawMode& operator=(RawMode&& other) noexcept;
  ~RawMode() { restore(); }
  void restore();

 private:
  RawMode(int tty, const termios& saved) : tty_(tty), saved_(saved) {}
  int tty_ = -1;
  termios saved_{};
};

// Copies between the caller's standard streams and a container's terminal. If one of the streams is a
// terminal, that is raw meanwhile and gives the size; otherwise output lines end in plain newlines. A
// terminal has no end of input but the character that says so: after the end of ours, that character is
// typed whenever the container has read all there was. One thread. SIGPIPE must be ignored or blocked.
//
//   TerminalRelay relay = TRY(TerminalRelay::start(std::move(master)));
//   for (;;) {
//     size_t which = TRY(relay.copy_until({signals, pidfd}));
//     if (which == 0) ... on SIGWINCH relay.resize()
//     else break;
//   }
//   relay.finish();
class TerminalRelay {
 public:
  struct Streams {
    int in = 0, out = 1, error = 2;  // borrowed
  };
  // Takes the pty's master.
  static Result<TerminalRelay> start(Fd master, Streams streams = {0, 1, 2});
  TerminalRelay(TerminalRelay&&) noexcept = default;
  TerminalRelay& operator=(TerminalRelay&&) noexcept = default;

  // Copies until one of the descriptors `wake` is readable (or hung up) and returns its index. The end
  // of the terminal or of the input does not end it.
  Result<size_t> copy_until(std::span<const int> wake);
  // Gives the container's terminal the size of the caller's. On SIGWINCH.
  void resize();
  // When the container is gone: writes out what its terminal still holds, and leaves raw mode.
  void finish();

 private:
  // Bytes on their way; at most kCapacity.
  class Queue {
   public:
    static constexpr size_t kCapacity = 32u << 10;
    bool empty() const { return begin_ == end_; }
    size_t room() const { return kCapacity - (end_ - begin_); }
    // Reads what fits, writes what it can. As read(2) and write(2), but -errno on failure.
    long read_from(int fd);
    long write_to(int fd);
    void push(char byte);
    void clear() { begin_ = end_ = 0; }

   private:
    void compact();
    std::vector<char> bytes_ = std::vector<char>(kCapacity);
    size_t begin_ = 0, end_ = 0;
  };

  TerminalRelay(Fd master, Streams streams) : master_(std::move(master)), streams_(streams) {}
  Result<> adopt_host_terminal();
  void read_input();
  void offer_end();
  void read_master();
  void write_master();
  void write_output();

  Fd master_;  // invalid once the container's side has hung up
  Streams streams_;
  std::vector<RawMode> raw_;  // none or one
  int host_terminal_ = -1;
  bool input_open_ = true, output_open_ = true;
  int offer_delay_ms_ = 0;  // until the next look whether the end of input is to be told
  Queue to_container_, to_user_;
};

}  // namespace proa::kernel
