#include "oci/runtime/mount_options.h"

#include <linux/mount.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace proa::oci::runtime {
namespace {

enum class Effect : uint8_t {
  kSet,             // bits: MS_*
  kClear,           //
  kRecursiveSet,    // bits: MS_*, becoming mount attributes
  kRecursiveClear,  //
  kPropagation,     // bits: MS_*
  kBind,            // bits: MS_BIND, perhaps MS_REC
  kIdMap,           // bits: IdMapMode
  kTmpcopyup,
  kCopySymlink,
  kSourceNofollow,
  kDestNofollow,
  kNothing,    // the default anyway
  kUserspace,  // of mount(8) itself, never the kernel's
};

struct Option {
  std::string_view name;
  Effect effect;
  uint64_t bits = 0;
};

// Sorted by name.
constexpr auto kOptions = std::to_array<Option>({
    {"_netdev", Effect::kUserspace},
    {"async", Effect::kClear, MS_SYNCHRONOUS},
    {"atime", Effect::kClear, MS_NOATIME},
    {"auto", Effect::kUserspace},
    {"bind", Effect::kBind, MS_BIND},
    {"copy-symlink", Effect::kCopySymlink},
    {"defaults", Effect::kNothing},
    {"dest-nofollow", Effect::kDestNofollow},
    {"dev", Effect::kClear, MS_NODEV},
    {"diratime", Effect::kClear, MS_NODIRATIME},
    {"dirsync", Effect::kSet, MS_DIRSYNC},
    {"exec", Effect::kClear, MS_NOEXEC},
    {"idmap", Effect::kIdMap, static_cast<uint64_t>(IdMapMode::kPlain)},
    {"iversion", Effect::kSet, MS_I_VERSION},
    {"lazytime", Effect::kSet, MS_LAZYTIME},
    {"loud", Effect::kClear, MS_SILENT},
    {"mand", Effect::kSet, MS_MANDLOCK},
    {"noatime", Effect::kSet, MS_NOATIME},
    {"noauto", Effect::kUserspace},
    {"nodev", Effect::kSet, MS_NODEV},
    {"nodiratime", Effect::kSet, MS_NODIRATIME},
    {"noexec", Effect::kSet, MS_NOEXEC},
    {"nofail", Effect::kUserspace},
    {"noiversion", Effect::kClear, MS_I_VERSION},
    {"nolazytime", Effect::kClear, MS_LAZYTIME},
    {"nomand", Effect::kClear, MS_MANDLOCK},
    {"norelatime", Effect::kClear, MS_RELATIME},
    {"nostrictatime", Effect::kClear, MS_STRICTATIME},
    {"nosuid", Effect::kSet, MS_NOSUID},
    {"nosymfollow", Effect::kSet, MS_NOSYMFOLLOW},
    {"nouser", Effect::kUserspace},
    {"private", Effect::kPropagation, MS_PRIVATE},
    {"ratime", Effect::kRecursiveClear, MS_NOATIME},
    {"rbind", Effect::kBind, MS_BIND | MS_REC},
    {"rdev", Effect::kRecursiveClear, MS_NODEV},
    {"rdiratime", Effect::kRecursiveClear, MS_NODIRATIME},
    {"relatime", Effect::kSet, MS_RELATIME},
    {"remount", Effect::kSet, MS_REMOUNT},
    {"rexec", Effect::kRecursiveClear, MS_NOEXEC},
    {"ridmap", Effect::kIdMap, static_cast<uint64_t>(IdMapMode::kRecursive)},
    {"rnoatime", Effect::kRecursiveSet, MS_NOATIME},
    {"rnodev", Effect::kRecursiveSet, MS_NODEV},
    {"rnodiratime", Effect::kRecursiveSet, MS_NODIRATIME},
    {"rnoexec", Effect::kRecursiveSet, MS_NOEXEC},
    {"rnorelatime", Effect::kRecursiveClear, MS_RELATIME},
    {"rnostrictatime", Effect::kRecursiveClear, MS_STRICTATIME},
    {"rnosuid", Effect::kRecursiveSet, MS_NOSUID},
    {"rnosymfollow", Effect::kRecursiveSet, MS_NOSYMFOLLOW},
    {"ro", Effect::kSet, MS_RDONLY},
    {"rprivate", Effect::kPropagation, MS_PRIVATE | MS_REC},
    {"rrelatime", Effect::kRecursiveSet, MS_RELATIME},
    {"rro", Effect::kRecursiveSet, MS_RDONLY},
    {"rrw", Effect::kRecursiveClear, MS_RDONLY},
    {"rshared", Effect::kPropagation, MS_SHARED | MS_REC},
    {"rslave", Effect::kPropagation, MS_SLAVE | MS_REC},
    {"rstrictatime", Effect::kRecursiveSet, MS_STRICTATIME},
    {"rsuid", Effect::kRecursiveClear, MS_NOSUID},
    {"rsymfollow", Effect::kRecursiveClear, MS_NOSYMFOLLOW},
    {"runbindable", Effect::kPropagation, MS_UNBINDABLE | MS_REC},
    {"rw", Effect::kClear, MS_RDONLY},
    {"shared", Effect::kPropagation, MS_SHARED},
    {"silent", Effect::kSet, MS_SILENT},
    {"slave", Effect::kPropagation, MS_SLAVE},
    {"src-nofollow", Effect::kSourceNofollow},
    {"strictatime", Effect::kSet, MS_STRICTATIME},
    {"suid", Effect::kClear, MS_NOSUID},
    {"symfollow", Effect::kClear, MS_NOSYMFOLLOW},
    {"sync", Effect::kSet, MS_SYNCHRONOUS},
    {"tmpcopyup", Effect::kTmpcopyup},
    {"unbindable", Effect::kPropagation, MS_UNBINDABLE},
});
static_assert(std::ranges::is_sorted(kOptions, {}, &Option::name));

// One choice of three, not three switches.
constexpr uint64_t kTimeChoice = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

struct AttrOf {
  uint64_t flag, attr;
};
// "relatime" is the attribute value 0.
constexpr auto kAttrs = std::to_array<AttrOf>({
    {MS_RDONLY, MOUNT_ATTR_RDONLY},
    {MS_NOSUID, MOUNT_ATTR_NOSUID},
    {MS_NODEV, MOUNT_ATTR_NODEV},
    {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {MS_NOATIME, MOUNT_ATTR_NOATIME},
    {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
});

struct Switches {
  uint64_t on = 0, off = 0;

  void set(uint64_t bits) {
    if ((bits & kTimeChoice) != 0) on &= ~kTimeChoice;
    on |= bits;
    off &= ~bits;
  }
  void clear(uint64_t bits) {
    on &= ~bits;
    off |= bits;
  }
  AttrChange attrs() const {
    AttrChange change;
    for (const auto& [flag, attr] : kAttrs) {
      if ((on & flag) != 0) change.set |= attr;
      if ((off & flag) != 0) change.clear |= attr;
    }
    if (((on | off) & kTimeChoice) != 0) change.clear |= MOUNT_ATTR__ATIME;
    return change;
  }
};

const Option* find_option(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kOptions, name, {}, &Option::name);
  return found != kOptions.end() && found->name == name ? found : nullptr;
}

void act(const Option& option, MountOptions& out, Switches& here, Switches& below) {
  switch (option.effect) {
    case Effect::kSet: here.set(option.bits); break;
    case Effect::kClear: here.clear(option.bits); break;
    case Effect::kRecursiveSet: below.set(option.bits); break;
    case Effect::kRecursiveClear: below.clear(option.bits); break;
    case Effect::kPropagation: out.propagation.push_back(option.bits); break;
    case Effect::kBind:
      here.on &= ~static_cast<uint64_t>(MS_REC);
      here.on |= option.bits;
      break;
    case Effect::kIdMap: out.idmap = static_cast<IdMapMode>(option.bits); break;
    case Effect::kTmpcopyup: out.tmpcopyup = true; break;
    case Effect::kCopySymlink: out.copy_symlink = true; break;
    case Effect::kSourceNofollow: out.source_nofollow = true; break;
    case Effect::kDestNofollow: out.dest_nofollow = true; break;
    case Effect::kNothing:
    case Effect::kUserspace: break;
  }
}

void append_data(std::string& data, std::string_view option) {
  if (!data.empty()) data.push_back(',');
  data.append(option);
}

// Cuts `text` at the first `separator`: returns what is before it and leaves what is after.
std::string_view next_part(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

// Where `id` of the container lies on the host.
Result<uint32_t> through(const std::vector<IdMapping>& mappings, uint32_t id) {
  for (const IdMapping& m : mappings)
    if (id >= m.container_id && id - m.container_id < m.size) return m.host_id + (id - m.container_id);
  return fail("id ", id, " is not mapped in the container's user namespace");
}

// "FROM-TO-LENGTH", with '@' in front when TO is an id of the container.
Result<IdMapping> read_range(std::string_view text, const std::vector<IdMapping>* container) {
  const std::string_view whole = text;
  const bool relative = text.starts_with('@');
  if (relative) text.remove_prefix(1);
  uint32_t numbers[3];
  for (uint32_t& number : numbers) {
    const std::string_view part = next_part(text, '-');
    const auto [end, ec] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (ec != std::errc() || end != part.data() + part.size() || part.empty())
      return fail("\"", whole, "\" is not FROM-TO-LENGTH");
  }
  if (!text.empty() || whole.ends_with('-')) return fail("\"", whole, "\" is not FROM-TO-LENGTH");
  IdMapping mapping{numbers[0], numbers[1], numbers[2]};
  if (relative) {
    if (container == nullptr || container->empty()) return fail("\"", whole, "\" needs a user namespace with mappings");
    mapping.host_id = TRY(through(*container, mapping.host_id));
  }
  return mapping;
}

// crun's "idmap=uids=0-1-10#10-11-10;gids=0-100-10".
Result<> read_idmap(std::string_view text, const Linux* container, MountOptions& out) {
  while (!text.empty()) {
    std::string_view part = next_part(text, ';');
    const std::string_view key = next_part(part, '=');
    const bool uids = key == "uids";
    if (!uids && key != "gids") return fail("expected uids= or gids=, found \"", key, "\"");
    std::vector<IdMapping>& mappings = uids ? out.uid_mappings : out.gid_mappings;
    const std::vector<IdMapping>* outer =
        container == nullptr ? nullptr : (uids ? &container->uid_mappings : &container->gid_mappings);
    mappings.clear();
    while (!part.empty()) mappings.push_back(TRY(read_range(next_part(part, '#'), outer)));
  }
  return {};
}

// "idmap=..." and "ridmap=..."; false when `option` is neither.
Result<bool> take_idmap(std::string_view option, const Linux* container, MountOptions& out) {
  const std::string_view key = option.substr(0, option.find('='));
  if (key.size() == option.size() || (key != "idmap" && key != "ridmap")) return false;
  out.idmap = key == "idmap" ? IdMapMode::kPlain : IdMapMode::kRecursive;
  TRY_CTX(read_idmap(option.substr(key.size() + 1), container, out), "option ", key);
  return true;
}

}  // namespace

bool MountOptions::is_bind() const { return (flags & MS_BIND) != 0; }
bool MountOptions::is_recursive_bind() const { return is_bind() && (flags & MS_REC) != 0; }
bool MountOptions::is_remount() const { return (flags & MS_REMOUNT) != 0; }

std::vector<const char*> MountOptions::superblock_options() const {
  std::vector<const char*> names;
  const auto add = [&](uint64_t flag, const char* name) {
    if ((flags & flag) != 0) names.push_back(name);
  };
  add(MS_RDONLY, "ro");
  add(MS_SYNCHRONOUS, "sync");
  add(MS_DIRSYNC, "dirsync");
  add(MS_MANDLOCK, "mand");
  add(MS_LAZYTIME, "lazytime");
  return names;
}

Result<MountOptions> parse_mount_options(const Mount& mount, const Linux* container) {
  MountOptions out;
  out.uid_mappings = mount.uid_mappings;
  out.gid_mappings = mount.gid_mappings;
  // Mappings alone mean "idmap" too: the option is only recommended (config.md, "uidMappings").
  if (!out.uid_mappings.empty() || !out.gid_mappings.empty()) out.idmap = IdMapMode::kPlain;
  Switches here, below;
  for (const std::string& text : mount.options) {
    if (const Option* option = find_option(text))
      act(*option, out, here, below);
    else if (text.starts_with("x-"))
      continue;  // a comment to mount(8)
    else if (!TRY(take_idmap(text, container, out)))
      append_data(out.data, text);
  }
  if (out.uid_mappings.empty() != out.gid_mappings.empty())
    return fail("uidMappings and gidMappings must be given together");
  out.flags = here.on;
  out.cleared_flags = here.off;
  out.attr = here.attrs();
  out.recursive_attr = below.attrs();
  return out;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> names;
  names.reserve(kOptions.size());
  for (const Option& option : kOptions)
    if (option.effect != Effect::kUserspace) names.emplace_back(option.name);
  return names;
}

}  // namespace proa::oci::runtime
