// Files to and from the host. The guest trusts the host: paths are followed as they are.
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guest/session.h"
#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;
using shim::Path;

namespace {

long raw(const void* pointer) { return reinterpret_cast<long>(pointer); }

long look(const char* path, struct stat* to, bool follow) {
  return sys::call(SYS_newfstatat, AT_FDCWD, raw(path), raw(to), follow ? 0 : AT_SYMLINK_NOFOLLOW);
}

bool is_folder(const char* path) {
  struct stat found;
  return look(path, &found, true) == 0 && S_ISDIR(found.st_mode);
}

// The data of one file follows its entry.
long take_content(int connection, Receiver& frames, const char* path, uint64_t size) {
  sys::call(SYS_unlink, raw(path));
  const int file = sys::open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  long error = file < 0 ? file : 0;
  while (size > 0) {
    if (!frames.receive(connection) || frames.kind() != Kind::kData || frames.payload().size() > size) {
      error = -EPROTO;
      break;
    }
    size -= frames.payload().size();
    if (error == 0) error = sys::write_all(file, frames.payload().data(), frames.payload().size());
  }
  sys::close(file);
  return error;
}

shim::Result<> take_entry(int connection, Receiver& frames, std::string_view target) {
  Entry entry;
  std::string_view rest = frames.payload();
  if (rest.size() < sizeof entry) return shim::fail("an entry ends too early");
  __builtin_memcpy(&entry, rest.data(), sizeof entry);
  rest.remove_prefix(sizeof entry);
  const size_t end = rest.find('\0');
  const std::string_view name = end == std::string_view::npos ? rest : shim::first(rest, end);
  const Path path(target, name.empty() ? "" : "/", name);
  Path link;
  if (end != std::string_view::npos) rest.remove_prefix(end + 1), link << rest;
  long error = 0;
  if (S_ISDIR(entry.mode)) {
    error = sys::make_dir(path.c_str(), 0700);
    if (error == -EEXIST && is_folder(path.c_str())) error = 0;
  } else if (S_ISLNK(entry.mode)) {
    sys::call(SYS_unlink, raw(path.c_str()));
    error = sys::call(SYS_symlink, raw(link.c_str()), raw(path.c_str()));
  } else {
    error = take_content(connection, frames, path.c_str(), entry.size);
  }
  if (error == 0) error = sys::call(SYS_lchown, raw(path.c_str()), entry.uid, entry.gid);
  if (error == 0 && !S_ISLNK(entry.mode)) error = sys::call(SYS_chmod, raw(path.c_str()), entry.mode & 07777);
  const timespec times[2] = {{entry.seconds, entry.nanoseconds}, {entry.seconds, entry.nanoseconds}};
  if (error == 0) error = sys::call(SYS_utimensat, AT_FDCWD, raw(path.c_str()), raw(times), AT_SYMLINK_NOFOLLOW);
  if (error < 0) return shim::fail_with(error, path.view());
  return {};
}

// Walks what is copied out; the path grows and shrinks in one buffer.
class Sender {
 public:
  Sender(int connection, std::string_view top) : connection_(connection), path_(top), skip_(top.size()) {}

  shim::Result<> send() {
    struct stat found;
    if (const long error = look(path_.c_str(), &found, false); error < 0) return shim::fail_with(error, path_.view());
    if (S_ISREG(found.st_mode)) return send_file(found);
    if (S_ISLNK(found.st_mode)) return send_link(found);
    if (S_ISDIR(found.st_mode)) return send_folder(found);
    return {};  // sockets, devices and pipes stay
  }

 private:
  std::string_view name() const {
    std::string_view name = path_.view();
    name.remove_prefix(skip_);
    if (name.starts_with('/')) name.remove_prefix(1);
    return name;
  }
  shim::Result<> gone(long error) { return shim::fail_with(error, path_.view()); }

