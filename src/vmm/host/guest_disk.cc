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

// In an order that suits what depends on what. Before the host is reached, and after it has said what to set up.
constexpr std::string_view kEarly[] = {"drivers/virtio/virtio_ring",
                                       "drivers/virtio/virtio",
                                       "drivers/virtio/virtio_mmio",
                                       "net/vmw_vsock/vsock",
                                       "net/vmw_vsock/vmw_vsock_virtio_transport_common",
                                       "net/vmw_vsock/vmw_vsock_virtio_transport",
                                       "drivers/char/hw_random/rng-core",
                                       "drivers/char/hw_random/virtio-rng"};
constexpr std::string_view kLate[] = {"drivers/block/virtio_blk",
                                      "net/core/failover",
                                      "drivers/net/net_failover",
                                      "drivers/net/virtio_net",
                                      "crypto/crc32c_generic",
                                      "lib/crc16",
                                      "fs/mbcache",
                                      "fs/jbd2/jbd2",
                                      "fs/ext4/ext4",
                                      "fs/squashfs/squashfs",
                                      "fs/overlayfs/overlay"};
constexpr std::string_view kSuffixes[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};

std::string find_modules(const std::string& kernel, const std::string& release) {
  if (release.empty()) return "";
  const size_t slash = kernel.rfind('/');
  const std::string beside = cat(slash == std::string::npos ? "." : kernel.substr(0, slash), "/../lib/modules/");
  for (const std::string& folder : {beside + release, cat("/lib/modules/", release)})
    if (kernel::path_exists(cat(folder, "/kernel").c_str())) return folder;
  return "";
}

// Adds those that are there, and their list.
Result<> add_modules(CpioWriter& archive, const std::string& folder, std::span<const std::string_view> wanted,
                     std::string_view list) {
  std::string names;
  for (const std::string_view module : wanted) {
    for (const std::string_view suffix : kSuffixes) {
      const std::string path = cat(folder, "/kernel/", module, suffix);
      if (folder.empty() || !kernel::path_exists(path.c_str())) continue;
      FileView file = TRY_CTX(FileView::open(path), "module");
      if (const Compression how = find_compression(file.bytes()); how != Compression::kNone)
        file = TRY_CTX(unpack_cached(file, file.bytes(), how, ""), "module ", path);
      const std::string name = cat(module.substr(module.rfind('/') + 1), ".ko");
      archive.add_file(cat("proa/modules/", name), file.bytes());
      names += name + " ";
      break;
    }
  }
  archive.add_file(list, names);
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
  if (console) early.push_back("drivers/char/virtio_console");
  TRY(add_modules(archive, modules, early, "proa/early"));
  TRY(add_modules(archive, modules, kLate, "proa/late"));
  return archive.finish();
}

}  // namespace proa::vmm
