#include "shim/log_file.h"

#include <errno.h>

#include "shim/sys.h"

namespace proa::shim {
namespace {

constexpr mode_t kMode = 0640;

}  // namespace

Result<> LogFile::open(std::string_view path, uint64_t max_size, unsigned max_files, bool lines) {
  path_ = Path(path);
  if (path_.truncated()) return fail("--log: the path is too long");
  max_size_ = max_size, max_files_ = max_files, lines_ = lines;
  Result<int> fd = open_file(&made_);
  if (!fd) return std::unexpected(fd.error());
  fd_ = *fd;
  end_torn_line();
  return {};
}

Result<int> LogFile::open_file(bool* made) {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;
  int fd = sys::open(AT_FDCWD, path_.c_str(), kFlags | O_EXCL, kMode);
  *made = fd >= 0;
  if (fd == -EEXIST) fd = sys::open(AT_FDCWD, path_.c_str(), kFlags, kMode);
  if (fd < 0) return fail_with(fd, "log file ", path_.view());
  struct stat info;
  const long error = sys::stat(fd, &info);
  if (error < 0 || !S_ISREG(info.st_mode)) {
    sys::close(fd);
    if (error < 0) return fail_with(error, "log file ", path_.view());
    return fail("log file ", path_.view(), ": not a regular file");
  }
  size_ = static_cast<uint64_t>(info.st_size);
  return fd;
}

void LogFile::end_torn_line() {
  char last = '\n';
  if (lines_ && size_ != 0 && sys::pread(fd_, &last, 1, static_cast<off_t>(size_ - 1)) == 1 && last != '\n')
    write("\n");
}

void LogFile::write(std::string_view bytes) {
  size_t done = 0;
  if (sys::write_all(fd_, bytes.data(), bytes.size(), &done) < 0) {
    // No space, most likely. Cut off the torn part, so that the next record starts a line.
    lost_ += bytes.size();
    if (done == 0 || sys::truncate(fd_, static_cast<off_t>(size_)) == 0) return;
  }
  size_ += done;
  written_ += done;
}

void LogFile::settle() {
  siginfo_t info;
  const std::atomic_ref running(running_);
  if (const int process = running; process > 0) sys::wait(P_PID, static_cast<id_t>(process), &info, 0);
  running = 0;
}

void LogFile::move(unsigned from, unsigned to, const char* ending) {
  Path older, newer;
  older << path_.view() << '.' << to << ending;
  newer << path_.view();
  if (from != 0) newer << '.' << from;
  newer << ending;
  sys::rename(AT_FDCWD, newer.c_str(), older.c_str());  // the first times most are not there yet
}

void LogFile::run_command() {
  Path rotated;
  rotated << path_.view() << ".1";
  const char* words[kMaxCommandArgs + 2] = {};
  for (unsigned i = 0; i < command_->count; ++i) words[i] = command_->words[i];
  words[command_->count] = rotated.c_str();
  const int null = sys::open(AT_FDCWD, "/dev/null", O_RDWR);
  spawn(*origin_, words, {null, null, null}, &running_);
  sys::close(null);
}

void LogFile::rotate() {
  settle();
  const bool compressed = command_ != nullptr && command_->count != 0;
  if (compressed && max_files_ > 1) {
    // The oldest may be there in the other form.
    for (const char* ending : {"", ".gz"}) {
      Path oldest;
      oldest << path_.view() << '.' << max_files_ - 1 << ending;
      sys::unlink(AT_FDCWD, oldest.c_str());
    }
  }
  for (unsigned i = max_files_ - 1; i >= 1; --i) {
    move(i - 1, i, "");
    if (compressed && i > 1) move(i - 1, i, ".gz");
  }
  ++rotations_;
  if (max_files_ == 1) {
    if (sys::truncate(fd_, 0) == 0) size_ = 0;
    return;
  }
  bool made;
  const Result<int> fd = open_file(&made);
  if (!fd) return;  // go on with the renamed file rather than with none
  sys::close(fd_);
  fd_ = *fd;
  if (compressed) run_command();
}

Result<> LogFile::reopen() {
  bool made;
  const uint64_t size = size_;
  const Result<int> fd = open_file(&made);
  if (!fd) {
    size_ = size;
    return std::unexpected(fd.error());
  }
  sys::close(fd_);
  fd_ = *fd;
  end_torn_line();
  return {};
}

void LogFile::discard_if_new() {
  if (fd_ >= 0 && made_ && written_ == 0) sys::unlink(AT_FDCWD, path_.c_str());
}

Result<> remove_logs(std::string_view path) {
  Path name(path);
  long failed = 0;
  for (unsigned i = 1;; ++i) {
    Path compressed(name.view());
    compressed << ".gz";
    const long error = sys::unlink(AT_FDCWD, name.c_str());
    const long other = sys::unlink(AT_FDCWD, compressed.c_str());
    for (const long each : {error, other})
      if (each < 0 && each != -ENOENT && failed == 0) failed = each;
    // Rotation can be interrupted between two renames, so one number may be missing.
    if (error < 0 && other < 0 && i > 2) break;
    name.clear();
    name << path << '.' << i;
  }
  if (failed != 0) return fail_with(failed, "remove log ", path);
  return {};
}

}  // namespace proa::shim
