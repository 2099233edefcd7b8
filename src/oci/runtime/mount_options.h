// A mount's "options" strings sorted into what the kernel takes: mount(2) bits, mount_setattr(2)
// attributes, propagation, superblock flags, filesystem data. Every option of config.md, "Linux mount
// options", and crun's extensions. Of options that exclude each other the last one wins, as in mount(8).
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// attr_set and attr_clr of struct mount_attr: MOUNT_ATTR_* bits. An access-time choice also has
// MOUNT_ATTR__ATIME in `clear`, as the kernel demands.
struct AttrChange {
  uint64_t set = 0, clear = 0;
  bool empty() const { return set == 0 && clear == 0; }
};

enum class IdMapMode : uint8_t { kNone, kPlain, kRecursive };  // neither, "idmap", "ridmap"

struct MountOptions {
  // MS_* bits asked for and asked off; no bit is in both. MS_BIND, MS_REC and MS_REMOUNT are among
  // `flags`, the propagation bits are not.
  uint64_t flags = 0, cleared_flags = 0;
  // The per-mount part of `flags` and `cleared_flags`, for mount_setattr or fsmount.
  AttrChange attr;
  // The "r..." options: applied with AT_RECURSIVE, after `attr`.
  AttrChange recursive_attr;
  // MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, each perhaps with MS_REC, to be applied in order.
  std::vector<uint64_t> propagation;
  // The filesystem's own options, verbatim, joined by ','.
  std::string data;
  IdMapMode idmap = IdMapMode::kNone;
  // What the mount is mapped with; both empty while idmap is on: the container's user namespace.
  // container_id is the id on the filesystem, host_id the one seen through the mount.
  std::vector<IdMapping> uid_mappings, gid_mappings;
  bool tmpcopyup = false;
  bool copy_symlink = false;                            // a source that is a link is made again, not followed
  bool source_nofollow = false, dest_nofollow = false;  // bind the link itself

  bool is_bind() const;
  bool is_recursive_bind() const;
  bool is_remount() const;
  // FSCONFIG_SET_FLAG names for a new superblock: "ro", "sync", "dirsync", "mand", "lazytime". MS_I_VERSION
  // and MS_SILENT have no name there; only mount(2) carries them.
  std::vector<const char*> superblock_options() const;
};

// `container` gives the mappings that a relative "idmap=uids=@..." refers to. Fails on an idmap= text
// that cannot be read, and on mappings without their counterpart (uid without gid).
Result<MountOptions> parse_mount_options(const Mount& mount, const Linux* container = nullptr);

// Every option with a meaning here, sorted.
std::vector<std::string> known_mount_options();

}  // namespace proa::oci::runtime
