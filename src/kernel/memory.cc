#include "kernel/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "kernel/file.h"

// By the linker: the read-only segments lie between these, and hold nothing that relocation has changed.
extern "C" const char __executable_start, etext;

namespace proa::kernel {

void release_program_pages() {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t from = reinterpret_cast<uintptr_t>(&__executable_start);
  const uintptr_t to = reinterpret_cast<uintptr_t>(&etext) & ~(kPage - 1);
  ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

void keep_freed_blocks_at_hand() {
  static constexpr const char* kVariable = "GLIBC_TUNABLES";
  static constexpr std::string_view kValue = "glibc.malloc.tcache_count=4000";
  if (const char* set = ::getenv(kVariable)) {
    if (kValue == set) ::unsetenv(kVariable);
    return;
  }
  std::array<char, 4096> program{};  // not the link, whose name `ps` would show
  auto words = read_file("/proc/self/cmdline");
  if (!words || ::readlink("/proc/self/exe", program.data(), program.size() - 1) <= 0) return;
  std::vector<char*> arguments;
  for (size_t at = 0; at < words->size(); at += std::string_view(words->data() + at).size() + 1)
    arguments.push_back(words->data() + at);
  arguments.push_back(nullptr);
  ::setenv(kVariable, std::string(kValue).c_str(), 1);
  ::execv(program.data(), arguments.data());
  ::unsetenv(kVariable);
}

}  // namespace proa::kernel
