#include "start/cache_figure.h"

#include <cpuid.h>
#include <unistd.h>

namespace {

constexpr unsigned kCacheLeaf = 4;  // SDM volume 2, CPUID, "Deterministic Cache Parameters"
constexpr int kCaches = 5;          // in the order of the names: L1 instructions, L1 data, L2, L3, L4
constexpr int kFigures = 3;         // size, associativity, line size

long figures[kCaches * kFigures];
bool known = false;

// Which of the five a leaf describes; -1 for none of them.
[[gnu::always_inline]] inline int cache_of(unsigned eax) {
  const unsigned type = eax & 0x1f, level = eax >> 5 & 7;
  if (level == 1) return type == 2 ? 0 : type == 1 ? 1 : -1;
  return level <= 4 ? static_cast<int>(level) : -1;
}

}  // namespace

extern "C" [[gnu::used, gnu::no_stack_protector]] long proa_cache_figure(int name) noexcept {
  const int wanted = name - _SC_LEVEL1_ICACHE_SIZE;
  if (wanted < 0 || wanted >= kCaches * kFigures) return 0;
  for (unsigned index = 0; !known; ++index) {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (index < 16) __cpuid_count(kCacheLeaf, index, eax, ebx, ecx, edx);
    known = (eax & 0x1f) == 0;
    const int cache = known ? -1 : cache_of(eax);
    if (cache < 0) continue;
    const long ways = (ebx >> 22) + 1, partitions = (ebx >> 12 & 0x3ff) + 1, line = (ebx & 0xfff) + 1;
    figures[cache * kFigures] = ways * partitions * line * (static_cast<long>(ecx) + 1);
    figures[cache * kFigures + 1] = ways;
    figures[cache * kFigures + 2] = line;
  }
  return figures[wanted];
}
