#include "oci/image/snapshot.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "base/ids.h"
#include "kernel/file.h"
#include "kernel/mount.h"
#include "oci/image/merged_tree.h"
#include "oci/image/overlay.h"
#include "oci/image/snapshot_info.h"
#include "oci/image/staging.h"
#include "oci/image/store_folder.h"

namespace proa::oci::image {

using detail::FileLock;

namespace {

Result<Fd> open_folder(const Store& store, const std::string& path, int flags = O_PATH) {
  return kernel::open_at(store.root_fd(), path.c_str(), flags | O_DIRECTORY | O_NOFOLLOW);
}

// The layers' folders, the topmost first.
Result<std::vector<Fd>> open_chain(const Store& store, const Chain& chain) {
  allow_descriptors(chain.ids.size());
  std::vector<Fd> out;
  for (auto id = chain.ids.rbegin(); id != chain.ids.rend(); ++id)
    out.push_back(TRY_CTX(open_folder(store, cat("layers/", layer_name(*id, chain.map), "/fs")), "unpacked layer"));
  return out;
}

Result<Chain> chain_of(const Store& store, const std::string& id) {
  const auto info = read_snapshot_info(store, id);
  if (!info && info.error().code() == ENOENT) return fail_errno(ENOENT, "snapshot ", id);
  if (!info) return std::unexpected(info.error());
  return Chain{info->chain, info->map};
}

// The merged root's attributes are the upper folder's.
Result<> copy_root_attributes(const Store& store, const Chain& chain, int upper) {
  if (chain.ids.empty()) return {};
  const Fd top = TRY(open_folder(store, cat("layers/", layer_name(chain.ids.back(), chain.map), "/fs"), O_RDONLY));
  Unpacked root;
  root.implied.emplace_back(".");
  return take_from_below(upper, {top.get()}, root, {});
}

Result<Fd> mount_one(const Fd& folder, bool read_only) {
  Fd mounted = TRY(kernel::clone_tree(folder.get(), false));
  if (read_only) TRY(kernel::set_attributes(mounted.get(), "", {.set = MOUNT_ATTR_RDONLY}, false));
  return mounted;
}

Result<> measure(int dirfd, Usage& out, std::set<ino_t>& seen) {
  for (const std::string& name : TRY(detail::list_folder(dirfd, "."))) {
    struct stat info{};
    if (::fstatat(dirfd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // it is in use
      return fail_errno(errno, "stat ", name);
    }
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !seen.insert(info.st_ino).second) continue;
    out.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    ++out.inodes;
    if (!S_ISDIR(info.st_mode)) continue;
    const auto fd = kernel::open_at(dirfd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd) TRY(measure(fd->get(), out, seen));
  }
  return {};
}

}  // namespace

Result<> prepare_snapshot(const Store& store, const std::string& id, const Chain& chain) {
  TRY(check_container_id(id));
  if (id.starts_with("tmp-")) return fail("snapshot id \"", id, "\": must not begin with tmp-");
  Staging staging = TRY(Staging::make(store, "snapshots"));
  const FileLock lock = TRY(FileLock::shared(store.root_fd(), detail::kLock));
  for (const Digest& each : chain.ids) TRY_CTX(read_layer_info(store, layer_name(each, chain.map)), "snapshot ", id);
  TRY(kernel::make_dir_at(staging.fd(), "fs", 0755));
  TRY(kernel::make_dir_at(staging.fd(), "work", 0700));
  const Fd upper = TRY(kernel::open_at(staging.fd(), "fs", O_RDONLY | O_DIRECTORY));
  TRY_CTX(copy_root_attributes(store, chain, upper.get()), "snapshot ", id);
  SnapshotInfo info;
  info.chain = chain.ids;
  info.map = chain.map;
  info.created = format_rfc3339(Clock::system().wall());
  TRY(staging.write("info.json", emit(info)));
  return staging.place(cat("snapshots/", id), /*must_be_new=*/true);
}

Result<> remove_snapshot(const Store& store, const std::string& id) {
  TRY(check_container_id(id));
  return store.discard("snapshots", id);
}

Result<std::vector<std::string>> list_snapshots(const Store& store) {
  auto names = TRY(detail::list_folder(store.root_fd(), "snapshots"));
  std::erase_if(names, [](const std::string& name) { return name.starts_with("tmp-"); });
  std::ranges::sort(names);
  return names;
}

namespace {

// The folder as seen through the mapping, mounted for this descriptor alone.
Result<Fd> mapped(const Fd& folder, int user_namespace) {
  if (user_namespace < 0) return Fd(::fcntl(folder.get(), F_DUPFD_CLOEXEC, 3));
  Fd mount = TRY(kernel::clone_tree(folder.get(), false));
  TRY_CTX(kernel::set_attributes(mount.get(), "", {.set = MOUNT_ATTR_IDMAP, .userns_fd = user_namespace}, false),
          "map ids (does the file system of the image store support idmapped mounts?)");
  return mount;
}

// overlayfs works in its folders as whoever mounted it: through a mapping that must be the owner it shows, as the
// host's root is nobody there. Changing to it takes away what a user has no use for, until it is taken back.
class ActAs {
 public:
  ActAs(uid_t user, gid_t group) : was_user_(::setfsuid(user)), was_group_(::setfsgid(group)) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct sets[2] = {};
    if (::syscall(SYS_capget, &header, sets) != 0) return;
    for (__user_cap_data_struct& set : sets) set.effective = set.permitted;
    ::syscall(SYS_capset, &header, sets);
  }
  ~ActAs() {
    ::setfsgid(static_cast<gid_t>(was_group_));
    ::setfsuid(static_cast<uid_t>(was_user_));
  }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  int was_user_, was_group_;
};

}  // namespace

