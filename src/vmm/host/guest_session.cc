#include "vmm/host/guest_session.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <optional>

#include "kernel/file.h"
#include "kernel/tty.h"
#include "net/socket.h"

namespace proa::vmm {

using guest::Frame;
using guest::Kind;

namespace {

Result<> wait_for(int fd, short events) {
  pollfd one{fd, events, 0};
  while (::poll(&one, 1, -1) < 0)
    if (errno != EINTR) return fail_errno(errno, "poll");
  return {};
}

Result<> send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) return fail_errno(errno, "the guest's connection");
    if (put < 0) TRY(wait_for(fd, POLLOUT));
    if (put > 0) bytes.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Result<> receive_all(int fd, char* to, size_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(fd, to, size, 0);
    if (got == 0) return fail("the guest ended the connection");
    if (got < 0 && errno != EAGAIN && errno != EINTR) return fail_errno(errno, "the guest's connection");
    if (got < 0) TRY(wait_for(fd, POLLIN));
    if (got <= 0) continue;
    to += got;
    size -= static_cast<size_t>(got);
  }
  return {};
}

std::string as_bytes(const void* from, size_t size) { return {static_cast<const char*>(from), size}; }

uint32_t number_in(const GuestLink::Message& message) {
  uint32_t number = 0;
  if (message.payload.size() == sizeof number) std::memcpy(&number, message.payload.data(), sizeof number);
  return number;
}

// One program's streams.
class Relay {
 public:
  Relay(GuestLink& link, const GuestProgram& program, const GuestStreams& streams)
      : link_(link), program_(program), streams_(streams), input_(program.input ? streams.in : -1) {}

  Result<int> run() {
    TRY(enter_terminal());
    for (;;) {
      pollfd events[] = {
          {link_.fd(), POLLIN, 0}, {input_, POLLIN, 0}, {streams_.signals, POLLIN, 0}, {streams_.stop, POLLIN, 0}};
      if (::poll(events, std::size(events), -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
      if (events[3].revents != 0) return fail("the machine has ended");
      if (events[2].revents != 0) TRY(pass_signal());
      if (events[1].revents != 0) TRY(pass_input());
      if (events[0].revents == 0) continue;
      if (const auto status = TRY(hear())) return *status;
    }
  }

 private:
  Result<> enter_terminal() {
    if (!program_.terminal || ::isatty(streams_.in) != 1) return {};
    raw_ = TRY(kernel::RawMode::enter(streams_.in));
    return tell_size();
  }
  Result<> tell_size() {
    const auto size = kernel::window_size(streams_.in);
    if (!size) return {};
    const guest::WindowSize window{.rows = size->rows, .columns = size->columns};
    return link_.send(Kind::kSize, as_bytes(&window, sizeof window));
  }
  Result<> pass_signal() {
    signalfd_siginfo info{};
    if (::read(streams_.signals, &info, sizeof info) != sizeof info) return {};
    if (info.ssi_signo == SIGWINCH) return program_.terminal ? tell_size() : Result<>();
    return link_.send(Kind::kSignal, as_bytes(&info.ssi_signo, sizeof info.ssi_signo));
  }
  Result<> pass_input() {
    char bytes[guest::kMostData];
    const ssize_t got = ::read(input_, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) input_ = -1;
    return link_.send(Kind::kInput, {bytes, static_cast<size_t>(std::max<ssize_t>(got, 0))});
  }
  // The status, at the end.
  Result<std::optional<int>> hear() {
    const auto message = TRY(link_.receive());
    switch (message.kind) {
      case Kind::kOutput: static_cast<void>(kernel::write_all(streams_.out, message.payload)); break;
      case Kind::kErrors: static_cast<void>(kernel::write_all(streams_.error, message.payload)); break;
      case Kind::kExit: return static_cast<int>(number_in(message) & 0xff);
      case Kind::kFail: return fail("guest: ", message.payload);
      default: return fail("the guest's init speaks another language");
    }
    return std::nullopt;
  }

  GuestLink& link_;
  const GuestProgram& program_;
  const GuestStreams& streams_;
  int input_;
  std::optional<kernel::RawMode> raw_;
};

}  // namespace

GuestFields& GuestFields::add(std::string_view key, std::string_view value) {
  text_.append(key).append("=").append(value.substr(0, value.find('\0'))).push_back('\0');
  return *this;
}

void GuestProgram::add_to(GuestFields& fields) const {
  for (const std::string& arg : args) fields.add("arg", arg);
  for (const std::string& variable : env) fields.add("env", variable);
  if (!cwd.empty()) fields.add("cwd", cwd);
  if (!user.empty()) fields.add("user", user);
  for (const auto& [key, on] : {std::pair("tty", terminal), {"stdin", input}, {"workload", workload}})
    if (on) fields.add(key, "1");
}

Result<> GuestLink::send(Kind kind, std::string_view payload) {
  const Frame frame{.kind = kind, .size = static_cast<uint32_t>(payload.size())};
  return send_all(socket_.get(), cat(as_bytes(&frame, sizeof frame), payload));
}

Result<GuestLink::Message> GuestLink::receive() {
  char head[sizeof(Frame)];
  TRY(receive_all(socket_.get(), head, sizeof head));
  Frame frame;
  std::memcpy(&frame, head, sizeof frame);
  if (frame.size > guest::kMostData) return fail("the guest sent a frame of ", frame.size, " bytes");
  Message message{.kind = frame.kind, .payload = std::string(frame.size, '\0')};
  TRY(receive_all(socket_.get(), message.payload.data(), frame.size));
  return message;
}

// The device answers "OK PORT" when somebody in the guest has taken the connection.
Result<GuestLink> connect_guest(const std::string& vsock) {
  Fd socket = TRY_CTX(net::connect_unix_stream(vsock), vsock);
  TRY(send_all(socket.get(), cat("CONNECT ", guest::kSessionPort, "\n")));
  std::string line;
  for (char byte = 0; byte != '\n' && line.size() < 32; line += byte) {
    if (receive_all(socket.get(), &byte, 1)) continue;
    return fail("nobody answers in the guest")
        .hint("machines that run `-- COMMAND`, or were started with --agent, can be spoken to");
  }
  if (!line.starts_with("OK ")) return fail("the machine's socket device said ", line);
  return GuestLink(std::move(socket));
}

Result<int> run_in_guest(GuestLink& link, const GuestProgram& program, const GuestStreams& streams) {
  GuestFields fields;
  fields.add("do", "exec");
  program.add_to(fields);
  if (fields.text().size() > guest::kMostFields) return fail("the command is too long");
  TRY(link.send(Kind::kStart, fields.text()));
  return Relay(link, program, streams).run();
}

}  // namespace proa::vmm
