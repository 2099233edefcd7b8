#include "kernel/lsm.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kOpenat2{SYS_openat2, "openat2", "dspd"};
constexpr CallShape kWrite{SYS_write, "write", "dpd"};

constexpr const char* kApparmorExec = "thread-self/attr/apparmor/exec";
constexpr const char* kExec = "thread-self/attr/exec";
constexpr const char* kKeyCreate = "thread-self/attr/keycreate";

// Labels are one line; a newline or NUL would end them early.
Result<> check_label(std::string_view field, std::string_view label) {
  for (const char c : label)
    if (c == '\n' || c == '\0') return fail(field, ": holds a line end or a zero byte");
  return {};
}

// AppArmor's own file since Linux 5.8; before, the one shared by all modules.
const char* apparmor_exec_path(int proc) {
  return ::faccessat(proc, kApparmorExec, F_OK, 0) == 0 ? kApparmorExec : kExec;
}

}  // namespace

bool apparmor_enabled(const std::string& root) {
  const Result<std::string> enabled = read_file(cat(root, "/sys/module/apparmor/parameters/enabled").c_str(), 16);
  return enabled && enabled->starts_with('Y');
}

bool selinux_enabled(const std::string& root) {
  // The folder alone exists wherever SELinux is built in; the file shows that selinuxfs is mounted on
  // it, which is done when a policy is loaded.
  return path_exists(cat(root, "/sys/fs/selinux/enforce").c_str());
}

Result<std::vector<LabelWrite>> exec_label_writes(std::string_view apparmor_profile, std::string_view selinux_label,
                                                  int proc, const std::string& root) {
  TRY(check_label("process.apparmorProfile", apparmor_profile));
  TRY(check_label("process.selinuxLabel", selinux_label));
  std::vector<LabelWrite> writes;
  if (!apparmor_profile.empty()) {
    if (apparmor_enabled(root))
      writes.push_back({.path = apparmor_exec_path(proc), .text = cat("exec ", apparmor_profile)});
    else if (apparmor_profile != "unconfined")
      return fail("process.apparmorProfile: ", apparmor_profile, ": AppArmor is not enabled on this kernel")
          .hint("leave it out, or boot with AppArmor among lsm=");
  }
  if (!selinux_label.empty()) {
    if (!selinux_enabled(root))
      return fail("process.selinuxLabel: ", selinux_label, ": SELinux is not enabled on this kernel")
          .hint("leave it out, or boot with SELinux and a policy");
    writes.push_back({.path = kExec, .text = std::string(selinux_label)});
  }
  return writes;
}

LabelWrite key_label_write(std::string_view selinux_label) {
  return {.path = kKeyCreate, .text = std::string(selinux_label)};
}

Result<> write_label(int proc, const LabelWrite& write) {
  struct statfs filesystem{};
  if (::fstatfs(proc, &filesystem) != 0) return fail_errno(errno, "procfs");
  if (filesystem.f_type != PROC_SUPER_MAGIC) return fail(write.path, ": not on a procfs");
  // Nothing mounted over a part of it, and no magic link, is followed; thread-self is a plain link.
  const open_how how{
      .flags = O_WRONLY | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
  Fd file = TRY(check_fd(call(kOpenat2, proc, write.path.c_str(), &how, sizeof how), "open ", write.path));
  return check_ok(call(kWrite, file.get(), write.text.data(), write.text.size()), "write \"", write.text, "\" to ",
                  write.path);
}

Result<std::string> with_mount_label(std::string_view options, std::string_view label, const std::string& root) {
  if (label.empty()) return std::string(options);
  TRY(check_label("linux.mountLabel", label));
  if (label.find('"') != std::string_view::npos) return fail("linux.mountLabel: holds a quotation mark");
  if (!selinux_enabled(root)) return fail("linux.mountLabel: ", label, ": SELinux is not enabled on this kernel");
  // Contexts contain commas (categories), so the value is quoted.
  return cat(options, options.empty() ? "" : ",", "context=\"", label, '"');
}

}  // namespace proa::kernel
