// What the C library asks the processor for at every start of a program: the sizes of its caches. Its own way
// (glibc 2.36, sysdeps/x86/dl-cacheinfo.h) runs CPUID some forty times over. On a virtual machine each is a
// trip to the hypervisor of 1 to 12 us: half of a short command's time. This one runs it five times.
#pragma once

// `name`: _SC_LEVEL1_ICACHE_SIZE ... _SC_LEVEL4_CACHE_LINESIZE; bytes, ways, bytes; 0 for what is not there.
// Intel processors only (CPUID leaf 4). It runs before the program is relocated, with no thread-local storage:
// it calls nothing and touches nothing that has an address in a table.
extern "C" long proa_cache_figure(int name) noexcept;
