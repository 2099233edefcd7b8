// A linked x86-64 program, mapped to be changed: for the tools of the build.
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace proa {

class ElfImage {
 public:
  // Empty when it is no such program; says why.
  static ElfImage open(const char* path) {
    ElfImage out;
    const int fd = ::open(path, O_RDWR | O_CLOEXEC);
    struct stat info{};
    if (fd < 0 || ::fstat(fd, &info) != 0) {
      std::perror(path);
      return out;
    }
    const auto size = static_cast<size_t>(info.st_size);
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (mapped == MAP_FAILED) {
      std::perror(path);
      return out;
    }
    out.bytes_ = {static_cast<unsigned char*>(mapped), size};
    const auto* header = out.at<Elf64_Ehdr>(0);
    if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_machine != EM_X86_64) {
      std::fprintf(stderr, "%s: no program for x86-64\n", path);
      out.unmap();
    }
    return out;
  }
  ElfImage() = default;
  ElfImage(const ElfImage&) = delete;
  ElfImage(ElfImage&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  ElfImage& operator=(ElfImage&&) = delete;
  ~ElfImage() { unmap(); }

  explicit operator bool() const { return !bytes_.empty(); }

  // By place in the file; null outside of it.
  template <typename T>
  T* at(uint64_t offset, uint64_t count = 1) const {
    if (offset > bytes_.size() || count > (bytes_.size() - offset) / sizeof(T)) return nullptr;
    return reinterpret_cast<T*>(bytes_.data() + offset);
  }
  // By address in the program.
  template <typename T>
  T* at_address(uint64_t address, uint64_t count = 1) const {
    for (const Elf64_Phdr& segment : segments())
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address + count * sizeof(T) <= segment.p_vaddr + segment.p_filesz)
        return at<T>(address - segment.p_vaddr + segment.p_offset, count);
    return nullptr;
  }

  std::span<Elf64_Shdr> sections() const {
    const auto* header = at<Elf64_Ehdr>(0);
    auto* first = at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
    return {first, first == nullptr ? size_t{0} : header->e_shnum};
  }
  std::span<Elf64_Phdr> segments() const {
    const auto* header = at<Elf64_Ehdr>(0);
    auto* first = at<Elf64_Phdr>(header->e_phoff, header->e_phnum);
    return {first, first == nullptr ? size_t{0} : header->e_phnum};
  }

  struct Symbol {
    uint64_t address = 0, size = 0;
  };
  // By name and type (STT_FUNC ...), from .symtab; size 0: there is none.
  Symbol find(std::string_view name, int type) const {
    for (const Elf64_Shdr& section : sections()) {
      if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections().size()) continue;
      const Elf64_Shdr& names = sections()[section.sh_link];
      const uint64_t count = section.sh_size / sizeof(Elf64_Sym);
      const auto* symbols = at<Elf64_Sym>(section.sh_offset, count);
      for (uint64_t i = 0; symbols != nullptr && i < count; ++i) {
        const char* text = at<char>(names.sh_offset + symbols[i].st_name, name.size() + 1);
        if (text != nullptr && ELF64_ST_TYPE(symbols[i].st_info) == type &&
            name == std::string_view(text, name.size()) && text[name.size()] == '\0')
          return {symbols[i].st_value, symbols[i].st_size};
      }
    }
    return {};
  }

 private:
  void unmap() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    bytes_ = {};
  }
  std::span<unsigned char> bytes_;
};

}  // namespace proa
