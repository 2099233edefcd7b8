#include "kernel/cgroup/systemd/connection.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/text.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup::dbus {
namespace {

constexpr int kTimeoutMs = 30'000;
constexpr size_t kLineLimit = 4096;
constexpr size_t kJobLimit = 4096;
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";

std::string environment(const char* name) {
  const char* value = ::secure_getenv(name);
  return value != nullptr ? value : "";
}

Result<Fd> connect_to(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof address.sun_path) return fail("connect: bad socket name");
  std::memcpy(address.sun_path, name.data(), name.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "socket");
  const size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (name[0] == '\0' ? 0 : 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) != 0)
    return fail_errno(errno, "connect to ", name[0] == '\0' ? cat('@', name.substr(1)) : name);
  return socket;
}

// The peer sees the caller's uid outside any user namespace.
uint32_t uid_outside() {
  const uint32_t uid = ::geteuid();
  const std::string map = read_file("/proc/self/uid_map").value_or("");
  for (std::string_view rest = map; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    uint32_t numbers[3] = {};
    for (uint32_t& number : numbers) {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      number = parse_number<uint32_t>(cut(line, ' ')).value_or(0);
    }
    if (uid >= numbers[0] && uid - numbers[0] < numbers[2]) return numbers[1] + (uid - numbers[0]);
  }
  return uid;
}

int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

struct Place {
  std::string socket;
  bool bus;
};

std::vector<Place> places(bool user, const std::string& root) {
  std::vector<Place> out;
  if (!root.empty()) return {{root + "/run/systemd/private", false}};
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  if (!user) out.push_back({"/run/systemd/private", false});
  if (user && !runtime.empty()) out.push_back({runtime + "/systemd/private", false});
  std::string address = environment(user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
  if (address.empty() && user && !runtime.empty()) address = cat("unix:path=", runtime, "/bus");
  if (address.empty() && !user)
    address = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket";
  for (std::string& name : socket_names(address)) out.push_back({std::move(name), true});
  return out;
}

}  // namespace

std::vector<std::string> socket_names(std::string_view address) {
  std::vector<std::string> names;
  while (!address.empty()) {
    std::string_view one = cut(address, ';');
    if (!one.starts_with("unix:")) continue;
    one.remove_prefix(5);
    while (!one.empty()) {
      std::string_view value = cut(one, ',');
      const std::string_view key = cut(value, '=');
      if (key != "path" && key != "abstract") continue;
      std::string name(key == "abstract" ? 1 : 0, '\0');
      for (size_t i = 0; i < value.size(); ++i) {
        unsigned byte = 0;
        const char* digits = value.data() + i + 1;
        if (value[i] == '%' && i + 2 < value.size() &&
            std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
          name.push_back(static_cast<char>(byte));
          i += 2;
        } else {
          name.push_back(value[i]);
        }
      }
      names.push_back(std::move(name));
    }
  }
  return names;
}

Result<Connection> Connection::open_manager(bool user, const std::string& root) {
  Error last("no service manager: neither its socket nor a message bus is known");
  for (const Place& place : places(user, root)) {
    auto socket = connect_to(place.socket);
    if (!socket) {
      last = std::move(socket).error();
      continue;
    }
    auto connection = over(std::move(*socket), place.bus);
    if (connection) return connection;
    last = std::move(connection).error();
  }
  return Failure(std::move(last).with_context("reach systemd"))
      .hint(user ? "the user's service manager must run; is XDG_RUNTIME_DIR set?"
                 : "the systemd cgroup driver needs systemd as the init of this host");
}

Result<Connection> Connection::over(Fd socket, bool bus) {
  Connection connection(std::move(socket), bus);
  TRY_CTX(connection.authenticate(), "authenticate");
  if (bus) TRY_CTX(connection.greet_bus(), "message bus");
  return connection;
}

