// Mark and sweep beside living writers.
//
// Marking walks every name's content without a lock. The sweep holds the lock exclusively, so nobody adds
// content or names meanwhile: it marks what changed since, reads the leases, and renames what nothing reaches
// into the trash, which is emptied after the lock is gone. Readers with open files are not disturbed.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/ids.h"
#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/snapshot_info.h"
#include "oci/image/store.h"
#include "oci/image/store_folder.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

using detail::FileLock;

namespace {
constexpr size_t kLongestLease = 64u << 20;
}

class Collector {
 public:
  Collector(const Store& store, const CollectOptions& options) : store_(store), options_(options) {}

  Result<Collected> run() {
    const FileLock alone = TRY(FileLock::exclusive(root(), detail::kCollectLock));
    TRY(mark_refs());
    TRY(mark_others());
    {
      const FileLock still = TRY(FileLock::exclusive(root(), detail::kLock));
      TRY(mark_refs());
      TRY(mark_others());
      TRY(mark_snapshots());
      TRY(mark_leases());
      TRY(sweep_blobs("sha256"));
      TRY(sweep_blobs("sha512"));
      TRY(sweep_layers());
      TRY(sweep_unfinished("snapshots"));
      TRY(sweep_parts());
      if (!options_.dry_run) TRY(store_.refresh_index());
    }
    if (!options_.dry_run) TRY(empty_trash());
    return std::move(done_);
  }

 private:
  int root() const { return store_.root_fd(); }

  Result<> mark_refs() {
    for (const Ref& ref : TRY(store_.refs())) {
      if (!roots_.insert(ref.target.digest).second) continue;
      const auto mark = [&](const Descriptor& each) -> Result<> {
        live_.insert(each.digest.text());
        if (!media::is_config(each.media_type)) return {};
        const std::string text = TRY(store_.read_blob(each.digest));
        const ImageConfig config = TRY(parse_config(text));
        for (const Digest& chain : chain_ids(config.diff_ids)) live_.insert(chain.text());
        return {};
      };
      const auto marked = ref.target.digest == options_.index
                              ? visit_closure(store_, ref.target, mark, options_.unwanted)
                              : visit_closure(store_, ref.target, mark);
      // What a damaged image needs cannot be told, so nothing is thrown away.
      if (!marked)
        return fail("image ", ref.name, ": ", marked.error().message()).hint("remove the image and prune again");
    }
    return {};
  }

  Result<> mark_others() {
    if (!options_.mark) return {};
    return options_.mark([this](const Digest& digest) { live_.insert(digest.text()); });
  }

  Result<> mark_snapshots() {
    for (const std::string& id : TRY(detail::list_folder(root(), "snapshots"))) {
      const auto info = read_snapshot_info(store_, id);
      if (!info && (info.error().code() == ENOENT || id.starts_with("tmp-")))
        continue;  // unfinished, or removed by now
      if (!info) return fail("snapshot ", id, ": ", info.error().message()).hint("remove it and prune again");
      for (const Digest& chain : info->chain) live_.insert(chain.text());
    }
    return {};
  }

  // A lease is its process's as long as that holds the lock.
  Result<> mark_leases() {
    for (const std::string& name : TRY(detail::list_folder(root(), "leases"))) {
      const std::string path = cat("leases/", name);
      auto fd = kernel::open_at(root(), path.c_str(), O_RDONLY);
      if (!fd) continue;
      if (TRY(detail::try_lock(fd->get()))) {
        if (!options_.dry_run) ::unlinkat(root(), path.c_str(), 0);
        continue;
      }
      const std::string text = TRY_CTX(kernel::read_all(fd->get(), kLongestLease), path);
      for (const std::string_view line : split(text, '\n')) live_.emplace(line);
    }
    return {};
  }

  Result<> to_trash(const std::string& path) {
    if (options_.dry_run) return {};
    const std::string to = cat("trash/", TRY(random_hex(8)));
    if (::renameat(root(), path.c_str(), root(), to.c_str()) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove ", path);
    return {};
  }

  Result<> sweep_blobs(std::string_view algorithm) {
    const std::string folder = cat("blobs/", algorithm);
    for (const std::string& hex : TRY(detail::list_folder(root(), folder.c_str()))) {
      const auto digest = Digest::parse(cat(algorithm, ":", hex));
      if (!digest || live_.contains(digest->text())) continue;
      done_.bytes += TRY(store_.blob_size(*digest));
      done_.blobs.push_back(*digest);
      TRY(to_trash(cat(folder, "/", hex)));
    }
    return {};
  }

  Result<> sweep_layers() {
    for (const std::string& name : TRY(detail::list_folder(root(), "layers"))) {
      if (name.starts_with("tmp-") || live_.contains(cat("sha256:", name.substr(0, 64)))) continue;
      done_.bytes += layer_bytes(store_, name);
      ++done_.layers;
      TRY(to_trash(cat("layers/", name)));
    }
    return sweep_unfinished("layers");
  }

  // Folders called tmp-* are locked by whoever fills them.
  Result<> sweep_unfinished(const char* folder) {
    for (const std::string& name : TRY(detail::list_folder(root(), folder))) {
      if (!name.starts_with("tmp-")) continue;
      const std::string path = cat(folder, "/", name);
      const auto fd = kernel::open_at(root(), path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (fd && TRY(detail::try_lock(fd->get()))) TRY(to_trash(path));
    }
    return {};
  }

  Result<> sweep_parts() {
    const auto oldest = ::time(nullptr) - options_.partial_age.count();
    for (const std::string& name : TRY(detail::list_folder(root(), "ingest"))) {
      const std::string path = cat("ingest/", name);
      const auto fd = kernel::open_at(root(), path.c_str(), O_RDONLY | O_NOFOLLOW);
      if (!fd) continue;
      const auto info = TRY(kernel::stat_fd(fd->get()));
      if (!name.starts_with("tmp-") && info.st_mtime > oldest) continue;
      if (!TRY(detail::try_lock(fd->get()))) continue;
      ++done_.parts;
      done_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
      TRY(to_trash(path));
    }
    return {};
  }

  Result<> empty_trash() {
    const Fd trash = TRY(kernel::open_at(root(), "trash", O_RDONLY | O_DIRECTORY));
    for (const std::string& name : TRY(detail::list_folder(trash.get(), "."))) {
      TRY(remove_any_tree(trash.get(), name));
    }
    return {};
  }

  const Store& store_;
  const CollectOptions& options_;
  std::set<Digest> roots_;
  std::set<std::string, std::less<>> live_;
  Collected done_;
};

Result<Collected> Store::collect(const CollectOptions& options) const { return Collector(*this, options).run(); }

}  // namespace proa::oci::image
