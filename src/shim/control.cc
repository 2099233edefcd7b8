#include "shim/control.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

namespace proa::shim {
namespace {

constexpr size_t kMostHeld = 64;  // descriptors of one message

bool send_text(int fd, std::string_view text) {
  iovec data = {const_cast<char*>(text.data()), text.size()};
  msghdr message = {};
  message.msg_iov = &data, message.msg_iovlen = 1;
  return sys::send(fd, &message, MSG_DONTWAIT) == static_cast<long>(text.size());
}

}  // namespace

void Control::add(int peer) {
  for (Client& client : clients_) {
    if (client.used) continue;
    client = {.used = true, .fd = peer};
    return poller_.add(peer, kFirstControl + static_cast<uint64_t>(&client - clients_), EPOLLIN);
  }
  send_text(peer, "error: too many clients\n");
  sys::close(peer);
}

void Control::on_event(unsigned index, uint32_t events) {
  if (index >= kMost || !clients_[index].used) return;
  Client& client = clients_[index];
  if (!client.read_ended)
    read_from(client);
  else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
    drop(client);
}

void Control::read_from(Client& client) {
  iovec data = {client.text + client.size, kMaxLine - client.size};
  alignas(cmsghdr) char descriptors[CMSG_SPACE(kMostHeld * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data, message.msg_iovlen = 1;
  message.msg_control = descriptors, message.msg_controllen = sizeof descriptors;
  // What comes with "hold" is not looked at: it is open for as long as this process is.
  const long got = sys::receive_message(client.fd, &message, MSG_DONTWAIT);
  if (got == -EAGAIN) return;
  if (got > 0) {
    client.size += static_cast<size_t>(got);
    return run_lines(client);
  }
  // One that waits may have closed its sending half: only a hang-up ends it.
  if (got < 0 || !client.waiting) return drop(client);
  client.read_ended = true;
  poller_.change(client.fd, kFirstControl + static_cast<uint64_t>(&client - clients_), 0);
}

void Control::run_lines(Client& client) {
  while (client.used) {
    const auto* end = static_cast<const char*>(memchr(client.text, '\n', client.size));
    if (end == nullptr) break;
    const size_t length = static_cast<size_t>(end - client.text);
    Text<1024> text;
    const Result<Command> command = parse_command({client.text, length});
    if (!command)
      text << "error: " << command.error().text.view() << '\n';
    else if (command->kind == Command::Kind::wait)
      client.waiting = true;
    else
      executor_.execute(*command, text);
    client.size -= length + 1;
    memmove(client.text, end + 1, client.size);
    if (text.size() != 0) answer(client, text.view());
  }
  if (client.used && client.size == kMaxLine) {
    answer(client, "error: the line is too long\n");
    if (client.used) drop(client);
  }
}

void Control::answer(Client& client, std::string_view text) {
  if (!send_text(client.fd, text)) drop(client);  // it does not read its answers
}

void Control::drop(Client& client) {
  sys::close(client.fd);
  client = {};
}

void Control::end(std::string_view record) {
  for (Client& client : clients_) {
    if (!client.used) continue;
    if (client.waiting) send_text(client.fd, record);
    drop(client);
  }
}

}  // namespace proa::shim
