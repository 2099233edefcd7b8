#include "shim/attach.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

namespace proa::shim {
namespace {

constexpr int kSendBuffer = 512 * 1024;

void send_text(int fd, std::string_view text) {
  iovec data = {const_cast<char*>(text.data()), text.size()};
  msghdr message = {};
  message.msg_iov = &data, message.msg_iovlen = 1;
  sys::send(fd, &message, MSG_DONTWAIT);
}

bool wants(const Hello& hello, Stream stream) {
  return stream == Stream::out ? hello.out : stream == Stream::err ? hello.err : hello.result;
}

}  // namespace

void Attach::add(int peer) {
  for (Client& client : clients_) {
    if (client.phase != Client::Phase::none) continue;
    client = {.phase = Client::Phase::hello, .fd = peer};
    if (sys::set_socket_option(peer, SO_SNDBUFFORCE, kSendBuffer) < 0)
      sys::set_socket_option(peer, SO_SNDBUF, kSendBuffer);
    return watch(client);
  }
  send_text(peer, "error: too many clients\n");
  sys::close(peer);
}

void Attach::on_event(unsigned index, uint32_t events) {
  if (index >= kMost || clients_[index].phase == Client::Phase::none) return;
  Client& client = clients_[index];
  if ((events & EPOLLOUT) != 0 && client.lagging) push(client);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    if (client.phase == Client::Phase::hello)
      read_hello(client);
    else if (client.phase == Client::Phase::attached && !client.read_ended)
      read_from(client);
    else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
      return drop(client);
  }
  if (client.phase != Client::Phase::none) watch(client);
}

void Attach::read_hello(Client& client) {
  // No more than the line is taken out of the socket: what follows is input, which may have to wait.
  char* const to = client.hello_text + client.hello_size;
  const long seen = sys::receive(client.fd, to, kMaxHello - client.hello_size, MSG_DONTWAIT | MSG_PEEK);
  if (seen == -EAGAIN) return;
  if (seen <= 0) return drop(client);
  const auto* end = static_cast<const char*>(memchr(to, '\n', static_cast<size_t>(seen)));
  const size_t taken = end != nullptr ? static_cast<size_t>(end - to) + 1 : static_cast<size_t>(seen);
  sys::receive(client.fd, to, taken, MSG_DONTWAIT);
  client.hello_size += taken;
  if (end != nullptr)
    greet(client, {client.hello_text, client.hello_size - 1});
  else if (client.hello_size == kMaxHello)
    refuse(client, "the first line is too long");
}

void Attach::greet(Client& client, std::string_view line) {
  const Result<Hello> hello = parse_hello(line);
  if (!hello) return refuse(client, hello.error().text.view());
  if (hello->in && !input_.exists()) return refuse(client, "the container was made without standard input");
  client.hello = *hello;
  client.phase = Client::Phase::attached;
  send_text(client.fd, "ok\n");
}

void Attach::refuse(Client& client, std::string_view why) {
  const Text<256> text("error: ", why, '\n');
  send_text(client.fd, text.view());
  drop(client);
}

void Attach::read_from(Client& client) {
  if (client.hello.in && input_.full()) return;
  // What a client says that did not ask for stdin goes nowhere.
  char junk[256];
  char* const to = client.hello.in ? input_.buffer() : junk;
  const long got = sys::receive(client.fd, to, client.hello.in ? Input::capacity() : sizeof junk, MSG_DONTWAIT);
  if (got == -EAGAIN) return;
  if (got <= 0) return end_of_reading(client);
  if (client.hello.in) input_.take(static_cast<size_t>(got));
}

void Attach::end_of_reading(Client& client) {
  client.read_ended = true;
  if (client.hello.in) input_.client_ended();
  if (!client.hello.out && !client.hello.err && !client.hello.result) drop(client);
}

