#include "fabric/dns/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "fabric/namespace.h"
#include "kernel/file.h"
#include "kernel/process.h"

namespace proa::fabric::dns {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kServerPatience = milliseconds(2000);
constexpr auto kConnectionPatience = seconds(20);
constexpr size_t kMostForwarded = 1024, kMostConnections = 256;
constexpr int kDatagramsAtOnce = 64;
constexpr size_t kMostServers = 6;

bool has_names(const Endpoint& endpoint) { return endpoint.network != kDefaultNetwork; }

uint16_t random_id() {
  uint16_t id = 0;
  return ::getrandom(&id, sizeof id, 0) == sizeof id ? id : static_cast<uint16_t>(::getpid());
}

// A message's length before it (RFC 1035 4.2.2).
Packet framed(const Packet& packet) {
  Packet out{static_cast<uint8_t>(packet.size() >> 8), static_cast<uint8_t>(packet.size())};
  out.insert(out.end(), packet.begin(), packet.end());
  return out;
}

// Takes a whole framed message off the front.
std::optional<Packet> take_framed(Packet& buffer) {
  if (buffer.size() < 2) return std::nullopt;
  const size_t size = static_cast<size_t>(buffer[0] << 8 | buffer[1]);
  if (buffer.size() < size + 2) return std::nullopt;
  Packet packet(buffer.begin() + 2, buffer.begin() + 2 + static_cast<long>(size));
  buffer.erase(buffer.begin(), buffer.begin() + 2 + static_cast<long>(size));
  return packet;
}

// What can be read now; false at the end of the stream.
bool read_some(int fd, Packet& buffer) {
  uint8_t chunk[4096];
  for (;;) {
    const ssize_t got = ::recv(fd, chunk, sizeof chunk, 0);
    if (got > 0) {
      buffer.insert(buffer.end(), chunk, chunk + got);
      if (buffer.size() > 2 * kMaxMessage) return false;
      continue;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
}

}  // namespace

Server::~Server() {
  while (!served_.empty()) stop(served_.begin()->first);
}

std::string Server::error_of(std::string_view container) const {
  const auto found = errors_.find(container);
  return found == errors_.end() ? std::string() : found->second;
}

void Server::update(std::vector<Endpoint> endpoints) {
  names_ = Names(std::move(endpoints));
  errors_.clear();
  std::vector<std::string> gone;
  for (const auto& each : served_) {
    const bool stays = std::ranges::any_of(names_.endpoints(), [&](const Endpoint& e) {
      return e.container == each.first && has_names(e) && e.netns_inode == each.second.inode;
    });
    if (!stays) gone.push_back(each.first);
  }
  for (const std::string& container : gone) stop(container);
  for (const Endpoint& endpoint : names_.endpoints())
    if (has_names(endpoint) && !served_.contains(endpoint.container)) start(endpoint);
}

void Server::start(const Endpoint& endpoint) {
  const auto begin = [&]() -> Result<Served> {
    Served served;
    const Fd netns = TRY(kernel::open(endpoint.netns.c_str(), O_RDONLY));
    if (TRY(kernel::stat_fd(netns.get())).st_ino != endpoint.netns_inode)
      return fail("network namespace ", endpoint.netns, " is another by now");
    served.inode = endpoint.netns_inode;
    if (endpoint.pid > 0) served.process = TRY(kernel::pidfd_open(endpoint.pid));
    served.listeners = TRY(listen_in(netns.get()));
    return served;
  };
  Result<Served> served = begin();
  if (!served) {
    errors_[endpoint.container] = served.error().message();
    return;
  }
  const std::string container = endpoint.container;
  const Served& kept = served_.emplace(container, *std::move(served)).first->second;
  poller_.watch(kept.listeners.udp.get(), EPOLLIN, [this, container](uint32_t) { read_datagrams(container); });
  poller_.watch(kept.listeners.tcp.get(), EPOLLIN, [this, container](uint32_t) { accept_connections(container); });
  // Our sockets would keep the namespace of a dead container.
  if (kept.process) poller_.watch(kept.process.get(), EPOLLIN, [this, container](uint32_t) { stop(container); });
}

void Server::stop(const std::string& name) {
  const std::string container = name;  // NOLINT(performance-unnecessary-copy-initialization): may be the key that goes
  const auto found = served_.find(container);
  if (found == served_.end()) return;
  for (const int fd :
       {found->second.listeners.udp.get(), found->second.listeners.tcp.get(), found->second.process.get()})
    poller_.forget(fd);
  served_.erase(found);
  for (auto at = forwarded_.begin(); at != forwarded_.end();) {
    if (at->second.container == container) poller_.forget(at->first);
    at = at->second.container == container ? forwarded_.erase(at) : std::next(at);
  }
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (at->second.container == container) poller_.forget(at->first);
    at = at->second.container == container ? connections_.erase(at) : std::next(at);
  }
}

void Server::read_datagrams(const std::string& container) {
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    const auto served = served_.find(container);
    if (served == served_.end()) return;
    const int socket = served->second.listeners.udp.get();
    uint8_t buffer[4096];
    SocketAddress asker;
    asker.size = sizeof asker.storage;
    const ssize_t got =
        ::recvfrom(socket, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&asker.storage), &asker.size);
    if (got < 0) return;
    if (const auto answer = handle(container, {buffer, static_cast<size_t>(got)}, asker, -1))
      ::sendto(socket, answer->data(), answer->size(), MSG_NOSIGNAL, asker.get(), asker.size);
  }
}

