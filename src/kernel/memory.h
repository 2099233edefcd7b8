// What a process keeps mapped of its own program.
#pragma once

namespace proa::kernel {

// Unmaps the pages of the program's code and constants: what is needed again comes back from the page cache,
// a window of 64 KiB at a time. For a role that stays for long: all that a process touches while it starts
// would be counted as its own for good, and on kernels with large folios that is most of the program's text.
// Any thread; never fails in a way that matters.
void release_program_pages();

}  // namespace proa::kernel
