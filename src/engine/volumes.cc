#include "engine/volumes.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/mount.h"

namespace proa::engine {
namespace {

namespace bj = boost::json;

bj::object object_of(const StringMap& map) {
  bj::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

void read_map(const bj::object& from, const char* name, StringMap& to) {
  const auto* value = from.if_contains(name);
  if (value == nullptr || !value->is_object()) return;
  for (const auto& member : value->get_object())
    if (member.value().is_string()) to[member.key()] = std::string_view(member.value().get_string());
}

std::string emit(const Volume& volume) {
  return json::to_line(bj::object{{"driver", volume.driver},
                                  {"created", volume.created},
                                  {"labels", object_of(volume.labels)},
                                  {"options", object_of(volume.options)},
                                  {"anonymous", volume.anonymous}});
}

std::string option(const Volume& volume, const char* name) {
  const auto found = volume.options.find(name);
  return found == volume.options.end() ? "" : found->second;
}

bool is_mount_point(const std::string& path) {
  struct stat here{}, above{};
  if (::stat(path.c_str(), &here) != 0 || ::stat((path + "/..").c_str(), &above) != 0) return false;
  if (here.st_dev != above.st_dev) return true;
  // A bind mount on one file system.
  struct statx info{};
  return ::statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS, &info) == 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<> check_options(const Volume& volume) {
  if (volume.driver != "local") return fail("volume driver \"", volume.driver, "\": there is only \"local\"");
  for (const auto& [name, value] : volume.options)
    if (name != "type" && name != "device" && name != "o" && name != "size")
      return fail("invalid option: \"", name, "\"").hint("the local driver takes type, device, o and size");
  if (!volume.options.empty() && option(volume, "size").empty()) {
    if (option(volume, "type").empty() && option(volume, "o").empty()) return fail("missing required option: \"type\"");
    if (option(volume, "device").empty()) return fail("missing required option: \"device\"");
  }
  return {};
}

// "addr=server,rw,nolock": NFS wants an address, and the kernel's nfs its own form of it.
Result<> mount_options(const Volume& volume, const std::string& path) {
  std::string type = option(volume, "type"), options, device = option(volume, "device");
  unsigned long flags = 0;
  static constexpr std::pair<std::string_view, unsigned long> kFlags[] = {
      {"bind", MS_BIND},       {"rbind", MS_BIND | MS_REC},
      {"ro", MS_RDONLY},       {"noexec", MS_NOEXEC},
      {"nosuid", MS_NOSUID},   {"nodev", MS_NODEV},
      {"noatime", MS_NOATIME}, {"sync", MS_SYNCHRONOUS},
      {"dirsync", MS_DIRSYNC}, {"rw", 0},
      {"defaults", 0}};
  const std::string given = option(volume, "o");
  for (const std::string_view word : split(given, ',')) {
    const auto found = std::ranges::find(kFlags, word, [](const auto& flag) { return flag.first; });
    if (found != std::end(kFlags))
      flags |= found->second;
    else
      options += cat(options.empty() ? "" : ",", word);
  }
  if (type.starts_with("nfs") && device.starts_with(':'))
    for (const std::string_view word : split(given, ','))
      if (word.starts_with("addr=")) device = cat(word.substr(5), device);
  if (::mount(device.c_str(), path.c_str(), type == "none" ? nullptr : type.c_str(), flags, options.c_str()) != 0)
    return fail_errno(errno, "failed to mount local volume: mount ", device, ":", path, ", data: ", given);
  if ((flags & MS_BIND) != 0 && (flags & ~(MS_BIND | MS_REC)) != 0)
    (void)::mount(nullptr, path.c_str(), nullptr, flags | MS_REMOUNT, nullptr);
  return {};
}

}  // namespace

Result<Volume> Volumes::create(const Volume& wanted, bool* fresh) const {
  Volume volume = wanted;
  if (fresh != nullptr) *fresh = false;
  if (volume.name.empty()) {
    volume.name = TRY(random_id());
    volume.anonymous = true;
  } else if (const auto checked = check_name(volume.name, "volume name"); !checked) {
    return fail(
               "create ", volume.name, ": \"", volume.name,
               "\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed")
        .hint("If you intended to pass a host directory, use absolute path");
  }
  TRY(check_options(volume));
  if (auto found = find(volume.name)) {
    if (found->driver != volume.driver || (!volume.options.empty() && found->options != volume.options))
      return fail("volume ", volume.name, " exists with other options");
    return found;
  }
  volume.created = format_rfc3339(Clock::system().wall(), TimePrecision::kSeconds);
  // Made aside and renamed: a volume is there whole or not at all.
  const Fd kept = TRY(keep());
  const std::string aside = cat(folders_.trash(), "/volume-", TRY(random_hex(8))),
                    path = cat(folders_.volumes(), "/", volume.name);
  TRY(kernel::make_dirs(aside + "/_data", 0755));
  TRY(kernel::replace_file(aside + "/volume.json", emit(volume), 0600));
  if (::rename(aside.c_str(), path.c_str()) != 0) {
    const int code = errno;
    (void)kernel::remove_tree(aside);
    if (code != ENOTEMPTY && code != EEXIST) return fail_errno(code, "make volume ", volume.name);
  } else if (fresh != nullptr) {
    *fresh = true;
  }
  return find(volume.name);
}

Result<Volume> Volumes::find(const std::string& name) const {
  const auto none = [&] { return Failure(Error(cat("no such volume: ", name), ENOENT)); };
  if (!check_name(name, "volume")) return none();
  const std::string path = cat(folders_.volumes(), "/", name);
  const auto text = kernel::read_file((path + "/volume.json").c_str());
  if (!text) return none();
  const bj::value document = TRY_CTX(json::parse(*text), path, "/volume.json");
  const bj::object* object = document.if_object();
  if (object == nullptr) return fail(path, "/volume.json: not an object");
  Volume out{.name = name, .path = path + "/_data"};
  const auto word = [&](const char* field) -> std::string {
    const auto* value = object->if_contains(field);
    return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : "";
  };
  out.driver = word("driver"), out.created = word("created");
  read_map(*object, "labels", out.labels);
  read_map(*object, "options", out.options);
  if (const auto* value = object->if_contains("anonymous")) out.anonymous = value->is_bool() && value->get_bool();
  return out;
}

Result<std::vector<Volume>> Volumes::list() const {
  std::vector<Volume> out;
  for (const std::string& name : kernel::names_in(folders_.volumes()).value_or(std::vector<std::string>{}))
    if (auto volume = find(name)) out.push_back(std::move(*volume));
  std::ranges::sort(out, {}, &Volume::name);
  return out;
}

Result<std::string> Volumes::mount(const std::string& name) const {
  const Volume volume = TRY(find(name));
  if (volume.options.empty() || option(volume, "device").empty()) return volume.path;
  Fd lock = TRY(kernel::open(cat(folders_.volumes(), "/", name).c_str(), O_RDONLY | O_DIRECTORY));
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "lock volume ", name);
  if (!is_mount_point(volume.path)) TRY(mount_options(volume, volume.path));
  return volume.path;
}

namespace {
Result<Fd> lock_all(const std::string& folder, int how) {
  const std::string path = folder + "/.lock";
  auto file = kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  if (!file) {
    TRY(kernel::make_dirs(folder, 0711));
    file = TRY(kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  }
  while (::flock(file->get(), how) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path);
  return file;
}
}  // namespace

Result<Fd> Volumes::keep() const { return lock_all(folders_.volumes(), LOCK_SH); }
Result<Fd> Volumes::alone() const { return lock_all(folders_.volumes(), LOCK_EX); }

Result<> Volumes::remove(const std::string& name) const {
  const Volume volume = TRY(find(name));
  if (is_mount_point(volume.path) && ::umount2(volume.path.c_str(), MNT_DETACH) != 0)
    return fail_errno(errno, "unmount volume ", name);
  TRY(kernel::make_dirs(folders_.trash(), 0710));
  const std::string trash = cat(folders_.trash(), "/volume-", TRY(random_hex(8)));
  if (::rename(cat(folders_.volumes(), "/", name).c_str(), trash.c_str()) != 0)
    return fail_errno(errno, "remove volume ", name);
  return kernel::remove_tree(trash);
}

}  // namespace proa::engine
