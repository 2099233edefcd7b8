#include "vmm/devices/virtio/vsock.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "base/text.h"
#include "net/socket.h"

namespace proa::vmm::virtio {

namespace {

constexpr unsigned kToGuest = 0, kFromGuest = 1, kEvents = 2;
constexpr uint32_t kHostCid = 2;
constexpr uint32_t kBuffer = 256 << 10;  // what we keep of a connection for a slow reader of the host
constexpr uint32_t kMaxPacket = 64 << 10;
constexpr size_t kMaxConnections = 1024, kMaxControl = 4096, kMaxCallers = 128, kMaxLine = 32;
constexpr uint32_t kNoReceive = 1, kNoSend = 2;  // shutdown's flags

}  // namespace

Result<std::unique_ptr<Vsock>> Vsock::listen(VsockOptions options, Reactor& reactor) {
  std::unique_ptr<Vsock> device(new Vsock(std::move(options)));
  const std::string& path = device->options_.path;
  net::Endpoint endpoint;
  endpoint.path = path;
  device->listener_ = TRY_CTX(net::listen_on(endpoint), "vsock ", path);
  device->listening_ =
      TRY(reactor.watch(device->listener_.get(), EPOLLIN, [raw = device.get()](uint32_t) { raw->accept(); }));
  return device;
}

Vsock::~Vsock() {
  if (listener_) ::unlink(options_.path.c_str());
}

std::string Vsock::config() const {
  const uint64_t cid = options_.guest_cid;
  return {reinterpret_cast<const char*>(&cid), sizeof cid};
}

void Vsock::activate(uint64_t) {
  if (reset_due_) tell_reset();
}

void Vsock::reset() {
  connections_.clear();
  callers_.clear();
  control_.clear();
  settling_ = false;
  listening_.set_events(EPOLLIN);
}

void Vsock::notified(unsigned queue) {
  if (queue == kFromGuest) take_packets();
  if (queue == kEvents && reset_due_) tell_reset();
  if (queue == kEvents && settling_) look_whether_settled();
  give_packets();
}

// --- callers of the host

void Vsock::accept() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket || !transport().running() || callers_.size() >= kMaxCallers) return;
  const int id = socket.get();
  auto watching = transport().reactor().watch(id, EPOLLIN, [this, id](uint32_t) { hear(id); });
  if (!watching) return;
  callers_[id] = {.socket = std::move(socket), .watch = std::move(*watching), .line = {}};
}

// One byte at a time up to the line's end: what follows is the guest's.
void Vsock::hear(int id) {
  const auto at = callers_.find(id);
  if (at == callers_.end()) return;
  Caller& caller = at->second;
  char byte = 0;
  ssize_t got = 0;
  while (caller.line.size() < kMaxLine && (got = ::read(id, &byte, 1)) == 1 && byte != '\n') caller.line += byte;
  if (got < 0 && errno == EAGAIN) return;
  std::string_view rest = caller.line;
  const bool whole = got == 1 && byte == '\n' && cut(rest, ' ') == "CONNECT";
  const auto port = parse_number<uint32_t>(rest);
  auto node = callers_.extract(at);
  if (whole && port) call(std::move(node.mapped()), *port);
}

void Vsock::call(Caller caller, uint32_t guest_port) {
  if (connections_.size() >= kMaxConnections) return;
  Key key{next_port_, guest_port};
  while (connections_.contains(key)) ++key.host_port;
  next_port_ = key.host_port + 1 < 1u << 30 ? 1u << 30 : key.host_port + 1;
  caller.watch.stop();
  Connection& connection = connections_[key];
  connection.socket = std::move(caller.socket);
  connection.from_host = true;
  if (!watch(key, connection)) return static_cast<void>(connections_.erase(key));
  tell(key, kVsockRequest);
  give_packets();
}

Result<> Vsock::watch(const Key& key, Connection& connection) {
  connection.watch = TRY(
      transport().reactor().watch(connection.socket.get(), 0, [this, key](uint32_t events) { ready(key, events); }));
  return {};
}

void Vsock::set_interest(Connection& c) const {
  const bool read = c.established && !c.host_ended && !c.readable && !c.guest_deaf;
  c.watch.set_events((read ? EPOLLIN : 0u) | (c.to_host.empty() ? 0u : EPOLLOUT));
}

void Vsock::ready(const Key& key, uint32_t events) {
  const auto at = connections_.find(key);
  if (at == connections_.end()) return;
  Connection& c = at->second;
  if ((events & EPOLLOUT) != 0 && !flush_to_host(key, c)) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0 && !c.readable) {
    end(key, true);
    return give_packets();
  }
  if ((events & (EPOLLIN | EPOLLHUP)) != 0) c.readable = true;
  set_interest(c);
  give_packets();
}