void Attach::deliver(Stream stream, std::string_view bytes) {
  stream_ = stream, chunk_ = bytes;
  int64_t now = 0;
  for (Client& client : clients_) {
    if (client.phase != Client::Phase::attached || !wants(client.hello, stream)) continue;
    client.sent = 0;
    client.lagging = true;
    ++lagging_;
    push(client);
    if (!client.lagging) continue;
    if (client.hello.patience == 0) {
      ++dropped_;
      drop(client);
      continue;
    }
    if (now == 0) now = sys::milliseconds();
    client.deadline = client.hello.patience == kForever ? INT64_MAX : now + client.hello.patience;
    watch(client);
  }
}

void Attach::push(Client& client) {
  unsigned char header[kFrameHeader];
  write_frame_header(header, stream_, static_cast<uint32_t>(chunk_.size()));
  const size_t head = client.hello.raw ? 0 : kFrameHeader, total = head + chunk_.size();
  while (client.sent < total) {
    const size_t in_head = client.sent < head ? client.sent : head, in_chunk = client.sent - in_head;
    iovec data[] = {{header + in_head, head - in_head},
                    {const_cast<char*>(chunk_.data()) + in_chunk, chunk_.size() - in_chunk}};
    msghdr message = {};
    message.msg_iov = data, message.msg_iovlen = 2;
    const long sent = sys::send(client.fd, &message, MSG_DONTWAIT);
    if (sent == -EAGAIN) return;
    if (sent < 0) return stop_output(client);
    client.sent += static_cast<uint32_t>(sent);
  }
  client.lagging = false;
  --lagging_;
}

void Attach::stop_output(Client& client) {
  // It is gone, but what it wrote before still has to reach the container.
  if (!client.hello.in || client.read_ended) return drop(client);
  client.hello.out = client.hello.err = client.hello.result = false;
  client.lagging = false;
  --lagging_;
}

int64_t Attach::deadline() const {
  int64_t first = INT64_MAX;
  for (const Client& client : clients_)
    if (client.lagging && client.deadline < first) first = client.deadline;
  return first;
}

void Attach::drop_late(int64_t now) {
  for (Client& client : clients_) {
    if (!client.lagging || client.deadline > now) continue;
    ++dropped_;
    drop(client);
  }
}

void Attach::on_input_free() {
  for (Client& client : clients_)
    if (client.phase == Client::Phase::attached) watch(client);
}

void Attach::watch(Client& client) {
  const bool paused = client.phase == Client::Phase::attached && client.hello.in && !client.read_ended && input_.full();
  uint32_t events = client.read_ended || paused ? 0 : EPOLLIN;
  if (client.lagging) events |= EPOLLOUT;
  // A hang-up is always reported: while it cannot be acted upon, the client must not be watched at all.
  const bool watched = !paused || client.lagging;
  const uint64_t tag = kFirstAttached + static_cast<uint64_t>(&client - clients_);
  if (!watched && client.watched)
    poller_.remove(client.fd);
  else if (watched && !client.watched)
    poller_.add(client.fd, tag, events);
  else if (watched && events != client.events)
    poller_.change(client.fd, tag, events);
  client.watched = watched, client.events = events;
}

void Attach::drop(Client& client) {
  if (client.lagging) --lagging_;
  if (client.phase == Client::Phase::attached && client.hello.in && !client.read_ended) input_.client_ended();
  // Unread input would make the kernel report a reset to the client instead of an end.
  char junk[1024];
  for (int i = 0; i < 16 && sys::receive(client.fd, junk, sizeof junk, MSG_DONTWAIT) > 0; ++i) {
  }
  sys::close(client.fd);
  client = {};
}

void Attach::close_all() {
  for (Client& client : clients_)
    if (client.phase != Client::Phase::none) drop(client);
}

unsigned Attach::count() const {
  unsigned found = 0;
  for (const Client& client : clients_) found += client.phase == Client::Phase::attached ? 1 : 0;
  return found;
}

}  // namespace proa::shim
