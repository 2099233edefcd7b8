// A hostile guest and its network interface.
#include <sys/socket.h>

#include "virtio.h"
#include "vmm/devices/virtio/net.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm::virtio;
  int pair[2];
  FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  const proa::Fd host(pair[0]);
  Net net(proa::Fd(pair[1]), {.receive = {}, .send = {}});
  TestDriver driver(net);
  char frame[1500] = {};
  for (int i = 0; i < 4; ++i) static_cast<void>(!::send(host.get(), frame, 60 + 400u * static_cast<unsigned>(i), 0));
  play(driver, Input(data, size));
  driver.transport.reset();
  return 0;
}
