// As much of TCP (RFC 9293) as a small server behind a network device needs: it is called, never calls; segments are
// taken in order, what comes early is dropped and comes again; lost ones are sent again after a time. Everything is
// bounded: connections, what is kept of each, and answers to segments of none.
//
// Threads: one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"

namespace proa::vmm {

// Where segments come from and go back to. All in the host's byte order but for the hardware's address.
struct TcpPeer {
  uint32_t address = 0;
  uint16_t port = 0;
  uint8_t mac[6] = {};
  bool operator==(const TcpPeer& other) const { return address == other.address && port == other.port; }
};

enum TcpFlag : uint8_t { kTcpFin = 1, kTcpSyn = 2, kTcpRst = 4, kTcpPush = 8, kTcpAck = 16 };

struct TcpSegment {
  uint32_t sequence = 0, acknowledged = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  uint16_t most_segment = 0;  // with SYN: the largest that the sender takes; 0: not said
  std::span<const std::byte> payload;
};

struct TcpCounts {
  uint64_t opened = 0, closed = 0;
};

class TcpServer {
 public:
  static constexpr size_t kMostConnections = 30, kMostResets = 32;
  static constexpr size_t kMostInput = 12 << 10;
  static constexpr uint16_t kSegment = 1460;
  static constexpr std::chrono::milliseconds kFirstWait{200};
  static constexpr unsigned kTries = 8;

  // Takes one request off the front of `input`, if it is whole: its answer. `last`: the connection ends behind it.
  using Serve = std::function<std::string(std::string& input, bool& last)>;

  TcpServer(Serve serve, const Clock& clock, uint32_t first_sequence)
      : serve_(std::move(serve)), clock_(clock), next_sequence_(first_sequence) {}

  void receive(const TcpPeer& from, const TcpSegment& segment);
  // The next segment to send, and to whom; its payload is valid until the next call of anything.
  std::optional<std::pair<TcpPeer, TcpSegment>> next();
  // When next() has something: now (zero), later, or not before something is received.
  std::optional<std::chrono::nanoseconds> due() const;
  const TcpCounts& counts() const { return counts_; }
  size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    TcpPeer peer;
    uint32_t receive_next = 0;
    uint32_t first_unacknowledged = 0, send_next = 0, send_most = 0;  // most: the end of all that was ever sent
    uint32_t window = 0;
    uint16_t segment = 536;
    bool open = false;      // the handshake is over
    bool owes_ack = false;  // something came
    bool peer_ended = false;
    bool ending = false, end_acknowledged = false;  // ours: behind the output
    std::string input;
    std::string output;  // begins at first_unacknowledged (behind the SYN)
    std::optional<MonotonicTime> resend;
    unsigned tries = 0;

    uint32_t in_flight() const { return send_next - first_unacknowledged; }
    uint32_t unsent() const {
      return static_cast<uint32_t>(output.size() - std::min<size_t>(output.size(), in_flight()));
    }
    uint32_t room() const { return window - std::min(window, in_flight()); }
    bool owes_end() const { return ending && !end_acknowledged && in_flight() == output.size(); }
    bool can_send() const;
  };
  using Place = std::list<Connection>::iterator;

  void open(const TcpPeer& from, const TcpSegment& segment);
  void refuse(const TcpPeer& from, const TcpSegment& segment);
  // False: the segment's acknowledgement is none of ours.
  bool acknowledge(Connection& c, const TcpSegment& segment);
  void take(Connection& c, const TcpSegment& segment);
  void serve(Connection& c);
  void close(Place at);
  static TcpSegment next_of(Connection& c, bool probe);
  static TcpSegment plain(const Connection& c, uint8_t flags);
  void set_timer(Connection& c) const;

  const Serve serve_;
  const Clock& clock_;
  uint32_t next_sequence_;
  std::list<Connection> connections_;  // the one that was heard of last is the last
  std::vector<std::pair<TcpPeer, TcpSegment>> resets_;
  TcpCounts counts_;
};

}  // namespace proa::vmm
