// A hostile guest and its console.
#include "virtio.h"
#include "vmm/devices/virtio/console.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm::virtio;
  Console console([](std::string_view text) { FUZZ_CHECK(text.size() <= 1 << 20); });
  TestDriver driver(console);
  console.input("hello");
  play(driver, Input(data, size));
  driver.transport.reset();
  return 0;
}
