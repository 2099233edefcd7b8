// Labels of the two security modules that containers use: AppArmor's profile and SELinux's contexts.
//
// A process gets its label at its next execution, by writing to its own attr/exec file in a procfs.
// The kernel takes the write only from the memory image that opened the file (Linux 5.13): who
// executes something in between has to open it afterwards, hence LabelWrite instead of a descriptor.
// The procfs must be one the container cannot have put there (CVE-2025-52881): the host's, or a new
// detached one, by descriptor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::kernel {

// `root` stands before /sys (tests); empty: the host's.
bool apparmor_enabled(const std::string& root = "");
bool selinux_enabled(const std::string& root = "");

// `text`, in one write, to `path` relative to the root of a procfs.
struct LabelWrite {
  std::string path;
  std::string text;
};

// What a process writes so that its next execution has these labels; nothing for empty ones, nor for
// the profile "unconfined" where there is no AppArmor. A label whose module this kernel does not run
// is an error that names process.apparmorProfile or process.selinuxLabel. `proc` is that procfs's root.
Result<std::vector<LabelWrite>> exec_label_writes(std::string_view apparmor_profile, std::string_view selinux_label,
                                                  int proc, const std::string& root = "");
// What makes keyrings created from now on carry the SELinux label; empty text takes that back. Only
// where SELinux is enabled.
LabelWrite key_label_write(std::string_view selinux_label);
// Performs one for the calling thread. Refuses a `proc` that is not a procfs.
Result<> write_label(int proc, const LabelWrite& write);

// A filesystem's mount options with SELinux's context added; unchanged for an empty label. An error
// that names linux.mountLabel where SELinux is not enabled.
Result<std::string> with_mount_label(std::string_view options, std::string_view label, const std::string& root = "");

}  // namespace proa::kernel
