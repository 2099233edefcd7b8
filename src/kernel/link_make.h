// Making, changing and removing virtual network devices over rtnetlink. Each function that ends in
// _message only builds its request, for Netlink::batch().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/link.h"
#include "kernel/netlink.h"

namespace proa::kernel {

using Mac = std::array<uint8_t, 6>;

struct BridgeSpec {
  std::string name;
  uint32_t mtu = 0;        // 0: the kernel's
  std::optional<Mac> mac;  // fixed, so that it does not change as ports come and go
};
// Up, without spanning tree. EEXIST when there is a device of the name.
Message add_bridge_message(const BridgeSpec& spec);

struct VethEnd {
  std::string name;
  std::optional<Mac> mac;
  int master = 0;     // index of the bridge it becomes a port of
  int netns_fd = -1;  // the namespace it is made in; -1: the socket's
  bool arp = true;
  bool up = true;
};
// A pair of veth devices, each made in its place: nothing is moved afterwards. One request. The kernel
// brings `there` up only later (ENOTCONN): make it with `up` false.
Message add_veth_message(const VethEnd& here, const VethEnd& there, uint32_t mtu);

struct BridgePort {
  bool isolated = false;  // reaches other isolated ports not at all; the bridge itself it does
  bool hairpin = false;   // gets frames back that it sent
};
Message set_bridge_port_message(int index, const BridgePort& port);
// Makes the device `name` a port of the bridge.
Message set_master_message(std::string_view name, int bridge_index);
Message set_link_up_message(int index);
Message delete_link_message(int index);
Message add_address_message(const Address& address);

// Nothing when there is none.
Result<std::optional<Link>> find_link(Netlink& route, std::string_view name);
// A missing one is fine.
Result<> delete_link(Netlink& route, std::string_view name);

}  // namespace proa::kernel