// D-Bus specification, "Authentication Protocol": EXTERNAL, by the socket's credentials. BEGIN goes along
// at once: systemd leaves a short message unread that arrives together with BEGIN.
Result<> Connection::authenticate() {
  start_clock();
  const timeval limit{.tv_sec = kTimeoutMs / 1000, .tv_usec = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  std::string hex;
  for (const char digit : cat(uid_outside())) hex.append("3").push_back(digit);
  TRY(send_all(cat(std::string_view("\0", 1), "AUTH EXTERNAL ", hex, "\r\nBEGIN\r\n")));
  const std::string answer = TRY(receive_line());
  if (!answer.starts_with("OK")) return fail("refused: \"", answer.substr(0, 80), "\"");
  return {};
}

Result<> Connection::greet_bus() {
  constexpr std::string_view bus = "org.freedesktop.DBus", path = "/org/freedesktop/DBus";
  TRY(call_object({bus, path, bus, "Hello", ""}, ""));
  Writer rule;
  rule.string(
      "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',"
      "member='JobRemoved',path='/org/freedesktop/systemd1'");
  TRY(call_object({bus, path, bus, "AddMatch", "s"}, rule.bytes()));
  return {};
}

Result<Message> Connection::call(std::string_view member, std::string_view signature, const std::string& body) {
  return call_object({"org.freedesktop.systemd1", "/org/freedesktop/systemd1", kManager, member, signature}, body);
}

Result<Message> Connection::call_object(const Call& call, const std::string& body) {
  const uint32_t serial = ++serial_;
  start_clock();
  error_name_.clear();
  TRY(send_all(make_call(serial, call, body)));
  for (;;) {
    Message message = TRY(next_message());
    if (message.kind == Kind::kSignal) note_signal(message);
    if (message.reply_serial != serial) continue;
    if (message.kind == Kind::kReply) return message;
    if (message.kind != Kind::kError) continue;
    error_name_ = message.error_name;
    return fail(call.member, ": ", message.text_argument(0).value_or(message.error_name));
  }
}

Result<std::string> Connection::wait_job(const std::string& job) {
  start_clock();
  for (;;) {
    for (const auto& [path, result] : finished_jobs_)
      if (path == job) return result;
    note_signal(TRY(next_message()));
  }
}

void Connection::note_signal(const Message& message) {
  if (message.kind != Kind::kSignal || message.member != "JobRemoved" || message.interface != kManager) return;
  // JobRemoved(u id, o job, s unit, s result)
  auto job = message.text_argument(0);
  auto result = message.text_argument(2);
  if (!job || !result) return;
  if (finished_jobs_.size() >= kJobLimit) finished_jobs_.clear();
  finished_jobs_.emplace_back(std::move(*job), std::move(*result));
}

Result<> Connection::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(errno, "send to systemd");
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

void Connection::start_clock() { deadline_ms_ = now_ms() + kTimeoutMs; }

Result<> Connection::receive(size_t size) {
  while (buffer_.size() < size) {
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int64_t left = deadline_ms_ - now_ms();
    const int ready = left <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return fail_errno(ETIMEDOUT, "wait for systemd");
    char chunk[16384];
    const ssize_t got = ::recv(socket_.get(), chunk, sizeof chunk, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "receive from systemd");
    if (got == 0) return fail_errno(ECONNRESET, "systemd closed the connection");
    buffer_.append(chunk, static_cast<size_t>(got));
  }
  return {};
}

Result<std::string> Connection::receive_line() {
  for (;;) {
    if (const size_t end = buffer_.find("\r\n"); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return line;
    }
    if (buffer_.size() > kLineLimit) return fail("an answer without an end");
    TRY(receive(buffer_.size() + 1));
  }
}

Result<Message> Connection::next_message() {
  TRY(receive(kFixedHeader));
  const size_t size = TRY(message_size(buffer_));
  TRY(receive(size));
  Message message = TRY(parse_message(std::string_view(buffer_).substr(0, size)));
  buffer_.erase(0, size);
  return message;
}

}  // namespace proa::kernel::cgroup::dbus
