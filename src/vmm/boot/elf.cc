// ELF files of both classes, by physical addresses.
#include <elf.h>

#include <cstring>

#include "vmm/boot/kernel.h"

namespace proa::vmm {

namespace {

constexpr uint32_t kPvhNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr unsigned kMaxSegments = 256;

template <typename T>
std::optional<T> read_at(std::string_view image, uint64_t at) {
  if (at > image.size() || image.size() - at < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, image.data() + at, sizeof value);
  return value;
}

uint64_t aligned(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

std::optional<uint32_t> find_pvh(std::string_view notes, uint64_t alignment) {
  alignment = alignment == 8 ? 8 : 4;
  for (uint64_t at = 0;;) {
    const auto note = read_at<Elf64_Nhdr>(notes, at);
    if (!note) return std::nullopt;
    const uint64_t name = at + sizeof(Elf64_Nhdr);
    const uint64_t value = name + aligned(note->n_namesz, alignment);
    if (note->n_type == kPvhNote && note->n_namesz == 4 && name + 4 <= notes.size() &&
        notes.substr(name, 4) == std::string_view("Xen\0", 4))
      return read_at<uint32_t>(notes, value);
    at = value + aligned(note->n_descsz, alignment);
  }
}

Result<> load_segment(std::string_view image, GuestMemory& memory, uint64_t offset, uint64_t file_size,
                      GuestAddress address, uint64_t memory_size) {
  if (offset > image.size() || file_size > image.size() - offset || file_size > memory_size)
    return fail("ELF: a segment at ", offset, " is not within the file");
  std::byte* to = memory.at(address, memory_size);
  if (to == nullptr)
    return fail("ELF: needs memory from ", address, " to ", address + memory_size).hint("give the machine more memory");
  std::memcpy(to, image.data() + offset, file_size);
  std::memset(to + file_size, 0, memory_size - file_size);
  return {};
}

template <typename Ehdr, typename Phdr>
Result<ElfKernel> load(std::string_view image, GuestMemory& memory) {
  const auto header = read_at<Ehdr>(image, 0);
  if (!header) return fail("ELF: ends within its header");
  if (header->e_machine != EM_X86_64 && header->e_machine != EM_386) return fail("ELF: is not for x86");
  if (header->e_type != ET_EXEC && header->e_type != ET_DYN) return fail("ELF: is not executable");
  if (header->e_phnum == 0 || header->e_phnum > kMaxSegments || header->e_phentsize != sizeof(Phdr))
    return fail("ELF: has no segments to load");
  ElfKernel kernel{.entry = header->e_entry};
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    const auto segment = read_at<Phdr>(image, header->e_phoff + i * sizeof(Phdr));
    if (!segment) return fail("ELF: its program headers are not within the file");
    if (segment->p_type == PT_NOTE && segment->p_offset <= image.size() && !kernel.pvh_entry)
      kernel.pvh_entry = find_pvh(image.substr(segment->p_offset, segment->p_filesz), segment->p_align);
    if (segment->p_type != PT_LOAD || segment->p_memsz == 0) continue;
    TRY(load_segment(image, memory, segment->p_offset, segment->p_filesz, segment->p_paddr, segment->p_memsz));
    kernel.end = std::max<GuestAddress>(kernel.end, segment->p_paddr + segment->p_memsz);
  }
  if (kernel.end == 0) return fail("ELF: has no segments to load");
  return kernel;
}

}  // namespace

bool is_elf(std::string_view image) { return image.starts_with("\177ELF"); }

Result<ElfKernel> load_elf(std::string_view image, GuestMemory& memory) {
  if (!is_elf(image) || image.size() <= EI_CLASS) return fail("ELF: is none");
  return image[EI_CLASS] == ELFCLASS32 ? load<Elf32_Ehdr, Elf32_Phdr>(image, memory)
                                       : load<Elf64_Ehdr, Elf64_Phdr>(image, memory);
}

}  // namespace proa::vmm
