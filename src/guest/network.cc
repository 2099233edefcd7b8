#include "guest/network.h"

#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;

namespace {

class Control {
 public:
  Control() : fd_(static_cast<int>(sys::call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))) {}
  ~Control() { sys::close(fd_); }
  long operator()(unsigned long request, void* argument) const { return sys::control(fd_, request, argument); }

 private:
  int fd_;
};

ifreq request_for(std::string_view name) {
  ifreq request = {};
  for (size_t i = 0; i < name.size() && i + 1 < IFNAMSIZ; ++i) request.ifr_name[i] = name[i];
  return request;
}

sockaddr address_of(uint32_t address) {
  const sockaddr_in in{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {__builtin_bswap32(address)}, .sin_zero = {}};
  sockaddr out;
  __builtin_memcpy(&out, &in, sizeof out);
  return out;
}

// "10.0.0.1"
bool parse_address(std::string_view text, uint32_t* to) {
  uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    size_t end = part == 3 ? text.size() : text.find('.');
    uint64_t number = 0;
    if (end == std::string_view::npos || !shim::parse_number(shim::first(text, end), 255, &number)) return false;
    value = value << 8 | static_cast<uint32_t>(number);
    text.remove_prefix(end < text.size() ? end + 1 : end);
  }
  *to = value;
  return true;
}

}  // namespace

void interface_up(std::string_view name) {
  const Control control;
  ifreq request = request_for(name);
  if (control(SIOCGIFFLAGS, &request) < 0) return;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  control(SIOCSIFFLAGS, &request);
}

shim::Result<> add_address(std::string_view value) {
  const std::string_view device = shim::take_word(&value);
  std::string_view prefix = shim::take_word(&value);
  const size_t slash = prefix.find('/');
  uint32_t address = 0;
  uint64_t bits = 0;
  if (slash == std::string_view::npos || !parse_address(shim::first(prefix, slash), &address))
    return shim::fail("address ", prefix, ": is none");
  prefix.remove_prefix(slash + 1);
  if (!shim::parse_number(prefix, 32, &bits)) return shim::fail("address: /", prefix, " is no length of a prefix");
  const Control control;
  ifreq request = request_for(device);
  request.ifr_addr = address_of(address);
  long error = control(SIOCSIFADDR, &request);
  request.ifr_netmask = address_of(bits == 0 ? 0 : ~uint32_t{0} << (32 - bits));
  if (error == 0) error = control(SIOCSIFNETMASK, &request);
  if (error < 0) return shim::fail_with(error, "address of ", device);
  interface_up(device);
  return {};
}

shim::Result<> add_gateway(std::string_view value) {
  uint32_t address = 0;
  if (!parse_address(value, &address)) return shim::fail("gateway ", value, ": is none");
  rtentry route = {};
  route.rt_dst = route.rt_genmask = address_of(0);
  route.rt_gateway = address_of(address);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  const Control control;
  if (const long error = control(SIOCADDRT, &route); error < 0) return shim::fail_with(error, "gateway ", value);
  return {};
}

}  // namespace proa::guest
