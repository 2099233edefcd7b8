#include "shim/monitor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "shim/state.h"

namespace proa::shim {
namespace {

constexpr int kBacklog = 64;
constexpr size_t kWriterStack = size_t{128} * 1024;
constexpr int kRestAfter = 1000;  // milliseconds without anything to do before memory is given back

}  // namespace

void write_ending(const Ending& ending, std::string_view id, Writer& to) {
  to << "{\"id\":";
  to.json(id) << ",\"pid\":" << ending.pid << ",\"exitCode\":" << ending.code << ",\"signal\":" << ending.signal
              << ",\"oomKilled\":" << (ending.oom_kills != 0 ? "true" : "false") << ",\"oomKills\":" << ending.oom_kills
              << ",\"finishedAt\":\"" << format_time(ending.time).view() << "\"}\n";
}

Result<> Monitor::buffer_log(uint64_t bytes) {
  if (Result<> done = queue_.open(bytes); !done) return done;
  auto* const stack = static_cast<char*>(sys::map(kWriterStack));
  const auto run = [](void* queue) { static_cast<LogQueue*>(queue)->run(); };
  const long error = stack == nullptr ? -ENOMEM : sys::start_thread(run, &queue_, stack, kWriterStack);
  if (error < 0) return fail_with(error, "thread for the log");
  return {};
}

Result<> Monitor::listen() {
  attach_listener_ = sys::listen_at(kAttachSocket, kBacklog);
  if (attach_listener_ < 0) return fail_with(attach_listener_, options_.state, "/", kAttachSocket);
  control_listener_ = sys::listen_at(kControlSocket, kBacklog);
  if (control_listener_ < 0) return fail_with(control_listener_, options_.state, "/", kControlSocket);
  return {};
}

Result<> Monitor::take(const Container& container, int children) {
  if (Result<> done = poller_.open(); !done) return done;
  children_ = children, slave_ = container.slave;
  outputs_[0] = {container.out, Stream::out, kOutput};
  outputs_[1] = {container.err, Stream::err, kErrors};
  ending_.pid = container.pid;
  oom_.open(container.pid);
  input_.open(container.in, options_.terminal, options_.in_once);
  poller_.add(children_, kChildren, EPOLLIN);
  poller_.add(attach_listener_, kAttachListener, EPOLLIN);
  poller_.add(control_listener_, kControlListener, EPOLLIN);
  for (const Output& output : outputs_)
    if (output.fd >= 0) poller_.add(output.fd, output.tag, EPOLLIN);
  if (expected_ >= 0) {
    sys::set_nonblocking(expected_);
    attach_.add_first(expected_);
  }
  return {};
}

Ending Monitor::hold() {
  timer_.ended();
  reap_children();  // the container may have ended before its signal was watched for
  while (!ended_) {
    epoll_event events[16];
    const long count = poller_.wait(events, 16, wait_time());
    if (count == 0 && !attach_.busy()) rest();
    for (long i = 0; i < count; ++i) dispatch(events[i]);
    if (attach_.busy()) attach_.drop_late(sys::milliseconds());
    pause_outputs(attach_.busy());
    tick(timer_);
    tick(companion_);
  }
  queue_.be_patient();
  drain_outputs();
  queue_.finish(sys::now(CLOCK_REALTIME));
  log_.file().settle();
  ending_.oom_kills = oom_.kills();
  return ending_;
}

void Monitor::tick(Repeated& repeated) {
  if (!repeated.waits() || ended_ || sys::milliseconds() < repeated.next) return;
  const int null = sys::open(AT_FDCWD, "/dev/null", O_RDWR);
  repeated.process = spawn(origin_, repeated.command, {null, null, null});
  sys::close(null);
  if (repeated.process < 0) repeated.ended();
}

int Monitor::wait_time() {
  if (!attach_.busy()) {
    int64_t wait = rested_ ? INT32_MAX : kRestAfter;
    bool due = !rested_;
    for (const Repeated* repeated : {&timer_, &companion_}) {
      if (!repeated->waits()) continue;
      const int64_t left = repeated->next - sys::milliseconds();
      if (left < wait) wait = left > 0 ? left : 0;
      due = true;
    }
    return due ? static_cast<int>(wait) : -1;
  }
  const int64_t deadline = attach_.deadline();
  if (deadline == INT64_MAX) return -1;
  const int64_t left = deadline - sys::milliseconds();
  return left < 0 ? 0 : static_cast<int>(left) + 1;
}

void Monitor::rest() {
  rested_ = queue_.rest();
  sys::drop_pages(chunk_, sizeof chunk_);
}

void Monitor::dispatch(const epoll_event& event) {
  rested_ = false;
  const uint64_t tag = event.data.u64;
  switch (tag) {
    case kChildren: return reap_children();
    case kAttachListener: return accept_clients(attach_listener_, true);
    case kControlListener: return accept_clients(control_listener_, false);
    case kOutput: return pump(outputs_[0]);
    case kErrors: return pump(outputs_[1]);
    case kInput:
      if (input_.flush()) attach_.on_input_free();
      return;
    default: break;
  }
  if (tag >= kFirstControl)
    control_.on_event(static_cast<unsigned>(tag - kFirstControl), event.events);
  else
    attach_.on_event(static_cast<unsigned>(tag - kFirstAttached), event.events);
}

void Monitor::accept_clients(int listener, bool attach) {
  for (int peer; (peer = sys::accept(listener, SOCK_NONBLOCK)) >= 0;) {
    if (attach)
      attach_.add(peer);
    else
      control_.add(peer);
  }
}

void Monitor::pump(Output& output) {
  size_t size;
  if (attach_.busy() || output.fd < 0 || !read_chunk(output, &size)) return;
  attach_.deliver(output.stream, {chunk_, size});
}

bool Monitor::read_chunk(Output& output, size_t* size) {
  const long got = sys::read(output.fd, chunk_, sizeof chunk_);
  if (got == -EAGAIN) return false;
  if (got <= 0) {
    end_output(output);
    return false;
  }
  *size = static_cast<size_t>(got);
  queue_.append(output.stream, {chunk_, *size}, sys::now(CLOCK_REALTIME));
  return true;
}

void Monitor::end_output(Output& output) {
  if (!paused_) poller_.remove(output.fd);
  // A terminal's master stays with the input, for resize.
  sys::close(output.fd);
  output.fd = -1;
}

void Monitor::pause_outputs(bool pause) {
  if (pause == paused_) return;
  paused_ = pause;
  for (const Output& output : outputs_) {
    if (output.fd < 0) continue;
    if (pause)
      poller_.remove(output.fd);
    else
      poller_.add(output.fd, output.tag, EPOLLIN);
  }
}

void Monitor::reap_children() {
  signalfd_siginfo signal;
  while (sys::read(children_, &signal, sizeof signal) > 0) {
  }
  siginfo_t info;
  while (sys::wait(P_ALL, 0, &info, WNOHANG) == 0 && info.si_pid != 0) {
    for (Repeated* repeated : {&timer_, &companion_})
      if (info.si_pid == repeated->process) repeated->ended();
    log_.file().reaped(info.si_pid);
    if (info.si_pid != ending_.pid) continue;  // an orphan of the container
    ended_ = true;
    ending_.time = sys::now(CLOCK_REALTIME);
    const bool signalled = info.si_code != CLD_EXITED;
    ending_.signal = signalled ? info.si_status : 0;
    ending_.code = signalled ? 128 + info.si_status : info.si_status;
  }
}

// All that the container's processes wrote is in the pipes now. A process outside its PID namespace may
// hold them open still and write on, so neither their end is waited for, nor is more read than they hold.
void Monitor::drain_outputs() {
  input_.close();
  sys::close(slave_);
  for (Output& output : outputs_) {
    size_t most = kDrain;
    for (size_t size; most >= kChunk && drain_chunk(output, &size);) most -= size;
    if (output.fd >= 0) end_output(output);
  }
}

bool Monitor::drain_chunk(Output& output, size_t* size) {
  if (output.fd < 0) return false;
  if (!attach_.busy()) {
    if (!read_chunk(output, size)) return false;
    attach_.deliver(output.stream, {chunk_, *size});
    return true;
  }
  // Clients lag, and chunk_ is theirs until they have it: the rest waits in the tail.
  if (tail_ == nullptr) tail_ = static_cast<char*>(sys::map(kTail));
  if (tail_ == nullptr) return false;
  char* const to = tail_ + tail_size_ + sizeof(Piece);
  const long got = sys::read(output.fd, to, kChunk);
  if (got <= 0) return false;
  *size = static_cast<size_t>(got);
  queue_.append(output.stream, {to, *size}, sys::now(CLOCK_REALTIME));
  const Piece piece{.stream = output.stream, .size = static_cast<uint32_t>(got)};
  memcpy(to - sizeof piece, &piece, sizeof piece);
  tail_size_ += sizeof piece + *size;
  return true;
}

void Monitor::tell(std::string_view record) {
  // Who had connected and asked before the end gets an answer.
  epoll_event events[16];
  for (int round = 0; round < 8; ++round) {
    const long count = poller_.wait(events, 16, 0);
    if (count <= 0) break;
    for (long i = 0; i < count; ++i) dispatch(events[i]);
  }
  for (const int listener : {attach_listener_, control_listener_}) sys::close(listener);
  control_.end(record);
  deliver_tail(record);
}

// Goes on as far as clients can take it without waiting.
void Monitor::deliver_tail(std::string_view record) {
  while (!attach_.busy() && tail_at_ < tail_size_) {
    Piece piece;
    memcpy(&piece, tail_ + tail_at_, sizeof piece);
    const char* bytes = tail_ + tail_at_ + sizeof piece;
    tail_at_ += sizeof piece + piece.size;
    attach_.deliver(piece.stream, {bytes, piece.size});
  }
  if (attach_.busy() || told_) return;
  told_ = true;
  attach_.deliver(Stream::result, record);
}

void Monitor::serve_rest(std::string_view record) {
  while (attach_.busy()) {
    epoll_event events[16];
    const long count = poller_.wait(events, 16, wait_time());
    for (long i = 0; i < count; ++i) dispatch(events[i]);
    attach_.drop_late(sys::milliseconds());
    deliver_tail(record);
  }
  attach_.close_all();
}

void Monitor::execute(const Command& command, Writer& answer) {
  switch (command.kind) {
    case Command::Kind::resize: return resize(command, answer);
    case Command::Kind::status: return write_status(answer);
    case Command::Kind::close_stdin: return close_input(answer);
    case Command::Kind::reopen_logs: return reopen_log(answer);
    case Command::Kind::signal:
      // Cannot hit another process: this one's id is not free before it is waited for.
      if (const long error = ended_ ? -ESRCH : sys::kill(ending_.pid, command.signal); error < 0)
        answer << "error: " << error_text(error).view() << '\n';
      else
        answer << "ok\n";
      return;
    case Command::Kind::timer:
      if (timer_.interval == 0) {
        answer << "error: the shim was started without a timer\n";
        return;
      }
      timer_.interval = command.milliseconds;
      timer_.next = sys::milliseconds() + static_cast<int64_t>(timer_.interval);
      answer << "ok\n";
      return;
    case Command::Kind::hold: answer << "ok\n"; return;
    case Command::Kind::wait: return;
  }
}

void Monitor::resize(const Command& command, Writer& answer) {
  const winsize size = {.ws_row = command.rows, .ws_col = command.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  const long error = slave_ < 0 ? -ENOTTY : sys::control(outputs_[0].fd, TIOCSWINSZ, &size);
  if (error < 0)
    answer << "error: " << error_text(error).view() << '\n';
  else
    answer << "ok\n";
}

void Monitor::close_input(Writer& answer) {
  if (!input_.exists()) {
    answer << "error: the container was made without standard input\n";
  } else if (options_.terminal) {
    answer << "error: a terminal has no end; send its end-of-file character instead\n";
  } else {
    input_.close();
    answer << "ok\n";
  }
}

void Monitor::reopen_log(Writer& answer) {
  const Result<> done = log_.file().is_open() ? queue_.reopen() : fail("there is no log");
  if (!done)
    answer << "error: " << done.error().text.view() << '\n';
  else
    answer << "ok\n";
}

void Monitor::write_status(Writer& to) {
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  to << "{\"id\":";
  to.json(options_.id) << ",\"pid\":" << ending_.pid << ",\"shim\":" << sys::process_id();
  to << ",\"terminal\":" << boolean(options_.terminal) << ",\"stdin\":\""
     << (!input_.exists()   ? "none"
         : input_.is_open() ? "open"
                            : "closed")
     << '"';
  to << ",\"attached\":" << attach_.count() << ",\"dropped\":" << attach_.dropped();
  to << ",\"oomKills\":" << oom_.kills();
  LogFile& file = log_.file();
  to << ",\"log\":{\"written\":" << file.written() << ",\"lost\":" << file.lost() + queue_.dropped()
     << ",\"rotations\":" << file.rotations() << "}}\n";
}

}  // namespace proa::shim
