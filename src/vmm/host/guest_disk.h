// The initial RAM disk's part that is ours: the guest's init (src/guest) and the modules it needs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::vmm {

// "6.1.0-1-amd64" of a bzImage; "" when the file does not say.
Result<std::string> kernel_release(const std::string& kernel);

// A cpio archive with /init and /proa. `modules`: the folder that holds "kernel/", of this kernel; "" looks at
// /lib/modules/RELEASE and at ../lib/modules/RELEASE beside the kernel, and takes none when there is none, as kernels
// may have all of it built in.
Result<std::string> make_guest_disk(const std::string& kernel, std::string modules, bool console = false);

// The modules' files that it would take; `modules` as there.
Result<std::vector<std::string>> guest_disk_files(const std::string& kernel, std::string modules);

}  // namespace proa::vmm
