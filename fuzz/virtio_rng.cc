// A hostile guest and its entropy device.
#include "virtio.h"
#include "vmm/devices/virtio/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm::virtio;
  Rng rng;
  TestDriver driver(rng);
  play(driver, Input(data, size));
  driver.transport.reset();
  return 0;
}
