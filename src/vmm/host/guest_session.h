// The host's end of what the guest's init offers (guest/protocol.h): programs run in the guest, files copied. What
// comes from the guest is not trusted: frames are bounded, names of files are checked and stay below where they belong.
//
// Threads: one per session.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "guest/protocol.h"

namespace proa::vmm {

// "key=value\0" ...
class GuestFields {
 public:
  GuestFields& add(std::string_view key, std::string_view value);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct GuestProgram {
  std::vector<std::string> args, env;
  std::string cwd, user;
  bool terminal = false, input = false;
  bool workload = false;  // the machine ends with it
  void add_to(GuestFields& fields) const;
};

// Frames of one connection, in both directions.
class GuestLink {
 public:
  explicit GuestLink(Fd socket) : socket_(std::move(socket)) {}
  int fd() const { return socket_.get(); }
  // Waits until the kernel has it.
  Result<> send(guest::Kind kind, std::string_view payload = {});
  struct Message {
    guest::Kind kind{};
    std::string payload;
  };
  // Waits for a whole one; an error at the connection's end and at nonsense.
  Result<Message> receive();

 private:
  Fd socket_;
};

// A connection to the guest's sessions through the machine's vsock.sock.
Result<GuestLink> connect_guest(const std::string& vsock);

struct GuestStreams {
  int in = 0, out = 1, error = 2;  // borrowed
  int signals = -1;                // a signalfd, whose signals go to the program; SIGWINCH: the terminal's size
  int stop = -1;                   // readable: leave at once
};
// Runs a program and relays its streams; its exit status. With `terminal`, a caller's terminal is raw meanwhile.
Result<int> run_in_guest(GuestLink& link, const GuestProgram& program, const GuestStreams& streams);

// As `cp -a`, without owners on the way out. A target that is a folder takes the source in under its name; a source
// that ends in "/." means what is in it.
Result<> copy_to_guest(GuestLink& link, const std::string& source, const std::string& target);
Result<> copy_from_guest(GuestLink& link, const std::string& source, const std::string& target);

}  // namespace proa::vmm
