#include "kernel/cgroup/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "kernel/cgroup/top.h"
#include "kernel/sys.h"

namespace proa::kernel::cgroup {
namespace {

constexpr CallShape kOpenat{SYS_openat, "openat", "dsxo"};
constexpr CallShape kWrite{SYS_write, "write", "dpd"};
constexpr CallShape kRead{SYS_read, "read", "dpd"};
constexpr CallShape kMkdirat{SYS_mkdirat, "mkdirat", "dso"};
constexpr CallShape kUnlinkat{SYS_unlinkat, "unlinkat", "dsx"};
constexpr CallShape kGetdents{SYS_getdents64, "getdents64", "dpd"};

constexpr size_t kReadLimit = 1u << 20;

// Folder and file joined on the stack: this runs dozens of times per container.
class PathBuffer {
 public:
  PathBuffer(std::string_view folder, std::string_view file) {
    if (folder.size() + file.size() + 2 > sizeof text_) return;
    std::memcpy(text_, folder.data(), folder.size());
    text_[folder.size()] = '/';
    std::memcpy(text_ + folder.size() + 1, file.data(), file.size());
    text_[folder.size() + 1 + file.size()] = '\0';
    fits_ = true;
  }
  bool fits() const { return fits_; }
  const char* c_str() const { return text_; }

