// `proa vm cp`: both directions.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernel/file.h"
#include "vmm/host/guest_session.h"

namespace proa::vmm {

using guest::Entry;
using guest::Kind;

namespace {

constexpr size_t kMostName = 4096;

struct Source {
  std::string path, name;  // name: under which a folder takes it in
  bool contents = false;   // what is in it, rather than it
};

Source source_of(std::string path) {
  Source source;
  source.contents = path == "." || path.ends_with("/.");
  if (source.contents) path.resize(path.size() - 1);
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  source.path = path.empty() ? "." : path;
  source.name = source.path.substr(source.path.rfind('/') + 1);
  return source;
}

// --- to the guest

class Sender {
 public:
  explicit Sender(GuestLink& link) : link_(link) {}
  Result<> send(const std::string& path, const std::string& name) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) return fail_errno(errno, path);
    if (S_ISDIR(found.st_mode)) return send_folder(path, name, found);
    if (S_ISREG(found.st_mode)) return send_file(path, name, found);
    if (!S_ISLNK(found.st_mode)) return fail(path, ": is neither a file nor a folder nor a symbolic link");
    std::string target(kMostName, '\0');
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size < 0) return fail_errno(errno, path);
    target.resize(static_cast<size_t>(size));
    return send_entry(name + '\0' + target, found);
  }

 private:
  Result<> send_entry(const std::string& name, const struct stat& found) {
    const Entry entry = guest::entry_of(found);
    std::string payload(reinterpret_cast<const char*>(&entry), sizeof entry);
    return link_.send(Kind::kEntry, payload + name);
  }

  Result<> send_file(const std::string& path, const std::string& name, const struct stat& found) {
    const Fd file = TRY(kernel::open(path.c_str(), O_RDONLY | O_NOFOLLOW));
    TRY(send_entry(name, found));
    std::string bytes(guest::kMostData, '\0');
    for (auto rest = static_cast<uint64_t>(found.st_size); rest > 0;) {
      const size_t wanted = std::min<uint64_t>(rest, bytes.size());
      const ssize_t got = ::read(file.get(), bytes.data(), wanted);
      if (got < 0) return fail_errno(errno, path);
      if (got == 0) return fail(path, ": shrank while it was copied");
      TRY(link_.send(Kind::kData, std::string_view(bytes.data(), static_cast<size_t>(got))));
      rest -= static_cast<uint64_t>(got);
    }
    return {};
  }

  Result<> send_folder(const std::string& path, const std::string& name, const struct stat& found) {
    TRY(send_entry(name, found));
    DIR* const folder = ::opendir(path.c_str());
    if (folder == nullptr) return fail_errno(errno, path);
    const Defer close([&] { ::closedir(folder); });
    while (const dirent* one = ::readdir(folder)) {
      const std::string_view child = one->d_name;
      if (child == "." || child == "..") continue;
      TRY(send(cat(path, "/", child), name.empty() ? std::string(child) : cat(name, "/", child)));
    }
    return {};
  }

  GuestLink& link_;
};

// --- from the guest

// Makes entries below one folder; no name leads out of it, and no symbolic link on the way is followed.
class Taker {
 public:
  Taker(GuestLink& link, int folder) : link_(link), folder_(folder) {}

  // `name` "" is refused: the first entry is the caller's.
  Result<> take(const Entry& entry, std::string_view name, const std::string& link) {
    if (name.empty() || name.size() > kMostName) return fail("the guest sent no name");
    for (const std::string_view part : split_all(name))
      if (part.empty() || part == "." || part == "..") return fail("the guest sent the name \"", name, "\"");
    const size_t slash = name.rfind('/');
    const std::string above(slash == std::string_view::npos ? "." : name.substr(0, slash));
    const std::string last(name.substr(slash + 1));
    const Fd parent = TRY_CTX(kernel::open_beneath_no_links(folder_, above.c_str(), O_PATH | O_DIRECTORY), above);
    TRY_CTX(make(entry, parent.get(), last, link), name);
    return {};
  }

 private:
  static std::vector<std::string_view> split_all(std::string_view name) {
    std::vector<std::string_view> parts;
    for (size_t at = 0; at <= name.size();) {
      const size_t end = std::min(name.find('/', at), name.size());
      parts.push_back(name.substr(at, end - at));
      at = end + 1;
    }
    return parts;
  }

