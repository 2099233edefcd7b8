#include "cli/doctor/probe.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "kernel/file.h"

namespace proa::cli::doctor {
namespace {

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
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
    if (!is_root() && ::unshare(CLONE_NEWUSER) != 0) ::_exit(errno);
    ::_exit(attempt());
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
    check.fix = words.fix;
  }
  out.push_back(std::move(check));
}

}  // namespace proa::cli::doctor
