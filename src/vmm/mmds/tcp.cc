#include "vmm/mmds/tcp.h"

namespace proa::vmm {

namespace {

// Whether `a` stands behind `b` (RFC 9293, 3.4).
bool after(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

}  // namespace

bool TcpServer::Connection::can_send() const {
  if (!open) return in_flight() == 0;
  return owes_ack || (unsent() > 0 && room() > 0) || owes_end();
}

void TcpServer::receive(const TcpPeer& from, const TcpSegment& segment) {
  const auto at = std::ranges::find(connections_, from, &Connection::peer);
  const bool known = at != connections_.end();
  if ((segment.flags & kTcpRst) != 0) {
    if (known && segment.sequence == at->receive_next) close(at);
    return;
  }
  if (!known) {
    if ((segment.flags & (kTcpSyn | kTcpAck)) == kTcpSyn)
      open(from, segment);
    else
      refuse(from, segment);
    return;
  }
  connections_.splice(connections_.end(), connections_, at);
  Connection& c = *at;
  if ((segment.flags & kTcpSyn) != 0) {  // again, or out of place (RFC 5961, 4)
    if (!c.open && segment.sequence + 1 == c.receive_next)
      c.send_next = c.first_unacknowledged;
    else
      c.owes_ack = true;
    return;
  }
  if ((segment.flags & kTcpAck) == 0) return;
  if (!acknowledge(c, segment)) {
    if (c.open)
      c.owes_ack = true;
    else
      refuse(from, segment);
    return;
  }
  take(c, segment);
  serve(c);
  set_timer(c);
  if (c.peer_ended && c.end_acknowledged) close(at);
}

void TcpServer::open(const TcpPeer& from, const TcpSegment& segment) {
  if (connections_.size() >= kMostConnections) close(connections_.begin());
  Connection& c = connections_.emplace_back();
  c.peer = from;
  c.receive_next = segment.sequence + 1;
  c.first_unacknowledged = c.send_next = c.send_most = next_sequence_;
  next_sequence_ += 0x1'0001;
  c.window = segment.window;
  if (segment.most_segment != 0) c.segment = std::clamp<uint16_t>(segment.most_segment, 64, kSegment);
  ++counts_.opened;
}

void TcpServer::close(Place at) {
  connections_.erase(at);
  ++counts_.closed;
}

// A reset, as RFC 9293, 3.5.2 has it.
void TcpServer::refuse(const TcpPeer& from, const TcpSegment& segment) {
  if (resets_.size() >= kMostResets) return;
  TcpSegment reset;
  if ((segment.flags & kTcpAck) != 0) {
    reset.sequence = segment.acknowledged;
    reset.flags = kTcpRst;
  } else {
    const uint32_t marks = ((segment.flags & kTcpSyn) != 0 ? 1u : 0u) + ((segment.flags & kTcpFin) != 0 ? 1u : 0u);
    reset.acknowledged = segment.sequence + static_cast<uint32_t>(segment.payload.size()) + marks;
    reset.flags = kTcpRst | kTcpAck;
  }
  resets_.emplace_back(from, reset);
}

bool TcpServer::acknowledge(Connection& c, const TcpSegment& segment) {
  const uint32_t upto = segment.acknowledged;
  if (after(upto, c.send_most)) return false;
  if (!c.open) {
    if (upto != c.first_unacknowledged + 1) return false;
    c.open = true;
    c.first_unacknowledged = c.send_next = upto;
    c.resend.reset();
  }
  if (!after(c.first_unacknowledged, upto)) c.window = segment.window;
  if (!after(upto, c.first_unacknowledged)) return true;
  const size_t count = upto - c.first_unacknowledged, data = std::min(count, c.output.size());
  c.output.erase(0, data);
  c.end_acknowledged = c.end_acknowledged || count > data;
  c.first_unacknowledged = upto;
  if (after(upto, c.send_next)) c.send_next = upto;
  c.tries = 0;
  c.resend.reset();
  return true;
}

// What comes in its turn, and fits; what was there before is passed over.
void TcpServer::take(Connection& c, const TcpSegment& segment) {
  const bool ends = (segment.flags & kTcpFin) != 0;
  if (segment.payload.empty() && !ends) return;
  c.owes_ack = true;
  if (c.peer_ended || after(segment.sequence, c.receive_next)) return;
  const uint32_t seen = c.receive_next - segment.sequence;
  if (seen > segment.payload.size()) return;
  const auto fresh = segment.payload.subspan(seen);
  const size_t size = c.ending ? fresh.size() : std::min(fresh.size(), kMostInput - c.input.size());
  if (!c.ending) c.input.append(reinterpret_cast<const char*>(fresh.data()), size);
  c.receive_next += static_cast<uint32_t>(size);
  if (!ends || size < fresh.size()) return;
  c.peer_ended = true;
  ++c.receive_next;
}

void TcpServer::serve(Connection& c) {
  if (!c.open || c.ending || !c.output.empty()) return;
  if (!c.input.empty()) c.output = serve_(c.input, c.ending);
  if (c.output.empty() && c.peer_ended) c.ending = true;
  if (c.ending) c.input.clear();
}

// Runs while something is under way, or cannot go because the other side has no room.
void TcpServer::set_timer(Connection& c) const {
  if (c.in_flight() == 0 && (c.unsent() == 0 || c.window != 0)) {
    c.resend.reset();
    c.tries = 0;
  } else if (!c.resend) {
    c.resend = clock_.monotonic() + kFirstWait * (1u << c.tries);
  }
}

TcpSegment TcpServer::plain(const Connection& c, uint8_t flags) {
  return {.sequence = c.send_next,
          .acknowledged = c.receive_next,
          .flags = static_cast<uint8_t>(flags | kTcpAck),
          .window = static_cast<uint16_t>(kMostInput - c.input.size()),
          .payload = {}};
}

// `probe`: one byte may go beyond the window.
TcpSegment TcpServer::next_of(Connection& c, bool probe) {
  TcpSegment segment = plain(c, 0);
  c.owes_ack = false;
  if (!c.open) {
    segment.flags |= kTcpSyn;
    segment.most_segment = kSegment;
    ++c.send_next;
  } else if (const uint32_t size =
                 std::min<uint32_t>({c.unsent(), std::max(c.room(), probe ? 1u : 0u), uint32_t{c.segment}});
             size > 0) {
    segment.payload = std::as_bytes(std::span(c.output)).subspan(c.in_flight(), size);
    if (size == c.unsent()) segment.flags |= kTcpPush;
    c.send_next += size;
  } else if (c.owes_end()) {
    segment.flags |= kTcpFin;
    ++c.send_next;
  }
  if (after(c.send_next, c.send_most)) c.send_most = c.send_next;
  return segment;
}

std::optional<std::pair<TcpPeer, TcpSegment>> TcpServer::next() {
  if (!resets_.empty()) {
    auto reset = resets_.back();
    resets_.pop_back();
    return reset;
  }
  const MonotonicTime now = clock_.monotonic();
  for (auto at = connections_.begin(); at != connections_.end();) {
    Connection& c = *at;
    const bool late = c.resend && now >= *c.resend;
    if (late && ++c.tries > kTries) {
      close(at++);
      continue;
    }
    if (late) {
      c.send_next = c.first_unacknowledged;
      c.resend.reset();
    }
    if (late || c.can_send()) {
      const TcpSegment segment = next_of(c, late);
      set_timer(c);
      return std::pair(c.peer, segment);
    }
    ++at;
  }
  return std::nullopt;
}

std::optional<std::chrono::nanoseconds> TcpServer::due() const {
  if (!resets_.empty()) return std::chrono::nanoseconds(0);
  std::optional<std::chrono::nanoseconds> least;
  const MonotonicTime now = clock_.monotonic();
  for (const Connection& c : connections_) {
    if (c.can_send()) return std::chrono::nanoseconds(0);
    if (!c.resend) continue;
    const auto wait = std::max(*c.resend - now, std::chrono::nanoseconds(0));
    least = std::min(least.value_or(wait), wait);
  }
  return least;
}

}  // namespace proa::vmm
