// The sockets a container's queries come in by.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "fabric/address.h"

namespace proa::fabric::dns {

struct Listeners {
  Fd udp, tcp;
};
// On 127.0.0.11 of the namespace, at ports of the kernel's choice, so that port 53 stays free for the
// container; a stateless table `ip proa-dns` in the namespace brings port 53 of that address there and
// back.
Result<Listeners> listen_in(int netns_fd);

// Takes the table away again. None is fine.
Result<> remove_rules_in(int netns_fd);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
// "10.0.0.53", "fe80::1%eth0"; port 53. Nothing when it is no address.
std::optional<SocketAddress> server_address(const std::string& text);
// Of the `nameserver` lines, in order.
std::vector<std::string> host_servers();

}  // namespace proa::fabric::dns
