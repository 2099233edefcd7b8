// Archives for the kernel's initial RAM file system (Documentation/driver-api/early-userspace/buffer-format.rst): the
// "newc" form of cpio. Archives one after the other are one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace proa::vmm {

class CpioWriter {
 public:
  // `mode` with the file's type: 0100755, 040755, 020600 (with `device`: major << 8 | minor).
  void add(std::string_view name, uint32_t mode, std::string_view content = {}, uint32_t device = 0);
  // The folders above it are made too, once each.
  void add_file(std::string_view path, std::string_view content, uint32_t mode = 0100644);
  // With the trailer, padded to 512 bytes. Not to be used afterwards.
  std::string finish();

 private:
  void pad(size_t to);
  std::string out_;
  std::string folders_ = "/";  // "/a/ /a/b/": those that are there
  uint32_t next_inode_ = 1;
};

}  // namespace proa::vmm
