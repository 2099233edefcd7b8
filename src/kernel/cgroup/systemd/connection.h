// A connection to a service manager: over its private socket, or over a message bus.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/cgroup/systemd/message.h"

namespace proa::kernel::cgroup::dbus {

// One thread. Every wait is bounded by the time limit.
class Connection {
 public:
  // The system's manager (root), or the caller's own: its private socket first, which spares the bus
  // daemon, then the bus. DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR count.
  // A `root` that is not empty (tests) prefixes the private socket, and nothing else is tried.
  static Result<Connection> open_manager(bool user, const std::string& root = {});
  // The peer of a socket that is connected but not yet authenticated (tests).
  static Result<Connection> over(Fd socket, bool bus);

  // Calls a method of org.freedesktop.systemd1.Manager. A D-Bus error is an Error that starts with its
  // text; error_name() tells which.
  Result<Message> call(std::string_view member, std::string_view signature, const std::string& body);
  const std::string& error_name() const { return error_name_; }

  // Waits for the end of a job: "done", "failed", "canceled", ...
  Result<std::string> wait_job(const std::string& job);

 private:
  Connection(Fd socket, bool bus) : socket_(std::move(socket)), bus_(bus) {}
  Result<> authenticate();
  Result<> greet_bus();
  Result<Message> call_object(const Call& call, const std::string& body);
  Result<> send_all(std::string_view bytes);
  void start_clock();
  Result<> receive(size_t size);  // until `size` bytes are in buffer_
  Result<std::string> receive_line();
  Result<Message> next_message();
  void note_signal(const Message& message);

  Fd socket_;
  bool bus_ = false;  // a bus between us and the manager: names, matches
  uint32_t serial_ = 0;
  int64_t deadline_ms_ = 0;
  std::string buffer_;
  std::string error_name_;
  std::vector<std::pair<std::string, std::string>> finished_jobs_;  // path, result
};

// "unix:path=/a;unix:abstract=b" to socket names; abstract ones start with a NUL.
std::vector<std::string> socket_names(std::string_view address);

}  // namespace proa::kernel::cgroup::dbus
