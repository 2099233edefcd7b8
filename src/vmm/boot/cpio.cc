#include "vmm/boot/cpio.h"

#include <array>

namespace proa::vmm {

namespace {

void append_hex(std::string& out, size_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 28; shift >= 0; shift -= 4) out += kDigits[value >> shift & 15];
}

}  // namespace

void CpioWriter::pad(size_t to) { out_.resize((out_.size() + to - 1) / to * to, '\0'); }

void CpioWriter::add(std::string_view name, uint32_t mode, std::string_view content, uint32_t device) {
  out_ += "070701";
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const std::array<size_t, 13> fields = {
      next_inode_++, mode, 0, 0, 1, 0, content.size(), 0, 0, device >> 8, device & 0xff, name.size() + 1, 0};
  for (const size_t field : fields) append_hex(out_, field);
  out_ += name;
  out_ += '\0';
  pad(4);
  out_ += content;
  pad(4);
}

void CpioWriter::add_file(std::string_view path, std::string_view content, uint32_t mode) {
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    const std::string folder = " " + std::string(path.substr(0, slash)) + " ";
    if (slash == 0 || folders_.contains(folder)) continue;
    folders_ += folder;
    add(path.substr(0, slash), 040755);
  }
  add(path, mode, content);
}

std::string CpioWriter::finish() {
  next_inode_ = 0;
  add("TRAILER!!!", 0);
  pad(512);
  return std::move(out_);
}

}  // namespace proa::vmm
