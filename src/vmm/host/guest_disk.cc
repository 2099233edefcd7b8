#include "vmm/host/guest_disk.h"

#include <cstring>
#include <span>

#include "kernel/file.h"
#include "vmm/boot/cpio.h"
#include "vmm/boot/decompress.h"

// host/guest_blob.S
extern "C" const char proa_guest_begin[], proa_guest_end[];

namespace proa::vmm {

namespace {

struct ModuleList {
  std::string_view name;  // in the archive
  std::span<const std::string_view> modules;
};
// In an order that suits what depends on what. Before the host is reached; for disks and for network interfaces, once
// the host has said that there are any. Drivers of those come last: what waits for the host has not seen either.
constexpr std::string_view kEarly[] = {"drivers/virtio/virtio_ring",
                                       "drivers/virtio/virtio",
                                       "drivers/virtio/virtio_mmio",
                                       "net/vmw_vsock/vsock",
                                       "net/vmw_vsock/vmw_vsock_virtio_transport_common",
                                       "net/vmw_vsock/vmw_vsock_virtio_transport",
                                       "drivers/char/hw_random/rng-core",
                                       "drivers/char/hw_random/virtio-rng",
                                       "net/core/failover",
                                       "drivers/net/net_failover",
                                       "crypto/crc32c_generic",
                                       "lib/crc16",
                                       "fs/mbcache",
                                       "fs/jbd2/jbd2",
                                       "fs/ext4/ext4",
                                       "fs/squashfs/squashfs",
                                       "fs/overlayfs/overlay"};
constexpr std::string_view kDisks[] = {"drivers/block/virtio_blk"};
constexpr std::string_view kNets[] = {"drivers/net/virtio_net"};
constexpr ModuleList kLists[] = {{"proa/early", kEarly}, {"proa/disks", kDisks}, {"proa/nets", kNets}};
constexpr std::string_view kConsole = "drivers/char/virtio_console";
constexpr std::string_view kSuffixes[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};

std::string find_modules(const std::string& kernel, const std::string& release) {
  if (release.empty()) return "";
  const size_t slash = kernel.rfind('/');
  const std::string beside = cat(slash == std::string::npos ? "." : kernel.substr(0, slash), "/../lib/modules/");
  for (const std::string& folder : {beside + release, cat("/lib/modules/", release)})
    if (kernel::path_exists(cat(folder, "/kernel").c_str())) return folder;
  return "";
}

// Of one module; "" where it is not there.
std::string find_module(const std::string& folder, std::string_view module) {
  for (const std::string_view suffix : kSuffixes) {
    std::string path = cat(folder, "/kernel/", module, suffix);
    if (!folder.empty() && kernel::path_exists(path.c_str())) return path;
  }
  return "";
}

// Adds those that are there, and their list.
Result<> add_modules(CpioWriter& archive, const std::string& folder, const ModuleList& list) {
  std::string names;
  for (const std::string_view module : list.modules) {
    const std::string path = find_module(folder, module);
    if (path.empty()) continue;
    FileView file = TRY_CTX(FileView::open(path), "module");
    if (const Compression how = find_compression(file.bytes()); how != Compression::kNone)
      file = TRY_CTX(unpack_cached(file, file.bytes(), how, ""), "module ", path);
    const std::string name = cat(module.substr(module.rfind('/') + 1), ".ko");
    archive.add_file(cat("proa/modules/", name), file.bytes());
    names += name + " ";
  }
  archive.add_file(list.name, names);
  return {};
}

}  // namespace

// The header's kernel_version is an offset from 200h (boot.rst).
Result<std::string> kernel_release(const std::string& kernel) {
  const FileView file = TRY_CTX(FileView::open(kernel), "kernel");
  const std::string_view image = file.bytes();
  uint16_t at = 0;
  if (image.size() < 0x210 || image.substr(0x202, 4) != "HdrS") return "";
  std::memcpy(&at, image.data() + 0x20e, sizeof at);
  if (at == 0 || at + 0x200u >= image.size()) return "";
  const std::string_view text = image.substr(at + 0x200u, 128);
  const std::string release(text.substr(0, text.find_first_of(std::string_view(" \0", 2))));
  return release.contains('/') ? "" : release;
}

Result<std::string> make_guest_disk(const std::string& kernel, std::string modules, bool console) {
  if (modules.empty()) modules = find_modules(kernel, TRY(kernel_release(kernel)));
  CpioWriter archive;
  const auto size = static_cast<size_t>(proa_guest_end - proa_guest_begin);
  archive.add_file("init", {proa_guest_begin, size}, 0100755);
  // What the kernel opens for the first process; the rest of /dev is mounted over it.
  archive.add("dev", 040755);
  archive.add("dev/console", 020600, {}, 5 << 8 | 1);
  archive.add("proa", 040755);
  archive.add("proa/modules", 040755);
  std::vector<std::string_view> early(std::begin(kEarly), std::end(kEarly));
  if (console) early.push_back(kConsole);
  for (const ModuleList& list : kLists)
    TRY(add_modules(archive, modules, list.modules.data() == kEarly ? ModuleList{list.name, early} : list));
  return archive.finish();
}

Result<std::vector<std::string>> guest_disk_files(const std::string& kernel, std::string modules) {
  if (modules.empty()) modules = find_modules(kernel, TRY(kernel_release(kernel)));
  std::vector<std::string> files;
  for (const ModuleList& list : kLists)
    for (const std::string_view module : list.modules)
      if (std::string path = find_module(modules, module); !path.empty()) files.push_back(std::move(path));
  if (std::string path = find_module(modules, kConsole); !path.empty()) files.push_back(std::move(path));
  return files;
}

}  // namespace proa::vmm