  shim::Result<> send_entry(const struct stat& found, std::string_view link = {}) {
    const Entry entry = entry_of(found);
    static char payload[sizeof entry + 2 * 4096];
    size_t size = 0;
    const auto put = [&](const void* from, size_t count) {
      __builtin_memcpy(payload + size, from, count);
      size += count;
    };
    put(&entry, sizeof entry);
    put(name().data(), name().size());
    if (S_ISLNK(found.st_mode)) put("", 1), put(link.data(), link.size());
    if (const long error = send_frame(connection_, Kind::kEntry, {payload, size}); error < 0) return gone(error);
    return {};
  }

  // Exactly as many bytes as were announced.
  shim::Result<> send_file(const struct stat& found) {
    static char bytes[kMostData];
    const int file = sys::open(AT_FDCWD, path_.c_str(), O_RDONLY | O_NOFOLLOW);
    if (file < 0) return gone(file);
    if (auto sent = send_entry(found); !sent) return sent;
    long error = 0;
    for (auto rest = static_cast<uint64_t>(found.st_size); rest > 0 && error >= 0;) {
      const size_t wanted = rest < sizeof bytes ? rest : sizeof bytes;
      long got = sys::read(file, bytes, wanted);
      if (got <= 0) {  // it shrank
        __builtin_memset(bytes, 0, wanted);
        got = static_cast<long>(wanted);
      }
      error = send_frame(connection_, Kind::kData, {bytes, static_cast<size_t>(got)});
      rest -= static_cast<uint64_t>(got);
    }
    sys::close(file);
    return error < 0 ? gone(error) : shim::Result<>();
  }

  shim::Result<> send_link(const struct stat& found) {
    char target[4095];
    const long size = sys::call(SYS_readlink, raw(path_.c_str()), raw(target), sizeof target);
    if (size < 0) return gone(size);
    return send_entry(found, {target, static_cast<size_t>(size)});
  }

  shim::Result<> send_folder(const struct stat& found) {
    if (auto sent = send_entry(found); !sent) return sent;
    const int folder = sys::open(AT_FDCWD, path_.c_str(), O_RDONLY | O_DIRECTORY);
    if (folder < 0) return gone(folder);
    shim::Result<> done;
    char list[2048];
    for (long size = 0; done && (size = sys::call(SYS_getdents64, folder, raw(list), sizeof list)) > 0;)
      for (long at = 0; done && at < size;) {
        const auto* one = reinterpret_cast<const dirent64*>(list + at);
        at += one->d_reclen;
        done = send_child(one->d_name);
      }
    sys::close(folder);
    return done;
  }

  shim::Result<> send_child(std::string_view child) {
    if (child == "." || child == "..") return {};
    const size_t size = path_.size();
    path_ << '/' << child;
    if (path_.truncated()) return shim::fail("a path below ", name(), " is too long");
    auto sent = send();
    path_.resize(size);
    return sent;
  }

  int connection_;
  Path path_;
  size_t skip_;
};

}  // namespace

shim::Result<> put_files(int connection, std::string_view fields, Receiver& frames) {
  Path target(field(fields, "path"));
  const bool folder = is_folder(target.c_str());
  if (folder && field(fields, "contents") != "1") target << '/' << field(fields, "name");
  shim::Result<> done;
  if (!folder && target.view().ends_with('/')) done = shim::fail(target.view(), ": there is no such folder");
  // After a failure the rest is read and dropped, so that the host hears of it.
  while (frames.receive(connection)) {
    if (frames.kind() == Kind::kDone) return done;
    if (done && frames.kind() == Kind::kEntry) done = take_entry(connection, frames, target.view());
  }
  return done ? shim::fail("the copy ended too early") : std::move(done);
}

shim::Result<> get_files(int connection, std::string_view fields) {
  auto sent = Sender(connection, field(fields, "path")).send();
  if (sent) send_frame(connection, Kind::kDone);
  return sent;
}

}  // namespace proa::guest
