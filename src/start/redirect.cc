// redirect PROGRAM FROM TO CODE: in a linked x86-64 program, lets the function FROM begin with a jump to TO,
// provided that its code begins with CODE (hex digits, "??" for any byte). Where there is no such function,
// or another one, as with another release of the C library, the program is left as it is.
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

namespace {

struct Image {
  std::span<unsigned char> bytes;

  template <typename T>
  T* at(uint64_t offset, uint64_t count = 1) const {
    if (offset > bytes.size() || count > (bytes.size() - offset) / sizeof(T)) return nullptr;
    return reinterpret_cast<T*>(bytes.data() + offset);
  }
};

struct Function {
  uint64_t address = 0, size = 0;
};

// By name, from .symtab.
Function find(const Image& image, std::string_view name) {
  const auto* header = image.at<Elf64_Ehdr>(0);
  const auto* sections = image.at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  for (int i = 0; sections != nullptr && i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum) continue;
    const Elf64_Shdr& names = sections[sections[i].sh_link];
    const uint64_t count = sections[i].sh_size / sizeof(Elf64_Sym);
    const auto* symbols = image.at<Elf64_Sym>(sections[i].sh_offset, count);
    for (uint64_t at = 0; symbols != nullptr && at < count; ++at) {
      const char* text = image.at<char>(names.sh_offset + symbols[at].st_name, name.size() + 1);
      if (text != nullptr && ELF64_ST_TYPE(symbols[at].st_info) == STT_FUNC &&
          name == std::string_view(text, name.size()) && text[name.size()] == '\0')
        return {symbols[at].st_value, symbols[at].st_size};
    }
  }
  return {};
}

unsigned char* code_at(const Image& image, uint64_t address, uint64_t size) {
  const auto* header = image.at<Elf64_Ehdr>(0);
  const auto* segments = image.at<Elf64_Phdr>(header->e_phoff, header->e_phnum);
  for (int i = 0; segments != nullptr && i < header->e_phnum; ++i)
    if (segments[i].p_type == PT_LOAD && address >= segments[i].p_vaddr &&
        address + size <= segments[i].p_vaddr + segments[i].p_filesz)
      return image.at<unsigned char>(address - segments[i].p_vaddr + segments[i].p_offset, size);
  return nullptr;
}

bool begins_with(const unsigned char* code, std::string_view expected) {
  for (size_t i = 0; i + 1 < expected.size(); i += 2, ++code) {
    unsigned byte = 0;
    if (expected.substr(i, 2) == "??") continue;
    if (std::sscanf(expected.data() + i, "%2x", &byte) != 1 || byte != *code) return false;
  }
  return true;
}

bool redirect(const Image& image, std::string_view from, std::string_view to, std::string_view expected) {
  constexpr uint64_t kJump = 5;  // e9 and the distance from its end
  const auto* header = image.at<Elf64_Ehdr>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_machine != EM_X86_64)
    return false;
  const Function source = find(image, from), target = find(image, to);
  if (source.size < expected.size() / 2 || source.size < kJump || target.size == 0) return false;
  unsigned char* code = code_at(image, source.address, source.size);
  if (code == nullptr || !begins_with(code, expected)) return false;
  const auto distance = static_cast<int32_t>(target.address - (source.address + kJump));
  code[0] = 0xe9;
  std::memcpy(code + 1, &distance, sizeof distance);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: redirect PROGRAM FROM TO CODE\n", stderr), 2;
  const int fd = ::open(argv[1], O_RDWR | O_CLOEXEC);
  struct stat info{};
  if (fd < 0 || ::fstat(fd, &info) != 0) return std::perror(argv[1]), 1;
  const auto size = static_cast<size_t>(info.st_size);
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return std::perror(argv[1]), 1;
  if (!redirect({{static_cast<unsigned char*>(mapped), size}}, argv[2], argv[3], argv[4]))
    std::printf("%s: %s is not as known here, left alone\n", argv[1], argv[2]);
  ::munmap(mapped, size);
  ::close(fd);
  return 0;
}
