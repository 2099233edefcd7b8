#include "start/cache_figure.h"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

namespace {

// This program is not redirected: sysconf() tells what the C library found by itself.
TEST(CacheFigure, SaysWhatTheLibraryFinds) {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __cpuid(0, eax, ebx, ecx, edx);
  if (ebx != signature_INTEL_ebx || eax < 4) GTEST_SKIP() << "not a processor with the leaf it reads";
  for (int name = _SC_LEVEL1_ICACHE_SIZE; name <= _SC_LEVEL4_CACHE_LINESIZE; ++name) {
    if (name == _SC_LEVEL1_ICACHE_ASSOC) continue;                            // the library does not keep this one
    EXPECT_EQ(proa_cache_figure(name), std::max(sysconf(name), 0L)) << name;  // -1: no such cache
  }
  EXPECT_GT(proa_cache_figure(_SC_LEVEL1_DCACHE_SIZE), 0);
}

TEST(CacheFigure, KnowsNothingElse) {
  EXPECT_EQ(proa_cache_figure(_SC_LEVEL1_ICACHE_SIZE - 1), 0);
  EXPECT_EQ(proa_cache_figure(_SC_LEVEL4_CACHE_LINESIZE + 1), 0);
}

}  // namespace
