// Ports of the host: reading what is asked for, choosing numbers, keeping other processes off them.
#pragma once

#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "fabric/fabric.h"

namespace proa::fabric {

struct Reservation {
  std::vector<Port> ports;
  std::vector<Fd> sockets;
};
// Every port asked for, for each of the endpoint's families. EADDRINUSE reads "Bind for 0.0.0.0:8080
// failed: port is already allocated".
Result<Reservation> reserve(const std::vector<PortRequest>& requests, const Network& network, const Endpoint& endpoint);

std::string host_text(const Ip& ip, uint16_t port);  // "[::]:8080"

}  // namespace proa::fabric
