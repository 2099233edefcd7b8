#include "kernel/cgroup/hosts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <algorithm>

#include "base/text.h"
#include "kernel/cgroup/top.h"
#include "kernel/file.h"
#include "kernel/sys.h"

namespace proa::kernel::cgroup {
namespace {

constexpr CallShape kOpenat{SYS_openat, "openat", "dsxo"};
constexpr CallShape kFstatfs{SYS_fstatfs, "fstatfs", "dp"};

constexpr CallShape kFstat{SYS_fstat, "fstat", "dp"};

// What of a hierarchy is mounted at a folder.
enum class Mounted : uint8_t { kNothing, kPart, kWhole };

// `closely`: tell a part from the whole.
Mounted look_at(const std::string& folder, long magic, bool closely) {
  constexpr ino_t kTopGroup = 1;
  const Place at = place(folder.c_str());
  const Fd fd(static_cast<int>(call(kOpenat, at.dirfd, at.path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)));
  struct statfs info{};
  if (!fd || call(kFstatfs, fd.get(), &info) != 0 || static_cast<long>(info.f_type) != magic) return Mounted::kNothing;
  if (!closely) return Mounted::kWhole;
  struct stat group{};
  return call(kFstat, fd.get(), &group) == 0 && group.st_ino == kTopGroup ? Mounted::kWhole : Mounted::kPart;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

struct MountLine {
  std::string_view root, folder, type, super_options;
};

// proc(5): id parent major:minor root folder options [tags...] - type source super-options
bool parse_mount_line(std::string_view line, MountLine& out) {
  for (int i = 0; i < 3; ++i) cut(line, ' ');
  out.root = cut(line, ' ');
  out.folder = cut(line, ' ');
  const size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return false;
  line.remove_prefix(dash + 3);
  out.type = cut(line, ' ');
  cut(line, ' ');
  out.super_options = line;
  return true;
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty())
    if (cut(options, ',') == wanted) return true;
  return false;
}

bool mounts_hierarchy(const MountLine& line, std::string_view controllers) {
  if (controllers.empty()) return line.type == "cgroup2";
  if (line.type != "cgroup") return false;
  while (!controllers.empty())
    if (!has_option(line.super_options, cut(controllers, ','))) return false;
  return true;
}

std::string usual_folder(const std::string& top, std::string_view controllers) {
  if (controllers.empty()) return cat(top, "/unified");
  if (controllers.starts_with("name=")) controllers.remove_prefix(5);
  return cat(top, "/", controllers);
}

}  // namespace

bool names_controller(std::string_view list, std::string_view controller) { return has_option(list, controller); }

const Mount* Host::find(std::string_view controller) const {
  for (const Mount& mount : mounts)
    if (names_controller(mount.controllers, controller)) return &mount;
  return nullptr;
}

std::vector<Mount> parse_own_cgroups(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    std::string_view line = cut(text, '\n');
    cut(line, ':');
    const std::string_view controllers = cut(line, ':');
    if (!line.starts_with('/')) continue;
    mounts.push_back({.controllers = std::string(controllers), .folder = {}, .own = std::string(line)});
  }
  return mounts;
}

Result<> parse_mounts(std::string_view mountinfo, const std::string& root, std::vector<Mount>& mounts) {
  const std::string top = cat(root, "/sys/fs/cgroup");
  while (!mountinfo.empty()) {
    MountLine line;
    if (!parse_mount_line(cut(mountinfo, '\n'), line) || !line.type.starts_with("cgroup")) continue;
    for (Mount& mount : mounts) {
      if (!mounts_hierarchy(line, mount.controllers)) continue;
      const std::string folder = cat(root, unescape(line.folder));
      // The first mount wins, unless there is one at the usual place.
      if (!mount.folder.empty() && mount.folder != folder && folder != usual_folder(top, mount.controllers)) continue;
      mount.folder = folder;
      mount.root = unescape(line.root);
    }
  }
  return {};
}

namespace {

// Whether every hierarchy is at its usual place, which is then noted; `whole`: and that all of it is.
bool take_usual_folders(const std::string& top, bool whole, std::vector<Mount>& mounts) {
  bool complete = true;
  for (Mount& mount : mounts) {
    std::string folder = usual_folder(top, mount.controllers);
    const Mounted found = look_at(folder, mount.controllers.empty() ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC, whole);
    complete &= found == Mounted::kWhole;
    if (found != Mounted::kNothing) mount.folder = std::move(folder);
  }
  return complete;
}

}  // namespace

Result<Host> find_host(const std::string& root, bool relative) {
  Host host;
  const std::string top = cat(root, "/sys/fs/cgroup");
  const std::string own_file = cat(root, "/proc/self/cgroup");
  const Mounted unified = look_at(top, CGROUP2_SUPER_MAGIC, relative);
  host.pure_v2 = unified != Mounted::kNothing;
  if (host.pure_v2 && !relative) {
    host.mounts.push_back({.controllers = "", .folder = top});
    return host;
  }
  host.mounts = parse_own_cgroups(TRY_CTX(read_file(own_file.c_str(), 1u << 20), "find this process's cgroups"));
  // Below a cgroup that is not the top, a mount of a part only must be known for what it is.
  const bool whole = relative && std::ranges::any_of(host.mounts, [](const Mount& mount) { return mount.own != "/"; });
  bool complete = !whole || unified == Mounted::kWhole;
  if (host.pure_v2) {
    std::erase_if(host.mounts, [](const Mount& mount) { return !mount.controllers.empty(); });
    for (Mount& mount : host.mounts) mount.folder = top;
  } else {
    complete = take_usual_folders(top, whole, host.mounts);
  }
  if (!complete) {
    const std::string file = cat(root, "/proc/self/mountinfo");
    const std::string mountinfo = TRY_CTX(read_file(file.c_str()), "find the cgroup mounts");
    TRY(parse_mounts(mountinfo, root, host.mounts));
  }
  std::erase_if(host.mounts, [](const Mount& mount) { return mount.folder.empty(); });
  if (!host.pure_v2 && host.mounts.size() == 1 && host.mounts.front().controllers.empty()) host.pure_v2 = true;
  return host;
}

std::string inner_path(const Host& host, const Mount& mount, const std::string& cleaned) {
  if (cleaned.starts_with('/')) return cleaned;
  std::string_view own = mount.own;
  // Inside a container without a cgroup namespace the mount shows only a part of the hierarchy.
  if (mount.root != "/" && own.starts_with(mount.root)) own.remove_prefix(mount.root.size());
  // "/../x": outside what this cgroup namespace shows; the top of the mount is all there is.
  if (own.starts_with("/..")) own = "/";
  if (host.pure_v2) own = own.substr(0, own.rfind('/'));
  if (own.ends_with('/')) own.remove_suffix(1);
  return cat(own, "/", cleaned);
}

}  // namespace proa::kernel::cgroup
