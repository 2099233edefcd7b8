// A hostile guest and its sockets.
#include <unistd.h>

#include "net/socket.h"
#include "virtio.h"
#include "vmm/devices/virtio/vsock.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  using namespace proa::vmm::virtio;
  const std::string path = proa::cat("/tmp/fuzz-vsock-", ::getpid());
  const auto reactor = Reactor::create().value();
  auto device = Vsock::listen({.guest_cid = 3, .path = path}, *reactor).value();
  {
    TestDriver driver(*device);
    const auto caller = proa::net::connect_unix_stream(path).value();
    static_cast<void>(!::write(caller.get(), "CONNECT 1\nhello", 15));
    reactor->turn(0);
    play(driver, Input(data, size));
    FUZZ_CHECK(device->connections() <= 1024);
    driver.transport.reset();
  }
  return 0;
}
