// Unix sockets as runtimes use them: connecting by a path of any length, and passing descriptors
// (the console socket, the pidfd socket, the seccomp agent).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::kernel {

// `type`: SOCK_STREAM or SOCK_SEQPACKET. The path may be longer than sockaddr_un holds.
Result<Fd> connect_unix(const std::string& path, int type = SOCK_STREAM);

// One message: `payload` with copies of the descriptors attached. The payload must not be empty (a
// stream carries descriptors only with bytes); what the first sendmsg leaves of it is sent after.
Result<> send_fds(int socket, std::span<const int> fds, std::string_view payload);
// As runc does it on --console-socket and --pidfd-socket: the descriptor with its name as the payload.
Result<> send_fd(int socket, int fd, std::string_view name);

// One whole message, of all `parts` in turn, on a socket that keeps messages apart. At most 32 descriptors.
Result<> send_message(int socket, std::span<const iovec> parts, std::span<const int> fds = {});
// One message's bytes into `buffer` and its descriptors, close-on-exec, into the empty `fds`: how many bytes; 0 when
// the other end is closed. What does not fit (more than 32 descriptors, or a longer message) is EMSGSIZE.
Result<size_t> receive_message(int socket, std::span<char> buffer, std::vector<Fd>& fds);

struct ReceivedFds {
  std::vector<Fd> fds;
  std::string payload;  // at most 4096 bytes: what came with the descriptors
};
// Descriptors come close-on-exec. End of stream is ECONNRESET. A message with descriptors that do not
// fit (more than 32) is an error, and none of it stays open.
Result<ReceivedFds> recv_fds(int socket);
// Exactly one descriptor; its name is not looked at.
Result<Fd> recv_fd(int socket);

}  // namespace proa::kernel
