#include "oci/runtime/shield.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/file.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "oci/runtime/foreground.h"

namespace proa::oci::runtime {
namespace {

constexpr kernel::CallShape kExecveat{SYS_execveat, "execveat", "dsppx"};
constexpr const char* kMark = "_PROA_SHIELDED";

}  // namespace

bool may_trace(const Process& process) {
  if (!process.capabilities) return false;
  const Capabilities& sets = *process.capabilities;
  return ((sets.bounding | sets.permitted | sets.effective | sets.inheritable) >> CAP_SYS_PTRACE & 1) != 0;
}

bool joins_processes(const Spec& spec) {
  const Namespace* pids = spec.linux_ ? spec.linux_->find(NamespaceType::kPid) : nullptr;
  return pids != nullptr && !pids->path.empty();
}

Result<> shield_program() {
  if (std::getenv(kMark) != nullptr) {
    ::unsetenv(kMark);
    return {};
  }
  if (::geteuid() != 0) return {};
  const Fd self = TRY(kernel::open("/proc/self/exe", O_PATH));
  const Fd copy = TRY(kernel::clone_tree(self.get(), false));
  TRY(kernel::set_attributes(copy.get(), "", {.set = MOUNT_ATTR_RDONLY}, false));
  std::string line = TRY(kernel::read_file("/proc/self/cmdline"));
  std::vector<char*> argv;
  for (size_t at = 0; at < line.size(); at += std::strlen(line.data() + at) + 1) argv.push_back(line.data() + at);
  argv.push_back(nullptr);
  ::setenv(kMark, "1", 1);
  restore_signal_mask();
  const long answer = kernel::call(kExecveat, copy.get(), "", static_cast<void*>(argv.data()),
                                   static_cast<void*>(environ), AT_EMPTY_PATH);
  return kernel::check_ok(answer, "execute the runtime from a read-only mount");
}

}  // namespace proa::oci::runtime
