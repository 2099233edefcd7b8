#include "base/openssl.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <span>

extern "C" {
// In OpenSSL's place at the program's start: does nothing.
void __wrap_OPENSSL_cpuid_setup();                // NOLINT(bugprone-reserved-identifier): the linker's names
[[gnu::weak]] void __real_OPENSSL_cpuid_setup();  // NOLINT(bugprone-reserved-identifier)

void __wrap_OPENSSL_cpuid_setup() {}  // NOLINT(bugprone-reserved-identifier)

// The program's own beginning, from the linker; and start/late_relocations.h, which modules do not know.
[[gnu::visibility("hidden")]] extern const char __ehdr_start[];  // NOLINT(bugprone-reserved-identifier)
[[gnu::weak]] extern const uint64_t proa_late_relocations[];
}

namespace proa {
namespace {

// Calls `visit` with the place of each relocation in words of a .relr.dyn section.
template <typename Visit>
void each_relocation(std::span<const uint64_t> words, Visit visit) {
  uint64_t next = 0;
  for (const uint64_t word : words) {
    if ((word & 1) == 0) {
      visit(word);
      next = word + sizeof word;
      continue;
    }
    for (int i = 0; i < 63; ++i)
      if ((word >> (i + 1) & 1) != 0) visit(next + sizeof word * static_cast<uint64_t>(i));
    next += 63 * sizeof word;
  }
}

// The tables are read-only but for now, where the C library has made them so.
void relocate_late() {
  if (proa_late_relocations == nullptr || proa_late_relocations[0] == 0) return;
  const std::span words(proa_late_relocations + 1, proa_late_relocations[0]);
  const auto base = reinterpret_cast<uintptr_t>(__ehdr_start);
  const auto page = static_cast<uintptr_t>(::getpagesize());
  uintptr_t begin = UINTPTR_MAX, end = 0;
  each_relocation(words, [&](uint64_t at) {
    begin = std::min(begin, base + at);
    end = std::max(end, base + at + sizeof at);
  });
  begin -= begin % page;
  ::mprotect(reinterpret_cast<void*>(begin), end - begin, PROT_READ | PROT_WRITE);
  each_relocation(words, [&](uint64_t at) { *reinterpret_cast<uintptr_t*>(base + at) += base; });

  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(__ehdr_start);
  for (const Elf64_Phdr& segment :
       std::span(reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff), header->e_phnum))
    if (segment.p_type == PT_GNU_RELRO) {
      const uintptr_t last = std::min(end, base + segment.p_vaddr + segment.p_memsz) / page * page;
      if (last > begin) ::mprotect(reinterpret_cast<void*>(begin), last - begin, PROT_READ);
    }
}

}  // namespace

void prepare_tls() {
  prepare_openssl();
  static std::once_flag once;
  std::call_once(once, relocate_late);
}

void prepare_openssl() {
  // Absent where OpenSSL is a shared library, which has looked already.
  static std::once_flag once;
  std::call_once(once, [] {
    if (__real_OPENSSL_cpuid_setup != nullptr) __real_OPENSSL_cpuid_setup();
  });
}

}  // namespace proa
