#include "kernel/memory.h"

#include <sys/mman.h>

#include <cstdint>

// By the linker: the read-only segments lie between these, and hold nothing that relocation has changed.
extern "C" const char __executable_start, etext;

namespace proa::kernel {

void release_program_pages() {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t from = reinterpret_cast<uintptr_t>(&__executable_start);
  const uintptr_t to = reinterpret_cast<uintptr_t>(&etext) & ~(kPage - 1);
  ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

}  // namespace proa::kernel
