#include "shim/oom.h"

#include "shim/state.h"
#include "shim/sys.h"

namespace proa::shim {
namespace {

// Takes what is before `mark` off the front of `text`, and the mark; all of it if there is no mark.
std::string_view take_until(std::string_view* text, char mark) {
  const size_t end = text->find(mark);
  const std::string_view part = first(*text, end == std::string_view::npos ? text->size() : end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return part;
}

}  // namespace

bool oom_counter_path(std::string_view memberships, Path* path) {
  bool found = false;
  while (!memberships.empty()) {
    std::string_view line = take_until(&memberships, '\n');
    take_until(&line, ':');
    const std::string_view controllers = take_until(&line, ':');
    bool memory = false;
    for (std::string_view rest = controllers; !rest.empty();) memory |= take_until(&rest, ',') == "memory";
    // The v2 line stands last; where memory is on v1 that one counts.
    if (!memory && (found || !controllers.empty())) continue;
    path->clear();
    *path << "/sys/fs/cgroup" << (memory ? "/" : "") << controllers << line
          << (memory ? "/memory.oom_control" : "/memory.events");
    found = true;
    if (memory) break;
  }
  return found && !path->truncated();
}

uint64_t parse_oom_kills(std::string_view text) {
  constexpr std::string_view kName = "oom_kill ";
  while (!text.empty()) {
    std::string_view line = take_until(&text, '\n');
    if (!line.starts_with(kName)) continue;
    line.remove_prefix(kName.size());
    uint64_t kills = 0;
    return parse_number(line, UINT64_MAX, &kills) ? kills : 0;
  }
  return 0;
}

void OomCounter::open(int pid) {
  char memberships[4096];
  const Text<64> file("/proc/", pid, "/cgroup");
  Path path;
  const long got = read_file(AT_FDCWD, file.c_str(), memberships, sizeof memberships);
  if (got > 0 && oom_counter_path({memberships, static_cast<size_t>(got)}, &path))
    fd_ = sys::open(AT_FDCWD, path.c_str(), O_RDONLY);
}

uint64_t OomCounter::kills() const {
  char text[1024];
  const long got = fd_ < 0 ? -1 : sys::pread(fd_, text, sizeof text, 0);
  return got > 0 ? parse_oom_kills({text, static_cast<size_t>(got)}) : 0;
}

}  // namespace proa::shim
