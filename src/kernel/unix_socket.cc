#include "kernel/unix_socket.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>

#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kSocket{SYS_socket, "socket", "dxd"};
constexpr CallShape kConnect{SYS_connect, "connect", "dpd"};
constexpr CallShape kSendmsg{SYS_sendmsg, "sendmsg", "dpx"};
constexpr CallShape kRecvmsg{SYS_recvmsg, "recvmsg", "dpx"};

constexpr size_t kMaxFds = 32;
constexpr size_t kMaxPayload = 4096;

// The address of `path`; a long one is reached through a descriptor of its folder, kept in `folder`.
Result<sockaddr_un> address_of(const std::string& path, Fd& folder) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::string reachable = path;
  if (path.size() >= sizeof address.sun_path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return fail_errno(ENAMETOOLONG, "socket ", path);
    folder = TRY(open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY));
    reachable = cat(FdPath(folder.get()).c_str(), path.substr(slash));
  }
  if (reachable.empty() || reachable.size() >= sizeof address.sun_path)
    return fail_errno(reachable.empty() ? ENOENT : ENAMETOOLONG, "socket ", path);
  std::memcpy(address.sun_path, reachable.c_str(), reachable.size() + 1);
  return address;
}

struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(int) * kMaxFds)];

  void attach(msghdr& message, std::span<const int> fds) {
    if (fds.empty()) return;
    message.msg_control = bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    std::memset(bytes, 0, message.msg_controllen);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
};

msghdr message_of(std::span<const iovec> parts) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  return message;
}

Result<size_t> send_once(int socket, const msghdr& message) {
  long sent = -EINTR;
  while (sent == -EINTR) sent = call(kSendmsg, socket, &message, MSG_NOSIGNAL);
  return static_cast<size_t>(TRY(check(sent, "send descriptors")));
}

void collect_fds(const msghdr& message, std::vector<Fd>& fds) {
  for (const cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(part))) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

Result<Fd> connect_unix(const std::string& path, int type) {
  Fd folder;
  const sockaddr_un address = TRY(address_of(path, folder));
  Fd socket = TRY(check_fd(call(kSocket, AF_UNIX, type | SOCK_CLOEXEC, 0), "socket"));
  long answer = -EINTR;
  while (answer == -EINTR) answer = call(kConnect, socket.get(), &address, sizeof address);
  TRY(check_ok(answer, "connect to socket ", path));
  return socket;
}

Result<> send_fds(int socket, std::span<const int> fds, std::string_view payload) {
  if (payload.empty() || fds.size() > kMaxFds) return fail_errno(EINVAL, "send ", fds.size(), " descriptors");
  Control control;
  iovec data{.iov_base = const_cast<char*>(payload.data()), .iov_len = payload.size()};
  msghdr message = message_of({&data, 1});
  control.attach(message, fds);
  for (;;) {
    const size_t sent = TRY(send_once(socket, message));
    if (sent >= data.iov_len) return {};
    data.iov_base = static_cast<char*>(data.iov_base) + sent;
    data.iov_len -= sent;
    message.msg_control = nullptr;
    message.msg_controllen = 0;
  }
}

Result<> send_fd(int socket, int fd, std::string_view name) { return send_fds(socket, std::span(&fd, 1), name); }

Result<> send_message(int socket, std::span<const iovec> parts, std::span<const int> fds) {
  if (fds.size() > kMaxFds) return fail_errno(EMSGSIZE, "send ", fds.size(), " descriptors");
  Control control;
  msghdr message = message_of(parts);
  control.attach(message, fds);
  TRY(send_once(socket, message));
  return {};
}

Result<size_t> receive_message(int socket, std::span<char> buffer, std::vector<Fd>& fds) {
  Control control;
  const iovec data{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message = message_of({&data, 1});
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  long got = -EINTR;
  while (got == -EINTR) got = call(kRecvmsg, socket, &message, MSG_CMSG_CLOEXEC);
  if (got == -ECONNRESET) return 0;
  TRY(check_ok(got, "receive descriptors"));
  collect_fds(message, fds);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    fds.clear();
    return fail_errno(EMSGSIZE, "receive descriptors");
  }
  return static_cast<size_t>(got);
}

Result<ReceivedFds> recv_fds(int socket) {
  ReceivedFds received;
  received.payload.resize(kMaxPayload);
  const size_t got = TRY(receive_message(socket, received.payload, received.fds));
  if (got == 0 && received.fds.empty()) return fail_errno(ECONNRESET, "receive descriptors");
  received.payload.resize(got);
  return received;
}

Result<Fd> recv_fd(int socket) {
  ReceivedFds received = TRY(recv_fds(socket));
  if (received.fds.size() != 1) return fail("receive a descriptor: ", received.fds.size(), " came");
  return std::move(received.fds.front());
}

}  // namespace proa::kernel