// --- packets of the guest

void Vsock::take_packets() {
  Queue& queue = transport().queue(kFromGuest);
  if (!queue.ready()) return;
  Chain chain;
  do {
    queue.suppress();
    Queue::Pop popped = queue.pop(chain);
    for (; popped == Queue::Pop::kChain; popped = queue.pop(chain)) {
      if (!take(chain)) return transport().needs_reset();
      queue.push(chain, 0);
    }
    if (popped == Queue::Pop::kBroken) return transport().needs_reset();
  } while (queue.rearm());
  transport().signal(kFromGuest);
}

// False: the packet is impossible.
bool Vsock::take(const Chain& chain) {
  VsockHeader h;
  if (chain.read(0, &h, sizeof h) != sizeof h) return false;
  if (h.length > kMaxPacket || h.length > chain.readable_bytes - sizeof h) return false;
  const Key key{h.destination_port, h.source_port};
  const bool ours = h.destination_cid == kHostCid && h.source_cid == options_.guest_cid && h.type == 1;
  const auto at = connections_.find(key);
  if (!ours || (at == connections_.end() && h.operation != kVsockRequest)) {
    if (h.operation != kVsockReset) tell(key, kVsockReset);
    return true;
  }
  if (at == connections_.end()) {
    request(h);
    return true;
  }
  Connection& c = at->second;
  c.guest_buffer = h.buffer_size;
  c.guest_forwarded = h.forwarded;
  switch (h.operation) {
    case kVsockResponse:
      if (c.established || !c.from_host) {
        end(key, true);
        break;
      }
      c.established = true;
      c.to_host = cat("OK ", key.host_port, "\n");
      if (flush_to_host(key, c)) set_interest(c);
      break;
    case kVsockData: data(key, c, chain, h.length); break;
    case kVsockShutdown: shutdown(key, c, h.flags); break;
    case kVsockCreditRequest: tell(key, kVsockCreditUpdate); break;
    case kVsockCreditUpdate: break;
    case kVsockReset: end(key, false); break;
    default: end(key, true);
  }
  return true;
}

void Vsock::request(const VsockHeader& h) {
  const Key key{h.destination_port, h.source_port};
  auto socket = net::connect_unix_stream(cat(options_.path, "_", h.destination_port));
  if (!socket || connections_.size() >= kMaxConnections) return tell(key, kVsockReset);
  Connection& c = connections_[key];
  c.socket = std::move(*socket);
  c.established = true;
  c.guest_buffer = h.buffer_size;
  c.guest_forwarded = h.forwarded;
  if (!watch(key, c)) {
    connections_.erase(key);
    return tell(key, kVsockReset);
  }
  tell(key, kVsockResponse);
  set_interest(c);
}

void Vsock::data(const Key& key, Connection& c, const Chain& chain, uint32_t length) {
  // More than there was credit for is a breach.
  if (!c.established || c.guest_ended || length > kBuffer - (c.received - c.forwarded)) return end(key, true);
  c.received += length;
  if (c.to_host.empty()) {
    const auto parts = slice(chain.readable, sizeof(VsockHeader), length);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = parts.size();
    const ssize_t put = ::sendmsg(c.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno != EAGAIN) return end(key, true);
    const auto taken = static_cast<uint32_t>(std::max<ssize_t>(put, 0));
    c.forwarded += taken;
    std::string rest(length - taken, '\0');
    chain.read(sizeof(VsockHeader) + taken, rest.data(), rest.size());
    c.to_host = std::move(rest);
  } else {
    const size_t before = c.to_host.size();
    c.to_host.resize(before + length);
    chain.read(sizeof(VsockHeader), c.to_host.data() + before, length);
  }
  if (flush_to_host(key, c)) set_interest(c);
}

// False: the connection is gone.
bool Vsock::flush_to_host(const Key& key, Connection& c) {
  while (!c.to_host.empty()) {
    const ssize_t put = ::send(c.socket.get(), c.to_host.data(), c.to_host.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EAGAIN) break;
    if (put < 0) {
      end(key, true);
      return false;
    }
    c.to_host.erase(0, static_cast<size_t>(put));
    if (c.established && c.received != c.forwarded)
      c.forwarded += std::min(static_cast<uint32_t>(put), c.received - c.forwarded);
  }
  if (c.forwarded - c.told_forwarded >= kBuffer / 2) tell(key, kVsockCreditUpdate);
  if (!c.to_host.empty() || !c.guest_ended) return true;
  ::shutdown(c.socket.get(), SHUT_WR);
  if (!c.guest_deaf) return true;
  end(key, true);
  return false;
}

void Vsock::shutdown(const Key& key, Connection& c, uint32_t flags) {
  c.guest_deaf = c.guest_deaf || (flags & kNoReceive) != 0;
  c.guest_ended = c.guest_ended || (flags & kNoSend) != 0;
  if (flush_to_host(key, c)) set_interest(c);
}

