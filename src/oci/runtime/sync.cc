#include "oci/runtime/sync.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <charconv>

#include "base/text.h"
#include "kernel/unix_socket.h"

namespace proa::oci::runtime {
namespace {

constexpr size_t kMaxMessage = 65536;  // the paths of every hierarchy of control groups

}  // namespace

Result<std::pair<Sync, Sync>> Sync::make_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return fail_errno(errno, "make socket pair");
  return std::pair(Sync(Fd(fds[0])), Sync(Fd(fds[1])));
}

Result<> Sync::send(char kind, std::string_view body, std::span<const int> fds) const {
  if (body.size() >= kMaxMessage) return fail_errno(EMSGSIZE, "send to the other process");
  const iovec parts[2] = {{&kind, 1}, {const_cast<char*>(body.data()), body.size()}};
  TRY_CTX(kernel::send_message(socket_.get(), parts, fds), "send to the other process");
  return {};
}

Result<Message> Sync::receive() const {
  char buffer[kMaxMessage];
  Message out;
  const size_t got = TRY_CTX(kernel::receive_message(socket_.get(), buffer, out.fds), "receive from the other process");
  if (got == 0) return out;
  out.kind = buffer[0];
  out.body.assign(buffer + 1, got - 1);
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
