// The conversation between the runtime and the process that becomes the container, over a socketpair
// of packets. Kinds, by first byte:
//   child -> runtime   P pid of the container's process (from the intermediate one, intermediate.h)
//                      H namespaces and mounts are there: run the runtime-side hooks
//                      T a terminal's master (descriptor attached)
//                      M all is set up: send the plan (payload: SetupDone)
//                      E an error: errno ' ' message '\0' hint
//                      R, S, N of the stage (stage/plan.h)
//   runtime -> child   c the control groups are made: encode_hierarchies(), and the files to enter them by
//                      k go on (after R: the container is recorded as complete; without it the child ends)
//                          p the plan (descriptor attached)
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::oci::runtime {

struct Message {
  char kind = 0;  // 0: the peer is gone
  std::string body;
  std::vector<Fd> fds;
};

class Sync {
 public:
  // Runtime's end, child's end.
  static Result<std::pair<Sync, Sync>> make_pair();
  Sync() = default;
  explicit Sync(Fd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }
  // At most 64 KiB and 32 descriptors: EMSGSIZE, at either end.
  Result<> send(char kind, std::string_view body = {}, std::span<const int> fds = {}) const;
  Result<Message> receive() const;
  // Waits for `kind`; an 'E' or the peer's end is an error.
  Result<Message> expect(char kind) const;
  // From the child: the error that ends it.
  void send_error(const Error& error) const;

 private:
  Fd socket_;
};

// The Error in an 'E' of the child.
Error decode_error(std::string_view body);

}  // namespace proa::oci::runtime