Result<Fd> mount_snapshot(const Store& store, const std::string& id, const SnapshotMount& how) {
  const Chain chain = TRY(chain_of(store, id));
  const Fd folder = TRY(open_folder(store, cat("snapshots/", id)));
  // Both folders must be on one mount.
  const Fd home = TRY(mapped(folder, how.user_namespace));
  Fd upper = TRY(kernel::open_at(home.get(), "fs", O_PATH | O_DIRECTORY));
  if (chain.ids.empty()) return mount_one(upper, how.read_only);
  std::vector<Fd> lower = TRY(open_chain(store, chain));
  if (how.user_namespace >= 0)
    for (Fd& layer : lower) layer = TRY(mapped(layer, how.user_namespace));
  Overlay overlay{.lower = std::move(lower),
                  .volatile_upper = how.volatile_upper,
                  .user_xattrs = how.rootless,
                  .one_string = how.one_string};
  if (how.read_only) {
    overlay.lower.insert(overlay.lower.begin(), std::move(upper));
  } else {
    overlay.upper = std::move(upper);
    overlay.work = TRY(kernel::open_at(home.get(), "work", O_PATH | O_DIRECTORY));
  }
  if (how.user_namespace < 0) return TRY_CTX(mount_overlay(overlay), "snapshot ", id);
  const struct stat owner = TRY(kernel::stat_fd(home.get()));
  const ActAs user(owner.st_uid, owner.st_gid);
  return TRY_CTX(mount_overlay(overlay), "snapshot ", id);
}

Result<Fd> mount_chain(const Store& store, const Chain& chain, const SnapshotMount& how) {
  if (chain.ids.empty()) return fail("image has no layers to mount");
  std::vector<Fd> lower = TRY(open_chain(store, chain));
  if (lower.size() == 1) return mount_one(lower[0], true);
  return mount_overlay({.lower = std::move(lower), .user_xattrs = how.rootless, .one_string = how.one_string});
}

Result<Usage> snapshot_usage(const Store& store, const std::string& id) {
  const Fd upper = TRY_CTX(open_folder(store, cat("snapshots/", id, "/fs"), O_RDONLY), "snapshot ", id);
  Usage out;
  std::set<ino_t> seen;
  TRY(measure(upper.get(), out, seen));
  return out;
}

Result<PackedLayer> add_layer(const Store& store, const Lease& lease, Compression compression,
                              const std::function<Result<>(Sink&)>& produce) {
  Ingest ingest = TRY(store.ingest(lease, {}));
  Hasher hasher;
  PackedLayer out;
  FunctionSink blob([&](std::span<const std::byte> bytes) { return ingest.write(bytes); });
  std::unique_ptr<Compressor> compressor;
  if (compression != Compression::kNone) compressor = Compressor::make(compression, blob);
  Sink& packed = compressor ? static_cast<Sink&>(*compressor) : blob;
  BufferedSink sink([&](std::span<const std::byte> bytes) -> Result<> {
    hasher.update(bytes);
    out.bytes += bytes.size();
    return packed.write(bytes);
  });
  TRY(produce(sink));
  TRY(sink.flush());
  if (compressor) TRY(compressor->finish());
  out.diff_id = hasher.finish();
  out.descriptor.media_type = layer_media_type(compression);
  out.descriptor.size = ingest.offset();
  out.descriptor.digest = TRY(ingest.commit());
  return out;
}

Result<PackedLayer> commit_snapshot(const Store& store, const Lease& lease, const std::string& id,
                                    Compression compression, const PackOptions& options) {
  const Fd upper = TRY_CTX(open_folder(store, cat("snapshots/", id, "/fs"), O_RDONLY), "snapshot ", id);
  PackOptions overlay = options;
  overlay.form = LayerForm::kOverlay;
  return TRY_CTX(
      add_layer(store, lease, compression, [&](Sink& sink) { return pack_tree(upper.get(), sink, overlay); }),
      "snapshot ", id);
}

Result<std::vector<Change>> snapshot_changes(const Store& store, const std::string& id) {
  const Chain chain = TRY(chain_of(store, id));
  std::vector<Fd> after;
  after.push_back(TRY(open_folder(store, cat("snapshots/", id, "/fs"))));
  for (Fd& each : TRY(open_chain(store, chain))) after.push_back(std::move(each));
  const std::vector<Fd> before = TRY(open_chain(store, chain));
  return compare_trees(before, after);
}

Result<std::vector<Change>> chain_changes(const Store& store, const Chain& from, const Chain& to) {
  const std::vector<Fd> before = TRY(open_chain(store, from));
  const std::vector<Fd> after = TRY(open_chain(store, to));
  return compare_trees(before, after);
}

}  // namespace proa::oci::image
