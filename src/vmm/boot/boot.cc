#include "vmm/boot/boot.h"

#include <cstring>

namespace proa::vmm {

namespace {

// Offsets in the zero page (boot.rst; Documentation/arch/x86/zero-page.rst).
constexpr size_t kRsdp = 0x70, kE820Entries = 0x1e8, kHeader = 0x1f1, kBootFlag = 0x1fe, kMagic = 0x202,
                 kVersion = 0x206, kLoader = 0x210, kLoadFlags = 0x211, kRamdiskImage = 0x218, kRamdiskSize = 0x21c,
                 kCommandLinePointer = 0x228, kCommandLineSize = 0x238, kE820 = 0x2d0, kExtRamdiskImage = 0xc0,
                 kExtRamdiskSize = 0xc4;
constexpr size_t kMaxE820 = 128;

struct Initrd {
  GuestAddress base = 0;
  uint64_t size = 0;
};

// hvm_start_info (Xen's public/arch-x86/hvm/start_info.h).
struct StartInfo {
  uint32_t magic = 0x336ec578, version = 1, flags = 0, modules = 0;
  uint64_t module_list = 0, command_line = 0, rsdp = 0, memory_map = 0;
  uint32_t memory_entries = 0, reserved = 0;
};
struct ModuleEntry {
  uint64_t address = 0, size = 0, command_line = 0, reserved = 0;
};
struct MapEntry {
  uint64_t address, size;
  uint32_t type, reserved;
};

// Multiboot 0.6.96, 3.3.
struct MultibootInfo {
  uint32_t flags = 0, mem_lower = 0, mem_upper = 0, boot_device = 0, command_line = 0, modules = 0, module_list = 0;
  uint32_t symbols[4] = {};
  uint32_t map_length = 0, map = 0, drives_length = 0, drives = 0, config = 0, loader_name = 0;
};
struct [[gnu::packed]] MultibootMapEntry {
  uint32_t size = 20;
  uint64_t base = 0, length = 0;
  uint32_t type = 0;
};

template <typename T>
void put(std::string& page, size_t at, T value) {
  std::memcpy(page.data() + at, &value, sizeof value);
}

// As high as the kernel allows, in the first slot: away from the kernel, which unpacks it from there.
Result<Initrd> load_initrd(const BootPlan& plan, const LoadedKernel& kernel, GuestMemory& memory) {
  if (plan.initrd.empty() && plan.initrd_extra.empty()) return Initrd{};
  std::optional<FileView> view;
  std::string_view content;
  if (!plan.initrd.empty()) {
    view = TRY_CTX(FileView::open(plan.initrd), "initrd");
    // What is compressed is unpacked here, natively; what we cannot unpack the kernel may.
    const Compression compression = find_compression(view->bytes());
    if (compression != Compression::kNone && compression != Compression::kUnknown)
      view =
          TRY_CTX(unpack_cached(*view, view->bytes(), compression, plan.options.cache_folder), "initrd ", plan.initrd);
    content = view->bytes();
  }
  const uint64_t padded = (content.size() + 3) & ~3ULL;
  const uint64_t size = padded + plan.initrd_extra.size();
  const Slot& low = memory.slots().front();
  const uint64_t top = std::min<uint64_t>(low.size, kernel.initrd_max + 1) & ~(kPageSize - 1);
  const uint64_t floor = std::max<uint64_t>(kernel.end, kHighMemory);
  if (top < size || ((top - size) & ~(kPageSize - 1)) < floor)
    return fail("initrd of ", size >> 20, " MiB: does not fit into memory beside the kernel")
        .hint("give the machine more memory");
  const Initrd placed{.base = (top - size) & ~(kPageSize - 1), .size = size};
  memory.write(placed.base, content.data(), content.size());
  memory.write(placed.base + padded, plan.initrd_extra.data(), plan.initrd_extra.size());
  return placed;
}

void write_zero_page(const LoadedKernel& kernel, const Initrd& initrd, GuestAddress rsdp, size_t command_line_size,
                     GuestMemory& memory) {
  std::string page(kPageSize, '\0');
  put<uint16_t>(page, kBootFlag, 0xaa55);
  put<uint32_t>(page, kMagic, 0x53726448);
  put<uint16_t>(page, kVersion, 0x20f);
  put<uint8_t>(page, kLoadFlags, 1);
  std::memcpy(page.data() + kHeader, kernel.setup_header.data(), kernel.setup_header.size());
  put<uint8_t>(page, kLoader, 0xff);
  put(page, kRamdiskImage, static_cast<uint32_t>(initrd.base));
  put(page, kRamdiskSize, static_cast<uint32_t>(initrd.size));
  put(page, kExtRamdiskImage, static_cast<uint32_t>(initrd.base >> 32));
  put(page, kExtRamdiskSize, static_cast<uint32_t>(initrd.size >> 32));
  put(page, kCommandLinePointer, static_cast<uint32_t>(kCommandLine));
  put(page, kCommandLineSize, static_cast<uint32_t>(command_line_size));
  put<uint64_t>(page, kRsdp, rsdp);
  const auto map = memory_map(memory);
  put(page, kE820Entries, static_cast<uint8_t>(map.size()));
  for (size_t i = 0; i < std::min(map.size(), kMaxE820); ++i) {
    put(page, kE820 + 20 * i, map[i].base);
    put(page, kE820 + 20 * i + 8, map[i].size);
    put(page, kE820 + 20 * i + 16, map[i].type);
  }
  memory.write(kZeroPage, page.data(), page.size());
}

void write_start_info(const Initrd& initrd, GuestAddress rsdp, GuestMemory& memory) {
  constexpr GuestAddress kModules = kStartInfo + 0x100, kMap = kStartInfo + 0x200;
  StartInfo info{.command_line = kCommandLine, .rsdp = rsdp, .memory_map = kMap};
  if (initrd.size != 0) {
    info.modules = 1;
    info.module_list = kModules;
    memory.store(kModules, ModuleEntry{.address = initrd.base, .size = initrd.size});
  }
  for (const MemoryRange& range : memory_map(memory))
    memory.store(kMap + sizeof(MapEntry) * info.memory_entries++, MapEntry{range.base, range.size, range.type, 0});
  memory.store(kStartInfo, info);
}

void write_multiboot(const Initrd& initrd, GuestMemory& memory) {
  constexpr GuestAddress kModules = kStartInfo + 0x100, kMap = kStartInfo + 0x200, kName = kStartInfo + 0x800;
  constexpr uint32_t kHasMemory = 1, kHasCommandLine = 4, kHasModules = 8, kHasMap = 64, kHasName = 512;
  MultibootInfo info{.flags = kHasMemory | kHasCommandLine | kHasMap | kHasName};
  info.mem_lower = 639;
  info.mem_upper = static_cast<uint32_t>((memory.slots().front().size - kHighMemory) >> 10);
  info.command_line = kCommandLine;
  if (initrd.size != 0) {
    info.flags |= kHasModules;
    info.modules = 1;
    info.module_list = kModules;
    const uint32_t module[4] = {static_cast<uint32_t>(initrd.base), static_cast<uint32_t>(initrd.base + initrd.size), 0,
                                0};
    memory.write(kModules, module, sizeof module);
  }
  info.map = kMap;
  for (const MemoryRange& range : memory_map(memory)) {
    const MultibootMapEntry entry{.base = range.base, .length = range.size, .type = range.type};
    memory.write(kMap + info.map_length, &entry, sizeof entry);
    info.map_length += sizeof entry;
  }
  memory.write(kName, "proa", 5);
  info.loader_name = kName;
  memory.store(kStartInfo, info);
}

constexpr Segment flat(uint16_t selector, uint32_t attributes) {
  return {.selector = selector, .attributes = attributes, .limit = 0xffffffff, .base = 0};
}

// Selectors 10h and 18h, as the protocols want them.
void write_gdt(bool wide, GuestMemory& memory) {
  const uint64_t code = wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
  const uint64_t gdt[] = {0, 0, code, 0x00cf93000000ffff, 0x008f8b000000ffff};
  memory.write(kGdt, gdt, sizeof gdt);
}

CpuState protected_mode(GuestAddress entry) {
  CpuState state;
  state.cr0 = 0x11;
  state.segments.fill(flat(0x18, 0xc093));
  state.segments[kCs] = flat(0x10, 0xc09b);
  state.tr = {.selector = 0, .attributes = 0x8b, .limit = 0x67, .base = 0};
  state.ldtr = {.selector = 0, .attributes = 0x10082, .limit = 0, .base = 0};
  state.gdtr = {kGdt, 39};
  state.idtr = {0, 0};
  state.rip = entry;
  state.fx[0] = 0x7f;
  state.fx[1] = 0x03;
  state.fx[24] = 0x80;
  state.fx[25] = 0x1f;
  return state;
}

// The first 4 GiB identity-mapped by pages of 2 MiB.
CpuState long_mode(GuestAddress entry, GuestMemory& memory) {
  constexpr uint64_t kTable = 3, kLarge = 0x83;
  memory.store<uint64_t>(kPageTables, (kPageTables + kPageSize) | kTable);
  for (uint64_t gib = 0; gib < 4; ++gib) {
    const GuestAddress directory = kPageTables + (2 + gib) * kPageSize;
    memory.store<uint64_t>(kPageTables + kPageSize + 8 * gib, directory | kTable);
    for (uint64_t i = 0; i < 512; ++i) memory.store<uint64_t>(directory + 8 * i, (gib << 30) | i << 21 | kLarge);
  }
  CpuState state = protected_mode(entry);
  state.cr0 = 0x80000011;
  state.cr3 = kPageTables;
  state.cr4 = 0x20;
  state.efer = 0x500;
  state.segments[kCs] = flat(0x10, 0xa09b);
  state.gpr[kRsp] = state.gpr[kRbp] = kBootStack;
  return state;
}

CpuState enter(const LoadedKernel& kernel, const Initrd& initrd, GuestAddress rsdp, size_t command_line_size,
               GuestMemory& memory) {
  write_gdt(kernel.protocol == BootProtocol::kLinux64, memory);
  CpuState state;
  switch (kernel.protocol) {
    case BootProtocol::kLinux64:
      write_zero_page(kernel, initrd, rsdp, command_line_size, memory);
      state = long_mode(kernel.entry, memory);
      state.gpr[kRsi] = kZeroPage;
      return state;
    case BootProtocol::kPvh:
      write_start_info(initrd, rsdp, memory);
      state = protected_mode(kernel.entry);
      state.gpr[kRbx] = kStartInfo;
      return state;
    case BootProtocol::kMultiboot:
      write_multiboot(initrd, memory);
      state = protected_mode(kernel.entry);
      state.gpr[kRax] = 0x2badb002;
      state.gpr[kRbx] = kStartInfo;
  }
  return state;
}

}  // namespace

std::vector<MemoryRange> memory_map(const GuestMemory& memory) {
  std::vector<MemoryRange> map = {{0, kLowMemoryEnd, 1}, {kAcpi, kAcpiEnd - kAcpi, 2}};
  for (const Slot& slot : memory.slots())
    map.push_back(slot.base == 0 ? MemoryRange{kHighMemory, slot.size - kHighMemory, 1}
                                 : MemoryRange{slot.base, slot.size, 1});
  return map;
}

Result<Booted> boot(const BootPlan& plan, const AcpiPlan& acpi, GuestMemory& memory) {
  const LoadedKernel kernel = TRY(load_kernel(plan.kernel, memory, plan.options));
  const uint32_t most = std::min(kernel.command_line_max, kCommandLineBytes - 1);
  if (plan.command_line.size() > most)
    return fail("command line: has ", plan.command_line.size(), " characters, the kernel takes ", most);
  memory.write(kCommandLine, plan.command_line.c_str(), plan.command_line.size() + 1);
  const Initrd initrd = TRY(load_initrd(plan, kernel, memory));
  const GuestAddress rsdp = TRY(write_acpi(acpi, memory));
  return Booted{.protocol = kernel.protocol, .state = enter(kernel, initrd, rsdp, plan.command_line.size(), memory)};
}

}  // namespace proa::vmm
