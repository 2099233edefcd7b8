// Writable root file systems on an image's layers, by overlayfs.
//
//   snapshots/ID/fs, work   the upper folder and overlayfs's own
//   snapshots/ID/info.json  see snapshot_info.h
//
// A snapshot is made at once and removed at once; a process that dies in between leaves nothing that the next
// collection does not remove. Snapshots keep the layers they stand on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/compression.h"
#include "oci/image/layers.h"
#include "oci/image/pack.h"
#include "oci/image/store.h"

namespace proa::oci::image {

// `id`: a name safe for a file. EEXIST when there is one. The chain's layers must be protected or named.
Result<> prepare_snapshot(const Store& store, const std::string& id, const Chain& chain);
// ENOENT when there is none. Must not be mounted any more.
Result<> remove_snapshot(const Store& store, const std::string& id);
Result<std::vector<std::string>> list_snapshots(const Store& store);

struct SnapshotMount {
  bool read_only = false;
  // Faster, for what need not survive the machine: syncs are left out.
  bool volatile_upper = false;
  // Without root's rights, in a user namespace.
  bool rootless = false;
  // A user namespace that maps the ids on the disk to those that are seen: -1 leaves them as they are. What is written
  // through it has ids on the disk as if no namespace were there. Needs idmapped mounts of the store's file system.
  int user_namespace = -1;
  // For tests: as on kernels before 6.5, that take all lower folders in one string.
  bool one_string = false;
};
// The file system, mounted detached: attach it with kernel::attach(). Any number of layers up to the kernel's 500.
Result<Fd> mount_snapshot(const Store& store, const std::string& id, const SnapshotMount& how = {});
// The layers alone, read-only.
Result<Fd> mount_chain(const Store& store, const Chain& chain, const SnapshotMount& how = {});

struct Usage {
  uint64_t bytes = 0;  // on the disk
  uint64_t inodes = 0;
};
// Of the upper folder.
Result<Usage> snapshot_usage(const Store& store, const std::string& id);

struct PackedLayer {
  Descriptor descriptor;
  Digest diff_id;
  uint64_t bytes = 0;  // of the tar stream
};
// What was changed becomes a layer. Files that change meanwhile are an error.
Result<PackedLayer> commit_snapshot(const Store& store, const Lease& lease, const std::string& id,
                                    Compression compression, const PackOptions& options = {});
// A tar stream into the store as a layer: `produce` writes it.
Result<PackedLayer> add_layer(const Store& store, const Lease& lease, Compression compression,
                              const std::function<Result<>(Sink&)>& produce);

enum class ChangeKind : char { kAdded = 'A', kChanged = 'C', kDeleted = 'D' };
struct Change {
  ChangeKind kind;
  std::string path;  // absolute
  bool operator==(const Change&) const = default;
};
// Sorted by path. What differs: type, mode, owner, size, time of change, link target.
Result<std::vector<Change>> snapshot_changes(const Store& store, const std::string& id);
Result<std::vector<Change>> chain_changes(const Store& store, const Chain& from, const Chain& to);

}  // namespace proa::oci::image
