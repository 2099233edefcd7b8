// The kernel's table of connections: forgetting those that a change of rules has made wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.h"
#include "kernel/netlink.h"

namespace proa::kernel {

// One direction of a connection. Addresses raw, in network order; ports in host order.
struct ConnectionTuple {
  std::vector<uint8_t> source, destination;
  uint8_t protocol = 0;  // IPPROTO_*
  uint16_t source_port = 0, destination_port = 0;
};
struct Connection {
  uint8_t family = 0;
  ConnectionTuple original, reply;
};

Result<Connection> parse_connection(const MessageView& message);
// Forgets those that `chosen` picks. Returns how many.
Result<size_t> forget_connections(Netlink& netfilter, uint8_t family,
                                  const std::function<bool(const Connection&)>& chosen);

}  // namespace proa::kernel