std::optional<Packet> Server::handle(const std::string& container, PacketView packet, const SocketAddress& asker,
                                     int connection) {
  const Result<Query> query = parse_query(packet);
  if (!query) {
    const auto header = parse_header(packet);
    if (!header || header->answer) return std::nullopt;
    return plain_answer({.id = header->id, .name = {}, .question = {}}, kFormatError);
  }
  if (const auto answer = names_.answer(container, *query)) return connection < 0 ? fitted(*answer, *query) : *answer;
  if (forward(container, packet, asker, connection)) return std::nullopt;
  return plain_answer(*query, kServerFailure);
}

bool Server::forward(const std::string& container, PacketView packet, const SocketAddress& asker, int connection) {
  Names::Forwarding wanted = names_.forwarding(container);
  if (!wanted.allowed || forwarded_.size() >= kMostForwarded) return false;
  Forwarded forwarded;
  forwarded.container = container;
  forwarded.query.assign(packet.begin(), packet.end());
  forwarded.asker_id = parse_header(packet)->id;
  forwarded.tcp = connection >= 0;
  forwarded.from_container = !wanted.servers.empty();
  forwarded.servers = forwarded.from_container ? std::move(wanted.servers) : host_servers();
  forwarded.servers.resize(std::min(forwarded.servers.size(), kMostServers));
  forwarded.asker = asker;
  forwarded.connection = connection;
  if (!try_next_server(forwarded)) return false;
  const int fd = forwarded.socket.get();
  poller_.watch(fd, forwarded.tcp ? EPOLLOUT : EPOLLIN, [this, fd](uint32_t events) { on_server(fd, events); });
  forwarded_.emplace(fd, std::move(forwarded));
  return true;
}

// A loopback server of the container's own is on the container's loopback.
Result<Fd> Server::server_socket(const Forwarded& forwarded, const SocketAddress& server) const {
  const auto open = [&]() -> Result<Fd> {
    Fd socket(::socket(server.storage.ss_family,
                       (forwarded.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail_errno(errno, "socket");
    if (::connect(socket.get(), server.get(), server.size) != 0 && errno != EINPROGRESS)
      return fail_errno(errno, "connect");
    return socket;
  };
  const Result<Ip> ip = Ip::parse(forwarded.servers[forwarded.next]);
  if (!forwarded.from_container || !ip || !ip->loopback()) return open();
  for (const Endpoint& endpoint : names_.endpoints()) {
    if (endpoint.container != forwarded.container) continue;
    const Fd netns = TRY(kernel::open(endpoint.netns.c_str(), O_RDONLY));
    const Visit visit = TRY(Visit::enter(netns.get()));
    return open();
  }
  return open();
}

bool Server::try_next_server(Forwarded& forwarded) {
  for (; forwarded.next < forwarded.servers.size(); ++forwarded.next) {
    const auto server = server_address(forwarded.servers[forwarded.next]);
    if (!server) continue;
    Result<Fd> socket = server_socket(forwarded, *server);
    if (!socket) continue;
    forwarded.id = random_id();
    set_id(forwarded.query, forwarded.id);
    if (!forwarded.tcp && ::send(socket->get(), forwarded.query.data(), forwarded.query.size(), MSG_NOSIGNAL) < 0)
      continue;
    forwarded.socket = *std::move(socket);
    forwarded.received.clear();
    forwarded.deadline = Clock::now() + kServerPatience;
    ++forwarded.next;
    return true;
  }
  return false;
}

void Server::on_server(int fd, uint32_t events) {
  const auto found = forwarded_.find(fd);
  if (found == forwarded_.end()) return;
  Forwarded& forwarded = found->second;
  if (forwarded.tcp) return on_server_tcp(forwarded, events);
  uint8_t buffer[kMaxMessage];
  const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) give_up(fd);  // nobody listens there
    return;
  }
  const PacketView packet(buffer, static_cast<size_t>(got));
  const auto header = parse_header(packet);
  const Result<Query> query = parse_query(forwarded.query);
  if (!header || !header->answer || header->id != forwarded.id || !query || !answers_question(packet, query->question))
    return;  // not what was asked: a forgery, or late
  finish(fd, Packet(packet.begin(), packet.end()));
}

void Server::on_server_tcp(Forwarded& forwarded, uint32_t events) {
  const int fd = forwarded.socket.get();
  if ((events & EPOLLOUT) != 0) {
    const Packet bytes = framed(forwarded.query);  // fits a fresh socket's buffer
    if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) return give_up(fd);
    poller_.rearm(fd, EPOLLIN);
    return;
  }
  const bool open = read_some(fd, forwarded.received);
  if (const auto packet = take_framed(forwarded.received)) {
    const auto header = parse_header(*packet);
    if (header && header->answer && header->id == forwarded.id) return finish(fd, *packet);
  }
  if (!open) give_up(fd);
}