  Result<> make(const Entry& entry, int parent, const std::string& name, const std::string& link) {
    if (S_ISDIR(entry.mode)) {
      TRY(kernel::make_dir_at(parent, name.c_str(), 0700));
      const Fd made = TRY(kernel::open_beneath_no_links(parent, name.c_str(), O_RDONLY | O_DIRECTORY));
      return finish(made.get(), entry);
    }
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) return fail_errno(errno, "replace");
    if (S_ISLNK(entry.mode)) {
      if (::symlinkat(link.c_str(), parent, name.c_str()) != 0) return fail_errno(errno, "symlink");
      return {};
    }
    if (!S_ISREG(entry.mode)) return fail("the guest sent a file of an unknown kind");
    const Fd file = TRY(kernel::open_at(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    for (uint64_t rest = entry.size; rest > 0;) {
      const auto message = TRY(link_.receive());
      if (message.kind == Kind::kFail) return fail("guest: ", message.payload);
      if (message.kind != Kind::kData || message.payload.empty() || message.payload.size() > rest)
        return fail("the guest sent something other than the file's content");
      TRY(kernel::write_all(file.get(), message.payload));
      rest -= message.payload.size();
    }
    return finish(file.get(), entry);
  }

  // Owners and set-id bits are the guest's business.
  static Result<> finish(int fd, const Entry& entry) {
    if (::fchmod(fd, entry.mode & 0777) != 0) return fail_errno(errno, "chmod");
    const timespec time{.tv_sec = entry.seconds, .tv_nsec = static_cast<long>(entry.nanoseconds % 1'000'000'000)};
    const timespec times[2] = {time, time};
    if (::futimens(fd, times) != 0) return fail_errno(errno, "times");
    return {};
  }

  GuestLink& link_;
  const int folder_;
};

struct Received {
  Entry entry;
  std::string name, link;
};

// Nothing at the end of the copy.
Result<std::optional<Received>> next_entry(GuestLink& link) {
  const auto message = TRY(link.receive());
  if (message.kind == Kind::kDone) return std::nullopt;
  if (message.kind == Kind::kFail) return fail("guest: ", message.payload);
  Received received;
  if (message.kind != Kind::kEntry || message.payload.size() < sizeof received.entry)
    return fail("the guest sent no entry");
  std::memcpy(&received.entry, message.payload.data(), sizeof received.entry);
  const std::string_view rest = std::string_view(message.payload).substr(sizeof received.entry);
  received.name = rest.substr(0, rest.find('\0'));
  if (const size_t end = rest.find('\0'); end != std::string_view::npos)
    received.link = rest.substr(end + 1, rest.find('\0', end + 1) - end - 1);
  return received;
}

// What is copied itself, under a name of the caller's.
Result<> take_top(GuestLink& link, const Received& top, const std::string& place) {
  const size_t slash = place.rfind('/');
  const std::string above = slash == std::string::npos ? "." : place.substr(0, std::max<size_t>(slash, 1));
  const Fd parent = TRY_CTX(kernel::open(above.c_str(), O_PATH | O_DIRECTORY), "copy to");
  TRY_CTX(Taker(link, parent.get()).take(top.entry, place.substr(slash + 1), top.link), "copy to ", above);
  return {};
}

bool is_folder(const std::string& path) {
  struct stat found{};
  return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

}  // namespace

Result<> copy_to_guest(GuestLink& link, const std::string& source, const std::string& target) {
  const Source from = source_of(source);
  GuestFields fields;
  fields.add("do", "put").add("path", target).add("name", from.name);
  if (from.contents) fields.add("contents", "1");
  TRY(link.send(Kind::kStart, fields.text()));
  TRY(Sender(link).send(from.path, ""));
  TRY(link.send(Kind::kDone));
  const auto answer = TRY(link.receive());
  if (answer.kind == Kind::kFail) return fail("guest: ", answer.payload);
  return {};
}

Result<> copy_from_guest(GuestLink& link, const std::string& source, const std::string& target) {
  const Source from = source_of(source);
  GuestFields fields;
  fields.add("do", "get").add("path", from.path);
  TRY(link.send(Kind::kStart, fields.text()));
  const auto top = TRY(next_entry(link));
  if (!top || !top->name.empty()) return fail("the guest sent nothing");
  std::string place = target;
  const bool into = is_folder(target);
  if (!into && target.ends_with('/')) return fail(target, ": there is no such folder");
  const bool merge = into && from.contents && S_ISDIR(top->entry.mode);
  if (into && !merge) place = cat(target, "/", from.name);
  while (place.size() > 1 && place.ends_with('/')) place.pop_back();
  if (!merge) TRY(take_top(link, *top, place));
  if (!S_ISDIR(top->entry.mode)) return {};
  const Fd folder = TRY(kernel::open(place.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW));
  Taker below(link, folder.get());
  for (auto next = TRY(next_entry(link)); next; next = TRY(next_entry(link)))
    TRY_CTX(below.take(next->entry, next->name, next->link), "copy to ", place);
  return {};
}

}  // namespace proa::vmm
