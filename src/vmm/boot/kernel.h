// Kernels of every kind we boot: found out by their first bytes, put where they want to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "vmm/boot/decompress.h"
#include "vmm/memory/guest_memory.h"

namespace proa::vmm {

enum class BootProtocol : uint8_t {
  kLinux64,    // 64-bit entry, RSI: the zero page (Documentation/arch/x86/boot.rst)
  kPvh,        // 32-bit entry, EBX: hvm_start_info (Xen's docs/misc/pvh.pandoc)
  kMultiboot,  // 32-bit entry, EAX: magic, EBX: info (Multiboot 0.6.96)
};
const char* protocol_name(BootProtocol protocol);

// A kernel in guest memory.
struct LoadedKernel {
  BootProtocol protocol = BootProtocol::kLinux64;
  GuestAddress entry = 0;
  GuestAddress end = 0;      // after what it occupies, its zeroed part included
  std::string setup_header;  // a bzImage's, for the zero page; empty for an ELF file
  uint64_t initrd_max = 0x37ffffff;
  uint32_t command_line_max = 2047;
};

struct KernelOptions {
  std::string cache_folder;              // for what had to be unpacked; "": no cache
  std::optional<BootProtocol> protocol;  // instead of the first that the kernel offers
};

// Errors name the file and what is wrong with it.
Result<LoadedKernel> load_kernel(const std::string& path, GuestMemory& memory, const KernelOptions& options = {});
// The same of bytes at hand (tests, fuzzing).
Result<LoadedKernel> load_kernel_image(const FileView& file, GuestMemory& memory, const KernelOptions& options);

// ELF, of either class.
struct ElfKernel {
  GuestAddress entry = 0, end = 0;
  std::optional<uint32_t> pvh_entry;
};
bool is_elf(std::string_view image);
Result<ElfKernel> load_elf(std::string_view image, GuestMemory& memory);

struct MultibootHeader {
  uint32_t offset = 0, flags = 0;
  // With flag 16: where a file that is no ELF goes.
  uint32_t header_address = 0, load = 0, load_end = 0, bss_end = 0, entry = 0;
};
std::optional<MultibootHeader> find_multiboot(std::string_view image);

}  // namespace proa::vmm