void Server::finish(int fd, Packet answer) {
  auto node = forwarded_.extract(fd);
  poller_.forget(fd);
  const Forwarded& forwarded = node.mapped();
  set_id(answer, forwarded.asker_id);
  if (!forwarded.tcp) {
    const auto served = served_.find(forwarded.container);
    if (served != served_.end())
      ::sendto(served->second.listeners.udp.get(), answer.data(), answer.size(), MSG_NOSIGNAL, forwarded.asker.get(),
               forwarded.asker.size);
    return;
  }
  const auto connection = connections_.find(forwarded.connection);
  if (connection == connections_.end()) return;
  connection->second.busy = false;
  send_on(connection->second, answer);
  take_queries(connection->second);
}

// The next server, or a failure for the asker.
void Server::give_up(int fd) {
  auto node = forwarded_.extract(fd);
  poller_.forget(fd);
  Forwarded forwarded = std::move(node.mapped());
  if (try_next_server(forwarded)) {
    const int next = forwarded.socket.get();
    poller_.watch(next, forwarded.tcp ? EPOLLOUT : EPOLLIN, [this, next](uint32_t events) { on_server(next, events); });
    forwarded_.emplace(next, std::move(forwarded));
    return;
  }
  const Result<Query> query = parse_query(forwarded.query);
  if (!query) return;
  Packet answer = plain_answer(*query, kServerFailure);
  forwarded_.emplace(fd, std::move(forwarded));
  finish(fd, std::move(answer));
}

void Server::accept_connections(const std::string& container) {
  const auto served = served_.find(container);
  if (served == served_.end()) return;
  Fd socket(::accept4(served->second.listeners.tcp.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || connections_.size() >= kMostConnections) return;
  const int fd = socket.get();
  Connection& connection = connections_[fd];
  connection.container = container;
  connection.socket = std::move(socket);
  connection.deadline = Clock::now() + kConnectionPatience;
  poller_.watch(fd, EPOLLIN, [this, fd](uint32_t events) { on_connection(fd, events); });
}

void Server::on_connection(int fd, uint32_t events) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  if ((events & EPOLLOUT) != 0) flush(found->second);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (!read_some(fd, found->second.in)) return drop_connection(fd);
  take_queries(found->second);
}

// One at a time: what follows waits in the buffer.
void Server::take_queries(Connection& connection) {
  while (!connection.busy) {
    const auto packet = take_framed(connection.in);
    if (!packet) return;
    connection.deadline = Clock::now() + kConnectionPatience;
    connection.busy = true;
    const auto answer = handle(connection.container, *packet, {}, connection.socket.get());
    if (!answer) return;
    connection.busy = false;
    send_on(connection, *answer);
  }
}

void Server::send_on(Connection& connection, const Packet& packet) {
  const Packet bytes = framed(packet);
  connection.out.insert(connection.out.end(), bytes.begin(), bytes.end());
  flush(connection);
}

void Server::flush(Connection& connection) {
  const int fd = connection.socket.get();
  const ssize_t sent = ::send(fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
  if (sent > 0) connection.out.erase(connection.out.begin(), connection.out.begin() + sent);
  poller_.rearm(fd, connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void Server::drop_connection(int fd) {
  poller_.forget(fd);
  connections_.erase(fd);
}

int Server::next_deadline_ms() const {
  auto next = Clock::time_point::max();
  for (const auto& [fd, forwarded] : forwarded_) next = std::min(next, forwarded.deadline);
  for (const auto& [fd, connection] : connections_) next = std::min(next, connection.deadline);
  if (next == Clock::time_point::max()) return -1;
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(next - Clock::now()).count()));
}

void Server::expire() {
  const auto now = Clock::now();
  std::vector<int> late;
  for (const auto& [fd, forwarded] : forwarded_)
    if (forwarded.deadline <= now) late.push_back(fd);
  for (const int fd : late) give_up(fd);
  late.clear();
  for (const auto& [fd, connection] : connections_)
    if (connection.deadline <= now) late.push_back(fd);
  for (const int fd : late) drop_connection(fd);
}

}  // namespace proa::fabric::dns
