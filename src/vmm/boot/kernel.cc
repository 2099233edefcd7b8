#include "vmm/boot/kernel.h"

#include <cstring>

#include "vmm/boot/layout.h"

namespace proa::vmm {

namespace {

// The setup header of a bzImage (boot.rst, "The Real-Mode Kernel Header").
constexpr size_t kSetupSects = 0x1f1, kHeaderMagic = 0x202, kVersion = 0x206, kInitrdMax = 0x22c, kXloadflags = 0x236,
                 kCommandLineMax = 0x238, kPayloadOffset = 0x248, kPayloadLength = 0x24c, kPreferred = 0x258,
                 kInitSize = 0x260, kHeaderBegin = 0x1f1, kJump = 0x201, kHeaderLimit = 0x290;

template <typename T>
T field(std::string_view image, size_t at) {
  T value{};
  if (at + sizeof value <= image.size()) std::memcpy(&value, image.data() + at, sizeof value);
  return value;
}

bool is_bzimage(std::string_view image) { return image.size() > 0x290 && image.substr(kHeaderMagic, 4) == "HdrS"; }

Result<LoadedKernel> place_elf(std::string_view image, GuestMemory& memory, const KernelOptions& options, bool linux) {
  const auto multiboot = find_multiboot(image);
  const ElfKernel elf = TRY(load_elf(image, memory));
  LoadedKernel kernel{.entry = elf.entry, .end = elf.end};
  kernel.protocol = linux           ? BootProtocol::kLinux64
                    : elf.pvh_entry ? BootProtocol::kPvh
                    : multiboot     ? BootProtocol::kMultiboot
                                    : BootProtocol::kLinux64;
  if (options.protocol) kernel.protocol = *options.protocol;
  if (kernel.protocol == BootProtocol::kPvh && !elf.pvh_entry) return fail("has no PVH entry (Xen's ELF note 18)");
  if (kernel.protocol == BootProtocol::kMultiboot && !multiboot) return fail("has no Multiboot header");
  if (kernel.protocol == BootProtocol::kPvh) kernel.entry = *elf.pvh_entry;
  return kernel;
}

constexpr size_t kEntry64 = 0x200;  // behind the start of the protected-mode code

// Without a payload the file's own code is all there is (memory testers and their kin).
Result<LoadedKernel> place_raw(std::string_view image, uint64_t setup_bytes, GuestMemory& memory) {
  if (setup_bytes >= image.size()) return fail("has no code behind its setup sectors");
  const std::string_view code = image.substr(setup_bytes);
  const auto at = field<uint64_t>(image, kPreferred);
  const uint64_t size = std::max<uint64_t>(code.size(), field<uint32_t>(image, kInitSize));
  if (at < kHighMemory || memory.at(at, size) == nullptr) return fail("does not fit into memory at ", at);
  memory.write(at, code.data(), code.size());
  return LoadedKernel{.protocol = BootProtocol::kLinux64, .entry = at + kEntry64, .end = at + size, .setup_header = {}};
}

// The payload is the ELF file, compressed; we unpack it and enter it without the kernel's own unpacker.
Result<LoadedKernel> load_bzimage(const FileView& file, GuestMemory& memory, const KernelOptions& options) {
  const std::string_view image = file.bytes();
  if (field<uint16_t>(image, kVersion) < 0x20c) return fail("is a kernel older than boot protocol 2.12 (Linux 3.8)");
  if ((field<uint16_t>(image, kXloadflags) & 1) == 0) return fail("is not a 64-bit kernel");
  const uint64_t setup = (field<uint8_t>(image, kSetupSects) == 0 ? 4u : field<uint8_t>(image, kSetupSects)) + 1u;
  const uint64_t payload = setup * 512 + field<uint32_t>(image, kPayloadOffset);
  const uint64_t length = field<uint32_t>(image, kPayloadLength);
  if (payload > image.size() || length > image.size() - payload) return fail("its payload is not within the file");
  LoadedKernel kernel;
  if (length == 0) {
    kernel = TRY(place_raw(image, setup * 512, memory));
  } else {
    const std::string_view packed = image.substr(payload, length);
    const FileView unpacked = TRY(unpack_cached(file, packed, find_compression(packed), options.cache_folder));
    if (!is_elf(unpacked.bytes())) return fail("its payload is no ELF file");
    kernel = TRY(place_elf(unpacked.bytes(), memory, options, true));
  }
  const size_t header_end = std::min<size_t>(kHeaderMagic + field<uint8_t>(image, kJump), kHeaderLimit);
  kernel.setup_header = image.substr(kHeaderBegin, header_end - kHeaderBegin);
  kernel.initrd_max = field<uint32_t>(image, kInitrdMax);
  kernel.command_line_max = field<uint32_t>(image, kCommandLineMax);
  return kernel;
}

// A file that is no ELF, with addresses in its Multiboot header.
Result<LoadedKernel> load_flat(std::string_view image, const MultibootHeader& header, GuestMemory& memory) {
  const uint64_t skip = header.offset - static_cast<uint64_t>(header.header_address - header.load);
  if (header.header_address < header.load || skip > image.size()) return fail("Multiboot: impossible addresses");
  const uint64_t whole = image.size() - skip;
  const uint64_t size = header.load_end == 0 ? whole : static_cast<uint64_t>(header.load_end) - header.load;
  const uint64_t end = std::max<uint64_t>(header.bss_end, header.load + size);
  std::byte* to = memory.at(header.load, end - header.load);
  if (size > whole || to == nullptr) return fail("Multiboot: impossible addresses");
  std::memcpy(to, image.data() + skip, size);
  std::memset(to + size, 0, end - header.load - size);
  return LoadedKernel{.protocol = BootProtocol::kMultiboot, .entry = header.entry, .end = end, .setup_header = {}};
}

}  // namespace

const char* protocol_name(BootProtocol protocol) {
  return protocol == BootProtocol::kLinux64 ? "linux64" : protocol == BootProtocol::kPvh ? "pvh" : "multiboot";
}

// In the first 8 KiB, at a multiple of 4; magic, flags and checksum add up to 0.
std::optional<MultibootHeader> find_multiboot(std::string_view image) {
  constexpr uint32_t kMagic = 0x1badb002;
  for (size_t at = 0; at + 12 <= std::min<size_t>(image.size(), 8192); at += 4) {
    if (field<uint32_t>(image, at) != kMagic) continue;
    MultibootHeader header{.offset = static_cast<uint32_t>(at), .flags = field<uint32_t>(image, at + 4)};
    if (kMagic + header.flags + field<uint32_t>(image, at + 8) != 0) continue;
    uint32_t* const addresses[] = {&header.header_address, &header.load, &header.load_end, &header.bss_end,
                                   &header.entry};
    for (size_t i = 0; i < 5; ++i) *addresses[i] = field<uint32_t>(image, at + 12 + 4 * i);
    return header;
  }
  return std::nullopt;
}

Result<LoadedKernel> load_kernel_image(const FileView& file, GuestMemory& memory, const KernelOptions& options) {
  const std::string_view image = file.bytes();
  if (is_bzimage(image)) return load_bzimage(file, memory, options);
  const auto multiboot = find_multiboot(image);
  if (multiboot && (multiboot->flags & 1u << 16) != 0) return load_flat(image, *multiboot, memory);
  if (is_elf(image)) return place_elf(image, memory, options, false);
  const Compression compression = find_compression(image);
  if (compression == Compression::kNone)
    return fail("is no kernel").hint("a bzImage, or an ELF file (vmlinux), compressed or not, is needed");
  const FileView unpacked = TRY(unpack_cached(file, image, compression, options.cache_folder));
  if (find_compression(unpacked.bytes()) != Compression::kNone) return fail("is compressed twice");
  return load_kernel_image(unpacked, memory, options);
}

Result<LoadedKernel> load_kernel(const std::string& path, GuestMemory& memory, const KernelOptions& options) {
  const FileView file = TRY_CTX(FileView::open(path), "kernel");
  return TRY_CTX(load_kernel_image(file, memory, options), "kernel ", path);
}

}  // namespace proa::vmm