void Vsock::end(const Key& key, bool tell_guest) {
  if (connections_.erase(key) != 0 && tell_guest) tell(key, kVsockReset);
}

// --- packets for the guest

VsockHeader Vsock::header(const Key& key, uint16_t operation) const {
  VsockHeader h;
  h.source_cid = kHostCid;
  h.destination_cid = options_.guest_cid;
  h.source_port = key.host_port;
  h.destination_port = key.guest_port;
  h.operation = operation;
  h.buffer_size = kBuffer;
  return h;
}

void Vsock::tell(const Key& key, uint16_t operation, uint32_t flags) {
  if (control_.size() >= kMaxControl) return;
  VsockHeader h = header(key, operation);
  h.flags = flags;
  if (const auto at = connections_.find(key); at != connections_.end())
    h.forwarded = at->second.told_forwarded = at->second.forwarded;
  control_.push_back(h);
}

// Reads the host's socket straight into the guest's buffer. False: there was nothing to give.
bool Vsock::give_data(const Key& key, Connection& c, const Chain& chain, uint32_t& written) {
  const uint64_t room = std::min<uint64_t>({chain.writable_bytes - sizeof(VsockHeader), c.credit(), kMaxPacket});
  const auto parts = slice(chain.writable, sizeof(VsockHeader), room);
  const ssize_t got = ::readv(c.socket.get(), parts.data(), static_cast<int>(parts.size()));
  c.readable = false;
  if (got < 0 && errno == EAGAIN) {
    set_interest(c);
    return false;
  }
  VsockHeader h = header(key, kVsockData);
  if (got <= 0) {
    c.host_ended = true;
    h.operation = kVsockShutdown;
    // A peer that is gone for good reads no more either.
    h.flags = got < 0 ? kNoSend | kNoReceive : kNoSend;
  }
  h.length = static_cast<uint32_t>(std::max<ssize_t>(got, 0));
  h.forwarded = c.told_forwarded = c.forwarded;
  c.sent += h.length;
  chain.write(0, &h, sizeof h);
  written = static_cast<uint32_t>(sizeof h) + h.length;
  set_interest(c);
  return true;
}

void Vsock::give_packets() {
  Queue& queue = transport().queue(kToGuest);
  if (!transport().running() || !queue.ready()) return;
  Chain chain;
  const auto next_chain = [&] {
    const Queue::Pop popped = queue.pop(chain);
    if (popped == Queue::Pop::kChain && chain.writable_bytes >= sizeof(VsockHeader) && chain.readable.empty())
      return true;
    if (popped != Queue::Pop::kEmpty) transport().needs_reset();
    return false;
  };
  while (!control_.empty() && next_chain()) {
    chain.write(0, &control_.front(), sizeof(VsockHeader));
    control_.pop_front();
    queue.push(chain, sizeof(VsockHeader));
  }
  bool more = control_.empty();
  while (more && transport().running()) {
    more = false;
    for (auto& [key, c] : connections_) {
      if (!c.readable || !c.established || c.credit() == 0 || c.credit() > c.guest_buffer) continue;
      if (!next_chain()) return transport().running() ? transport().signal(kToGuest) : void();
      uint32_t written = 0;
      if (!give_data(key, c, chain, written)) {
        queue.undo();
        continue;
      }
      queue.push(chain, written);
      more = true;
    }
  }
  queue.rearm();
  if (transport().running()) transport().signal(kToGuest);
}

// Event 0: all connections are gone (5.10.6.7).
void Vsock::tell_reset() {
  Queue& queue = transport().queue(kEvents);
  Chain chain;
  if (!transport().running() || !queue.ready() || queue.pop(chain) != Queue::Pop::kChain) return;
  const uint32_t event = 0;
  told_at_ = queue.rearm_at_end();
  settling_ = true;
  listening_.set_events(0);  // callers wait
  queue.push(chain, static_cast<uint32_t>(chain.write(0, &event, sizeof event)));
  reset_due_ = false;
  transport().signal(kEvents);
}

// The driver gives the event's buffer back once it has dropped its connections.
void Vsock::look_whether_settled() {
  if (transport().queue(kEvents).driver_index() == told_at_) return;
  settling_ = false;
  listening_.set_events(EPOLLIN);
}

// Connections do not survive: their other ends are sockets of this host.
void Vsock::transfer(StateStream& s) {
  s.section("vsock", 1);
  uint32_t cid = options_.guest_cid;
  s.value(cid);
  s.check(cid == options_.guest_cid, "guest_cid");
  s.value(next_port_);
  if (!s.saving()) reset_due_ = true;
}

}  // namespace proa::vmm::virtio
