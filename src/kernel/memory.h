// What a process keeps mapped of its own program, and how much the heap keeps at hand for a thread.
#pragma once

namespace proa::kernel {

// Unmaps the pages of the program's code and constants: what is needed again comes back from the page cache,
// a window of 64 KiB at a time. For a role that stays for long: all that a process touches while it starts
// would be counted as its own for good, and on kernels with large folios that is most of the program's text.
// Any thread; never fails in a way that matters.
void release_program_pages();

// Begins the program anew, with its arguments and under its process id, so that the heap keeps thousands of freed
// blocks of each size at hand for each thread, not seven: glibc's malloc takes that only from the environment
// (GLIBC_TUNABLES, glibc.malloc.tcache_count), where it does not stay. For a server whose requests make hundreds of
// small objects: a tenth of its time is saved. Returns where that has been done, where the user has set tunables, and
// where it cannot be. To be called first, with one thread and no descriptor open.
void keep_freed_blocks_at_hand();

}  // namespace proa::kernel
