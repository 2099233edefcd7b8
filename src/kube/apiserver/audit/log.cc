#include "kube/apiserver/audit/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "kernel/file.h"

namespace proa::kube::api {
namespace {

constexpr size_t kMostWaiting = 32 << 20;
constexpr auto kAgain = std::chrono::seconds(1);

// "audit.log" in parts, for names of backups such as "audit-2026-01-02T03-04-05.678.log".
struct Name {
  std::string folder, stem, extension;
};
Name name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = file.rfind('.');
  return {.folder = slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1)),
          .stem = file.substr(0, dot),
          .extension = dot == std::string::npos ? "" : file.substr(dot)};
}

std::string stamp() {
  const WallTime now = Clock::system().wall();
  std::string out = format_rfc3339(now, TimePrecision::kNanoseconds).substr(0, 23);
  std::ranges::replace(out, ':', '-');
  return out;
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::open(AuditLogOptions options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  TRY(log->open_file());
  log->thread_ = start_thread([self = log.get()] { self->run(); });
  return log;
}

AuditLog::~AuditLog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  some_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void AuditLog::add(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.append(line);
    waiting_ += '\n';
  }
  some_.notify_one();
}

bool AuditLog::full() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size() > kMostWaiting;
}

void AuditLog::run() {
  std::string text;
  bool ending = false;
  bool failed = false;
  while (!ending) {
    {
      std::unique_lock lock(mutex_);
      if (failed) {
        some_.wait_for(lock, kAgain, [this] { return ending_; });
      } else {
        some_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      }
      ending = ending_;
      // What could not be written comes first.
      text.append(waiting_);
      waiting_.clear();
    }
    const auto done = write(text);
    if (!done && (!failed || ending))
      log::error("audit log: ", done.error().message(), ending ? "; the last events are lost" : "");
    failed = !done;
  }
  if (file_ && options_.path != "-") ::fdatasync(file_.get());
}

Result<> AuditLog::open_file() {
  if (options_.path == "-") {
    file_ = Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    return {};
  }
  file_ = TRY(kernel::open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
  size_ = static_cast<uint64_t>(TRY(kernel::stat_fd(file_.get())).st_size);
  return {};
}

// Line by line where the file is nearly full, so that no line is in two files.
Result<> AuditLog::write(std::string& text) {
  std::string_view rest = text;
  const Defer keep_rest([&] { text.erase(0, text.size() - rest.size()); });
  while (!rest.empty()) {
    size_t take = rest.size();
    if (options_.path != "-" && size_ + take > options_.most_bytes) {
      const size_t line = rest.find('\n') + 1;
      if (size_ > 0 && size_ + line > options_.most_bytes) TRY(turn_over());
      take = line;
    }
    auto done = kernel::write_all(file_.get(), rest.substr(0, take));
    if (!done) {
      // Half a line would spoil the next.
      if (options_.path != "-") static_cast<void>(::ftruncate(file_.get(), static_cast<off_t>(size_)));
      return std::unexpected(std::move(done).error().with_context(options_.path));
    }
    size_ += take;
    rest.remove_prefix(take);
  }
  return {};
}

Result<> AuditLog::turn_over() {
  const Name name = name_of(options_.path);
  // A name of this millisecond that is not there yet.
  std::string backup;
  for (;;) {
    backup = cat(name.folder, "/", name.stem, "-", stamp(), name.extension);
    if (::renameat2(AT_FDCWD, options_.path.c_str(), AT_FDCWD, backup.c_str(), RENAME_NOREPLACE) == 0) break;
    if (errno != EEXIST) return fail_errno(errno, "rename to ", backup);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  TRY(open_file());
  remove_old();
  return {};
}

void AuditLog::remove_old() const {
  const Name name = name_of(options_.path);
  auto files = kernel::names_in(name.folder);
  if (!files) return;
  const std::string prefix = cat(name.stem, "-");
  std::erase_if(*files, [&](const std::string& file) {
    return !file.starts_with(prefix) || !file.ends_with(name.extension) ||
           file.size() != prefix.size() + 23 + name.extension.size();
  });
  std::ranges::sort(*files, std::greater());
  const time_t now = ::time(nullptr);
  for (size_t i = 0; i < files->size(); ++i) {
    const std::string path = cat(name.folder, "/", (*files)[i]);
    struct stat info{};
    const bool old = options_.most_days > 0 && ::stat(path.c_str(), &info) == 0 &&
                     info.st_mtime + static_cast<time_t>(options_.most_days) * 86'400 < now;
    if (old || (options_.most_backups > 0 && i >= options_.most_backups)) ::unlink(path.c_str());
  }
}

}  // namespace proa::kube::api
