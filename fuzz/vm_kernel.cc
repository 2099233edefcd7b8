// Kernel images: ELF, bzImage, Multiboot, compressed.
#include <sys/mman.h>

#include "fuzz.h"
#include "kernel/file.h"
#include "vmm/boot/kernel.h"
#include "vmm/boot/layout.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  if (size == 0) return 0;
  static const auto memory = GuestMemory::create(memory_plan(32 << 20)).value();
  proa::Fd file(::memfd_create("kernel", MFD_CLOEXEC));
  FUZZ_CHECK(proa::kernel::write_all(file.get(), as_text(data, size)).has_value());
  const FileView view = FileView::map(std::move(file), "kernel").value();
  for (const auto protocol : {BootProtocol::kLinux64, BootProtocol::kPvh, BootProtocol::kMultiboot})
    static_cast<void>(load_kernel_image(view, *memory, {.cache_folder = {}, .protocol = protocol}));
  return 0;
}
