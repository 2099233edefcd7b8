#include "oci/runtime/sync.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <charconv>
#include <cstring>

#include "base/text.h"

namespace proa::oci::runtime {
namespace {

constexpr size_t kMaxMessage = 65536;  // the paths of every hierarchy of control groups
constexpr size_t kMaxFds = 32;         // ... and a file of each

}  // namespace

Result<std::pair<Sync, Sync>> Sync::make_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno(errno, "make socket pair");
  return std::pair(Sync(Fd(fds[0])), Sync(Fd(fds[1])));
}

Result<> Sync::send(char kind, std::string_view body, std::span<const int> fds) const {
  if (body.size() >= kMaxMessage || fds.size() > kMaxFds) return fail_errno(EMSGSIZE, "send to the other process");
  iovec parts[2] = {{&kind, 1}, {const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno(errno, "send to the other process");
  return {};
}

Result<Message> Sync::receive() const {
  char buffer[kMaxMessage];
  iovec part{buffer, sizeof buffer};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno != ECONNRESET) return fail_errno(errno, "receive from the other process");
  Message out;
  if (got <= 0) return out;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail_errno(EMSGSIZE, "receive from the other process");
  out.kind = buffer[0];
  out.body.assign(buffer + 1, static_cast<size_t>(got) - 1);
  return out;
}

Result<Message> Sync::expect(char kind) const {
  Message message = TRY(receive());
  if (message.kind == kind) return message;
  if (message.kind == 'E') return std::unexpected(decode_error(message.body));
  if (message.kind == 0) return fail("the container's process ended before it was set up");
  return fail("unexpected message ", message.kind, " from the container's process");
}

void Sync::send_error(const Error& error) const {
  std::string body =
      cat(error.code(), " ", error.message().substr(0, kMaxMessage / 2), '\0', error.hint().substr(0, kMaxMessage / 4));
  (void)send('E', body);
}

Error decode_error(std::string_view body) {
  int code = 0;
  const auto [end, ec] = std::from_chars(body.data(), body.data() + body.size(), code);
  body.remove_prefix(static_cast<size_t>(end - body.data()));
  if (!body.empty()) body.remove_prefix(1);
  Error error{std::string(cut(body, '\0')), code};
  return body.empty() ? error : std::move(error).hint(body);
}

}  // namespace proa::oci::runtime
