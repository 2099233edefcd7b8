#include "shim/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include "shim/state.h"
#include "shim/sys.h"

namespace proa::shim {
namespace {

constexpr const char* kOomScore = "/proc/self/oom_score_adj";

bool write_oom_score(std::string_view score) {
  const int fd = sys::open(AT_FDCWD, kOomScore, O_WRONLY);
  if (fd < 0) return false;
  const bool done = sys::write(fd, score.data(), score.size()) > 0;
  sys::close(fd);
  return done;
}

std::string_view search_path(const char* const* env) {
  constexpr std::string_view kName = "PATH=";
  for (; *env != nullptr; ++env) {
    std::string_view entry = *env;
    if (!entry.starts_with(kName)) continue;
    entry.remove_prefix(kName.size());
    return entry;
  }
  return "/usr/sbin:/usr/bin:/sbin:/bin";
}

[[noreturn]] void run_child(const Origin& origin, const char* const* argv, const Stdio& stdio) {
  sys::change_dir(origin.folder);
  if (origin.oom_score.size() != 0) write_oom_score(origin.oom_score.view());
  if (sys::duplicate(stdio.in, 0) < 0 || sys::duplicate(stdio.out, 1) < 0 || sys::duplicate(stdio.err, 2) < 0)
    sys::quit(126);
  for (unsigned i = 0; i < origin.preserve_fds; ++i) sys::keep_on_exec(static_cast<int>(3 + i), true);
  sys::set_signal_mask(origin.signal_mask);
  const long error = execute(argv, origin.env);
  const Text<4200> message(argv[0], ": ", error_text(error).view(), '\n');
  sys::write(2, message.c_str(), message.size());
  sys::quit(127);
}

}  // namespace

long execute(const char* const* argv, const char* const* env) {
  const std::string_view name = argv[0];
  if (name.find('/') != std::string_view::npos) return sys::exec(argv[0], argv, env);
  long worst = -ENOENT;
  for (std::string_view rest = search_path(env); !rest.empty();) {
    size_t length = rest.find(':');
    if (length == std::string_view::npos) length = rest.size();
    const Path candidate(first(rest, length), '/', name);
    rest.remove_prefix(length < rest.size() ? length + 1 : length);
    const long error = sys::exec(candidate.c_str(), argv, env);
    if (error != -ENOENT && error != -ENOTDIR) worst = error;
  }
  return worst;
}

void protect_from_oom(Origin* origin) {
  char before[16];
  const long got = read_file(AT_FDCWD, kOomScore, before, sizeof before);
  if (got > 0 && write_oom_score("-999")) origin->oom_score = Text<16>(before);
}

long spawn(const Origin& origin, const char* const* argv, const Stdio& stdio, int* child) {
  const long pid = sys::fork(child);
  if (pid == 0) run_child(origin, argv, stdio);
  return pid;
}

void become(const Origin& origin, const char* const* argv) {
  if (origin.oom_score.size() != 0) write_oom_score(origin.oom_score.view());
  sys::set_option(PR_SET_CHILD_SUBREAPER, 0);
  sys::set_signal_mask(origin.signal_mask);
  sys::exec(argv[0], argv, origin.env);
}

void kill_children() {
  const int self = sys::process_id();
  const Text<64> path("/proc/self/task/", self, "/children");
  siginfo_t info;
  for (int round = 0; round < 200; ++round) {
    char list[4096];
    if (read_file(AT_FDCWD, path.c_str(), list, sizeof list) > 0) {
      std::string_view line = list;
      for (std::string_view word = take_word(&line); !word.empty(); word = take_word(&line)) {
        uint64_t pid = 0;
        if (parse_number(word, INT32_MAX, &pid) && pid > 1) sys::kill(static_cast<int>(pid), SIGKILL);
      }
    }
    long answer;
    do answer = sys::wait(P_ALL, 0, &info, WNOHANG);
    while (answer == 0 && info.si_pid != 0);
    if (answer == -ECHILD) return;
    sys::poll(nullptr, 0, 5);
  }
}

}  // namespace proa::shim