 private:
  char text_[4096];
  bool fits_ = false;
};

long open_file(std::string_view folder, std::string_view file, int flags) {
  const PathBuffer path(folder, file);
  if (!path.fits()) return -ENAMETOOLONG;
  const Place at = place(path.c_str());
  return call(kOpenat, at.dirfd, at.path, flags | O_CLOEXEC, 0);
}

long make_one(const std::string& path) {
  const Place at = place(path.c_str());
  return call(kMkdirat, at.dirfd, at.path, 0755);
}

long remove_one(const std::string& path) {
  const Place at = place(path.c_str());
  return call(kUnlinkat, at.dirfd, at.path, AT_REMOVEDIR);
}

long write_retrying(int fd, std::string_view value) {
  for (;;) {
    const long wrote = call(kWrite, fd, value.data(), value.size());
    if (wrote != -EINTR) return wrote < 0 ? wrote : 0;
  }
}

void sleep_us(int64_t us) {
  const timespec time{.tv_sec = us / 1'000'000, .tv_nsec = us % 1'000'000 * 1000};
  ::nanosleep(&time, nullptr);
}

Result<std::vector<std::string>> entries(const std::string& path, unsigned char type) {
  const Place at = place(path.c_str());
  const Fd dir = TRY(check_fd(call(kOpenat, at.dirfd, at.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open ", path));
  std::vector<std::string> names;
  alignas(dirent64) char buffer[8192];
  for (;;) {
    const long got = TRY(check(call(kGetdents, dir.get(), buffer, sizeof buffer), "read folder ", path));
    if (got == 0) return names;
    for (long offset = 0; offset < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + offset);
      offset += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (entry->d_type == type && name != "." && name != "..") names.emplace_back(name);
    }
  }
}

}  // namespace

namespace {
thread_local Journal* journal = nullptr;
}

Journal::Journal() { journal = this; }
Journal::~Journal() { journal = nullptr; }

void Journal::note(const Folder& folder, std::string_view file) {
  // Write-only files answer EINVAL or EACCES.
  if (auto before = folder.get(file)) entries_.push_back({folder.path(), std::string(file), *std::move(before)});
}

std::vector<std::string> Journal::take_back() {
  journal = nullptr;
  std::vector<std::string> refused;
  for (auto each = entries_.rbegin(); each != entries_.rend(); ++each) {
    const Folder folder(each->folder);
    // One line is one value or one device; an empty cpuset is written as a newline.
    std::string_view rest = each->before;
    bool taken = true;
    do {
      const std::string_view line = cut(rest, '\n');
      taken &= folder.put(each->file, line.empty() ? "\n" : line) >= 0;
    } while (!rest.empty());
    if (!taken) refused.push_back(cat(each->folder, "/", each->file));
  }
  entries_.clear();
  return refused;
}

long Folder::put(std::string_view file, std::string_view value) const {
  if (journal != nullptr) journal->note(*this, file);
  const long fd = open_file(path_, file, O_WRONLY);
  if (fd < 0) return fd;
  const Fd owner(static_cast<int>(fd));
  return write_retrying(owner.get(), value);
}

Failure Folder::failure(long code, std::string_view field, std::string_view file, std::string_view value) const {
  if (code == -ENOENT) return fail_errno(ENOENT, field, ": this kernel has no ", file, " in ", path_);
  return fail_errno(static_cast<int>(-code), field, ": write \"", value, "\" to ", path_, "/", file);
}

Result<> Folder::set(std::string_view field, std::string_view file, std::string_view value) const {
  const long code = put(file, value);
  if (code < 0) [[unlikely]]
    return failure(code, field, file, value);
  return {};
}

Result<> Folder::set(std::string_view field, std::string_view file, uint64_t value) const {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return set(field, file, std::string_view(text, end.ptr));
}

Result<> Folder::set_each(std::string_view field, std::string_view file, const std::vector<std::string>& values) const {
  if (values.empty()) return {};
  const long fd = open_file(path_, file, O_WRONLY);
  if (fd < 0) return failure(fd, field, file, values.front());
  const Fd owner(static_cast<int>(fd));
  for (const std::string& value : values)
    if (const long code = write_retrying(owner.get(), value); code < 0) return failure(code, field, file, value);
  return {};
}

Result<std::string> Folder::get(std::string_view file) const {
  const long fd = open_file(path_, file, O_RDONLY);
  if (fd < 0) return fail_errno(static_cast<int>(-fd), "open ", path_, "/", file);
  const Fd owner(static_cast<int>(fd));
  std::string text;
  char buffer[4096];
  for (;;) {
    const long got = call(kRead, owner.get(), buffer, sizeof buffer);
    if (got == -EINTR) continue;
    if (got < 0) return fail_errno(static_cast<int>(-got), "read ", path_, "/", file);
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kReadLimit) return fail_errno(EFBIG, "read ", path_, "/", file);
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<uint64_t> Folder::number(std::string_view file) const {
  const std::string text = TRY(get(file));
  if (text == "max" || text == "-1") return UINT64_MAX;
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size())
    return fail(path_, "/", file, ": \"", text, "\" is not a number");
  return value;
}

Result<uint64_t> Folder::keyed(std::string_view file, std::string_view key) const {
  const std::string text = TRY(get(file));
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    uint64_t value = 0;
    const char* end = line.data() + line.size();
    if (std::from_chars(line.data() + key.size() + 1, end, value).ptr == end) return value;
  }
  return fail_errno(ENOENT, path_, "/", file, ": no line \"", key, "\"");
}

bool Folder::has(std::string_view file) const {
  const PathBuffer path(path_, file);
  return path.fits() && ::access(path.c_str(), F_OK) == 0;
}

Result<std::vector<std::string>> Folder::folders() const { return entries(path_, DT_DIR); }
Result<std::vector<std::string>> Folder::files() const { return entries(path_, DT_REG); }

Result<uint32_t> make_folder(const std::string& mount, std::string_view inner) {
  const std::string path = cat(mount, inner);
  for (int attempt = 0; attempt < 16; ++attempt) {
    const long answer = make_one(path);
    if (answer >= 0) return 1;
    if (answer == -EEXIST) return 0;
    const size_t slash = inner.rfind('/');
    if (answer != -ENOENT || slash == 0 || slash == std::string_view::npos)
      return fail_errno(static_cast<int>(-answer), "make cgroup ", path);
    const uint32_t parents = TRY(make_folder(mount, inner.substr(0, slash)));
    const long again = make_one(path);
    if (again >= 0) return parents + 1;
    if (again == -EEXIST) return 0;
    if (again != -ENOENT) {
      remove_empty_parents(path, parents);
      return fail_errno(static_cast<int>(-again), "make cgroup ", path);
    }
  }
  return fail_errno(ENOENT, "make cgroup ", path, ": its parent keeps being removed");
}

bool remove_empty_folder(const std::string& path) {
  const long answer = remove_one(path);
  return answer >= 0 || answer == -ENOENT;
}

Result<> remove_folder(const std::string& path, int64_t& budget_us) {
  int64_t wait = 20;
  for (;;) {
    const long answer = remove_one(path);
    if (answer >= 0 || answer == -ENOENT) return {};
    if (answer == -EINTR) continue;
    const Folder folder(path);
    auto children = folder.folders();
    // A read-only mount answers EROFS even for a folder that is gone.
    if (!children && children.error().code() == ENOENT) return {};
    if (children && !children->empty()) {
      for (const std::string& child : *children) TRY(remove_folder(cat(path, "/", child), budget_us));
      if (remove_one(path) >= 0) return {};
    }
    if ((answer != -EBUSY && answer != -ENOTEMPTY) || budget_us <= 0)
      return fail_errno(static_cast<int>(-answer), "remove cgroup ", path);
    sleep_us(wait);
    budget_us -= wait;
    wait = std::min<int64_t>(wait * 2, 64'000);
  }
}

void remove_empty_parents(const std::string& path, uint32_t count) {
  std::string parent = path;
  for (uint32_t i = 0; i < count; ++i) {
    parent.resize(parent.rfind('/'));
    if (remove_one(parent) < 0) return;
  }
}

namespace {

Result<> add_processes(const Folder& folder, std::vector<pid_t>& pids) {
  auto text = folder.get("cgroup.procs");
  // Inside a threaded subtree only threads are listed; their leaders are on the domain above.
  if (!text && (text.error().code() == EOPNOTSUPP || text.error().code() == ENOTSUP))
    text = folder.get("cgroup.threads");
  if (!text) {
    if (text.error().code() == ENOENT || text.error().code() == ENODEV) return {};
    return std::unexpected(std::move(text).error());
  }
  const char* at = text->data();
  const char* end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    const auto [next, ec] = std::from_chars(at, end, pid);
    if (ec != std::errc()) return fail(folder.path(), "/cgroup.procs: not a list of processes");
    if (pid > 0) pids.push_back(pid);
    at = next + 1;
  }
  return {};
}

Result<> collect(const Folder& folder, std::vector<pid_t>& pids, int depth) {
  // The kernel's own bound on nesting is deeper paths than PATH_MAX; this one keeps the stack small.
  if (depth > 256) return fail(folder.path(), ": cgroups are nested too deep");
  TRY(add_processes(folder, pids));
  auto children = folder.folders();
  if (!children) {
    if (children.error().code() == ENOENT) return {};
    return std::unexpected(std::move(children).error());
  }
  for (const std::string& child : *children) TRY(collect(folder.child(child), pids, depth + 1));
  return {};
}

}  // namespace

Result<> collect_processes(const Folder& folder, std::vector<pid_t>& pids) { return collect(folder, pids, 0); }

bool has_processes(const Folder& folder) {
  std::vector<pid_t> pids;
  return collect_processes(folder, pids).has_value() && !pids.empty();
}

}  // namespace proa::kernel::cgroup
