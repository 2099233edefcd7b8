#include "guest/session.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "guest/program.h"
#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;

namespace {

// A program and its streams, relayed until it ends.
class Exec {
 public:
  explicit Exec(int connection) : connection_(connection), frames_(kMostData) {}

  shim::Result<uint32_t> run(std::string_view fields) {
    children_ = sys::signal_fd(SIGCHLD);
    if (auto started = start(fields); !started) return std::unexpected(started.error());
    while (!ended_) turn();
    for (int* stream : {&out_, &err_}) {
      if (*stream < 0) continue;
      sys::set_nonblocking(*stream);
      while (forward(stream)) {
      }
    }
    return status_;
  }

 private:
  static constexpr size_t kRoom = 128 << 10;

  shim::Result<> start(std::string_view fields) {
    const bool terminal = field(fields, "tty") == "1";
    Streams streams{.terminal = terminal};
    if (auto opened = terminal ? open_terminal(&streams) : open_pipes(&streams, field(fields, "stdin") == "1"); !opened)
      return opened;
    const auto pid = start_program(fields, streams);
    sys::close(streams.in);
    if (!terminal) sys::close(streams.out), sys::close(streams.err);
    if (!pid) return std::unexpected(pid.error());
    pid_ = *pid;
    return {};
  }

  shim::Result<> open_terminal(Streams* streams) {
    const int master = sys::open(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY);
    const int unlocked = 0;
    if (master < 0 || sys::control(master, TIOCSPTLCK, &unlocked) < 0) return shim::fail("the guest has no terminals");
    const long slave = sys::control(master, TIOCGPTPEER, static_cast<long>(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave < 0) return shim::fail_with(slave, "terminal");
    streams->in = streams->out = streams->err = static_cast<int>(slave);
    out_ = in_ = terminal_ = master;
    return {};
  }

  shim::Result<> open_pipes(Streams* streams, bool input) {
    int ends[3][2];
    for (auto& pair : ends)
      if (const int error = sys::pipe(pair); error < 0) return shim::fail_with(error, "pipe");
    streams->in = ends[0][0], streams->out = ends[1][1], streams->err = ends[2][1];
    in_ = ends[0][1], out_ = ends[1][0], err_ = ends[2][0];
    sys::set_nonblocking(in_);
    if (!input) drop(&in_);
    return {};
  }

  static void drop(int* fd) {
    sys::close(*fd);
    *fd = -1;
  }

  void turn() {
    const bool room = pending_ + kMostData <= kRoom;
    pollfd events[] = {{children_, POLLIN, 0},
                       {room ? connection_ : -1, POLLIN, 0},
                       {out_, POLLIN, 0},
                       {err_, POLLIN, 0},
                       {pending_ > 0 ? in_ : -1, POLLOUT, 0}};
    if (sys::poll(events, 5, -1) < 0) return;
    if (events[1].revents != 0) hear();
    if (events[2].revents != 0) forward(&out_);
    if (events[3].revents != 0) forward(&err_);
    if (events[4].revents != 0) feed();
    if (events[0].revents != 0) reap();
  }

  // From the host.
  void hear() {
    if (!frames_.receive(connection_)) {
      drop(&connection_);
      end_input();
      if (terminal_ >= 0) sys::kill(static_cast<int>(-pid_), SIGHUP);
      return;
    }
    if (frames_.kind() == Kind::kSignal) sys::kill(static_cast<int>(pid_), static_cast<int>(frames_.number()));
    if (frames_.kind() == Kind::kInput) take_input(frames_.payload());
    if (frames_.kind() == Kind::kSize && terminal_ >= 0 && frames_.payload().size() == sizeof(WindowSize)) {
      WindowSize size;
      __builtin_memcpy(&size, frames_.payload().data(), sizeof size);
      const winsize window{.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
      sys::control(terminal_, TIOCSWINSZ, &window);
    }
  }

  void take_input(std::string_view bytes) {
    if (in_ < 0) return;
    if (bytes.empty()) {
      input_ended_ = true;
    } else {
      __builtin_memcpy(buffer_ + pending_, bytes.data(), bytes.size());
      pending_ += bytes.size();
    }
    feed();
  }

  void feed() {
    if (pending_ > 0) {
      const long put = sys::write(in_, buffer_, pending_);
      if (put < 0 && put != -EAGAIN) {
        pending_ = 0;
        input_ended_ = true;
      } else if (put > 0) {
        pending_ -= static_cast<size_t>(put);
        __builtin_memmove(buffer_, buffer_ + put, pending_);
      }
    }
    if (pending_ == 0 && input_ended_) end_input();
  }

  void end_input() {
    pending_ = 0;
    input_ended_ = false;
    // A terminal stays; it is told the end by the character for it.
    if (terminal_ >= 0) {
      const char end = 4;
      sys::write(terminal_, &end, 1);
    } else if (in_ >= 0) {
      drop(&in_);
    }
  }

  // From the program to the host; false when there is no more for now.
  bool forward(int* stream) {
    static char bytes[kMostData];
    const long got = sys::read(*stream, bytes, sizeof bytes);
    if (got == -EAGAIN) return false;
    if (got <= 0) {
      if (*stream != terminal_) sys::close(*stream);
      *stream = -1;
      return false;
    }
    const Kind kind = stream == &err_ ? Kind::kErrors : Kind::kOutput;
    if (connection_ >= 0 && send_frame(connection_, kind, {bytes, static_cast<size_t>(got)}) < 0) drop(&connection_);
    return true;
  }

  void reap() {
    char ignored[128];
    static_cast<void>(sys::read(children_, ignored, sizeof ignored));
    siginfo_t info;
    while (sys::wait(P_ALL, 0, &info, WNOHANG) == 0 && info.si_pid != 0) {
      if (info.si_pid != pid_) continue;
      ended_ = true;
      status_ = exit_status(info.si_code, info.si_status);
    }
  }

  int connection_;
  Receiver frames_;
  int children_ = -1, in_ = -1, out_ = -1, err_ = -1, terminal_ = -1;
  long pid_ = 0;
  bool ended_ = false, input_ended_ = false;
  uint32_t status_ = 0;
  size_t pending_ = 0;
  char buffer_[kRoom];
};

shim::Result<uint32_t> run_program(int connection, std::string_view fields) {
  void* const room = sys::map(sizeof(Exec));
  if (room == nullptr) return shim::fail("the guest has no memory");
  return (new (room) Exec(connection))->run(fields);
}

}  // namespace

void serve(int connection, int finished) {
  Receiver frames(kMostFields);
  if (!frames.receive(connection) || frames.kind() != Kind::kStart) return;
  const std::string_view fields = frames.payload();
  const std::string_view what = field(fields, "do");
  shim::Result<> done;
  uint32_t status = 0;
  if (what == "exec") {
    const auto ran = run_program(connection, fields);
    if (ran)
      status = *ran;
    else
      done = std::unexpected(ran.error());
  } else if (what == "put") {
    Receiver entries(kMostData);
    done = put_files(connection, fields, entries);
  } else if (what == "get") {
    done = get_files(connection, fields);
  } else {
    done = shim::fail("the guest's init does not know \"", what, "\"");
  }
  if (done)
    send_number(connection, Kind::kExit, status);
  else
    send_frame(connection, Kind::kFail, done.error().text.view());
  if (!done) status = 127;
  if (field(fields, "workload") == "1") sys::write(finished, &status, sizeof status);
}

}  // namespace proa::guest
