// A hostile guest and its disk.
#include <sys/mman.h>
#include <unistd.h>

#include "virtio.h"
#include "vmm/devices/virtio/block.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm::virtio;
  static const proa::Fd disk = [] {
    proa::Fd file(::memfd_create("disk", MFD_CLOEXEC));
    FUZZ_CHECK(::ftruncate(file.get(), 64 * 512) == 0);
    return file;
  }();
  const auto block = Block::open({.path = proa::cat("/proc/self/fd/", disk.get()), .serial = "x", .rate = {}}).value();
  TestDriver driver(*block);
  play(driver, Input(data, size));
  FUZZ_CHECK(::lseek(disk.get(), 0, SEEK_END) == 64 * 512);
  driver.transport.reset();
  return 0;
}
