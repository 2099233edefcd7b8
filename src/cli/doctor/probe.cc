#include "cli/doctor/probe.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "kernel/file.h"

namespace proa::cli::doctor {
namespace {

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

bool write_text(const char* path, std::string_view text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

int become_mapped_root() {
  const std::string uid_map = cat("0 ", ::geteuid(), " 1"), gid_map = cat("0 ", ::getegid(), " 1");
  if (::unshare(CLONE_NEWUSER) != 0) return errno;
  if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", uid_map) ||
      !write_text("/proc/self/gid_map", gid_map))
    return EPERM;
  return 0;
}

}  // namespace

bool is_root() { return ::geteuid() == 0; }

int in_child(int (*attempt)()) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) ::_exit(attempt());
  return wait_for(child);
}

int in_child_as_root(int (*attempt)()) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    const int refused = is_root() ? 0 : become_mapped_root();
    ::_exit(refused != 0 ? refused : attempt());
  }
  return wait_for(child);
}

std::optional<std::string> read_small(const std::string& path) {
  auto text = kernel::read_file(path.c_str(), 1u << 20);
  if (!text) return std::nullopt;
  while (!text->empty() && (text->back() == '\n' || text->back() == '\0')) text->pop_back();
  return *std::move(text);
}

void add(std::vector<Check>& out, std::string_view area, std::string_view name, int error, bool needed,
         const Words& words) {
  Check check{.area = std::string(area), .name = std::string(name), .status = Status::kOk, .detail = {}, .fix = {}};
  if (error == 0) {
    check.detail = words.good;
  } else {
    check.status = needed ? Status::kMissing : Status::kGap;
    check.detail = cat(words.bad, words.bad.empty() ? "" : ": ", errno_text(error));
    check.fix = error == EPERM || error == EACCES ? words.allow : words.fix;
  }
  out.push_back(std::move(check));
}

}  // namespace proa::cli::doctor
