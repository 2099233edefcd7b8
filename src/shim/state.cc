#include "shim/state.h"

#include <errno.h>

#include "shim/log_file.h"
#include "shim/sys.h"

namespace proa::shim {
namespace {

// What a shim makes in its folder; shim.pid last, as it is what the others are found by.
constexpr const char* const kNames[] = {kConsoleSocket, kAttachSocket, kControlSocket, kPidName, "exit.tmp"};

Result<int> open_dir(const char* path) {
  const int dir = sys::open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return fail_with(dir, "--state ", path);
  return dir;
}

std::unexpected<Error> held(int dir, const char* path) {
  char text[64];
  std::string_view pid("?");
  if (read_file(dir, kShimPidName, text, sizeof text) > 0) {
    std::string_view line = text;
    pid = take_word(&line);
  }
  return fail("--state ", path, ": held by the shim with process id ", pid);
}

}  // namespace

Result<> StateDir::prepare(const char* path) {
  if (Result<> done = make_absolute(path, &path_); !done) return done;
  const long made = sys::make_dir(path, 0700);
  if (made < 0 && made != -EEXIST) return fail_with(made, "--state ", path);
  made_ = made == 0;
  const Result<int> dir = open_dir(path);
  if (!dir) return std::unexpected(dir.error());
  dir_ = *dir;

  lock_ = sys::open(dir_, kShimPidName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (lock_ == -EEXIST) {
    const int other = sys::open(dir_, kShimPidName, O_RDWR | O_NOFOLLOW);
    const bool alive = other >= 0 && sys::lock(other) < 0;
    sys::close(other);
    if (alive) return held(dir_, path);
    return fail("--state ", path, ": has the remains of a shim that was killed; remove them with --cleanup");
  }
  if (lock_ < 0) return fail_with(lock_, "--state ", path, ": shim.pid");
  if (sys::lock(lock_) < 0) return held(dir_, path);

  const int record = sys::open(dir_, kExitName, O_PATH | O_NOFOLLOW);
  if (record >= 0) {
    sys::close(record);
    sys::unlink(dir_, kShimPidName);
    return fail("--state ", path, ": has the record of a container that has ended; remove it with --cleanup");
  }
  for (const char* name : kNames) sys::unlink(dir_, name);
  if (const long error = sys::change_dir(dir_); error < 0) {
    discard();
    return fail_with(error, "--state ", path);
  }
  return {};
}

Result<> StateDir::write_shim_pid() {
  const int pid = sys::process_id();
  const Text<64> line(pid, ' ', start_time(pid), '\n');
  if (const long error = sys::write_all(lock_, line.c_str(), line.size()); error < 0)
    return fail_with(error, path_.view(), "/shim.pid");
  return {};
}

void StateDir::retire(bool recorded) {
  for (const char* name : {kAttachSocket, kControlSocket}) sys::unlink(dir_, name);
  if (recorded) sys::unlink(dir_, kShimPidName);
  sys::close(lock_);
  lock_ = -1;
}

void StateDir::discard() {
  for (const char* name : kNames) sys::unlink(dir_, name);
  retire(true);
  if (made_) sys::unlink(AT_FDCWD, path_.c_str(), AT_REMOVEDIR);
}

Result<> clean_up(const char* state, const char* log) {
  const int dir = sys::open(AT_FDCWD, state, O_RDONLY | O_DIRECTORY);
  if (dir < 0 && dir != -ENOENT) return fail_with(dir, "--state ", state);
  if (dir >= 0) {
    const int lock = sys::open(dir, kShimPidName, O_RDWR | O_NOFOLLOW);
    if (lock >= 0 && sys::lock(lock) < 0) return held(dir, state);
    for (const char* name : kNames) sys::unlink(dir, name);
    sys::unlink(dir, kExitName);
    sys::unlink(dir, kShimPidName);
    const long error = sys::unlink(AT_FDCWD, state, AT_REMOVEDIR);
    // A folder with the caller's own files stays.
    if (error < 0 && error != -ENOTEMPTY && error != -ENOENT) return fail_with(error, "--state ", state);
  }
  return log != nullptr ? remove_logs(log) : Result<>{};
}

Result<> write_file(int dir, const char* name, std::string_view text, bool durable) {
  const Path temporary(name, ".tmp");
  sys::unlink(dir, temporary.c_str());
  const int fd = sys::open(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (fd < 0) return fail_with(fd, name);
  long error = sys::write_all(fd, text.data(), text.size());
  if (error == 0 && durable) error = sys::sync(fd);
  sys::close(fd);
  if (error == 0) error = sys::rename(dir, temporary.c_str(), name);
  if (error == 0 && durable) error = sys::sync(dir);
  if (error == 0) return {};
  sys::unlink(dir, temporary.c_str());
  return fail_with(error, name);
}

long read_file(int dir, const char* name, char* to, size_t size) {
  const int fd = sys::open(dir, name, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return fd;
  const long got = sys::read(fd, to, size - 1);
  sys::close(fd);
  if (got >= 0) to[got] = 0;
  return got;
}

Result<> make_absolute(const char* path, Path* to) {
  to->clear();
  if (*path != '/') {
    char here[4096];
    const long size = sys::current_dir(here, sizeof here);
    if (size < 0) return fail_with(size, "the current folder");
    *to << here << '/';
  }
  *to << path;
  if (to->truncated()) return fail(path, ": the path is too long");
  return {};
}

uint64_t start_time(int pid) {
  char text[1024];
  const Text<64> path("/proc/", pid, "/stat");
  const long got = read_file(AT_FDCWD, path.c_str(), text, sizeof text);
  if (got <= 0) return 0;
  // Field 2, the program's name, may hold anything: count from the last ')'.
  std::string_view line(text, static_cast<size_t>(got));
  const size_t name_end = line.rfind(')');
  if (name_end == std::string_view::npos) return 0;
  line.remove_prefix(name_end + 1);
  for (int field = 3; field < 22; ++field) take_word(&line);
  uint64_t value = 0;
  return parse_number(take_word(&line), UINT64_MAX, &value) ? value : 0;
}

}  // namespace proa::shim
