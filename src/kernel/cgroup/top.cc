#include "kernel/cgroup/top.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "kernel/file.h"

namespace proa::kernel::cgroup {
namespace {

constexpr std::string_view kTop = "/sys/fs/cgroup/";

int top() {
  static std::atomic<int> known{-1};
  int fd = known.load(std::memory_order_acquire);
  if (fd >= 0) return fd;
  const int opened = ::open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return AT_FDCWD;
  if (known.compare_exchange_strong(fd, opened, std::memory_order_acq_rel)) return opened;
  ::close(opened);
  return fd;
}

}  // namespace

Place place(const char* path) {
  if (!std::string_view(path).starts_with(kTop)) return {AT_FDCWD, path};
  const int dirfd = top();
  return {dirfd, dirfd == AT_FDCWD ? path : path + kTop.size()};
}

Result<Fd> open_from_top(const std::string& path, int flags) {
  const Place at = place(path.c_str());
  return open_at(at.dirfd, at.path, flags);
}

}  // namespace proa::kernel::cgroup
