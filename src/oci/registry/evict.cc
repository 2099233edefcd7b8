#include "oci/registry/evict.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "oci/image/store_folder.h"

namespace proa::oci::registry {

using image::Digest;
using image::detail::FileLock;
using image::detail::list_folder;

namespace {

class Evictor {
 public:
  Evictor(const Repositories& repositories, const CacheLimit& limit) : repositories_(repositories), limit_(limit) {}

  Result<EvictReport> run() {
    const FileLock alone = TRY(FileLock::exclusive(root(), "gc.lock"));
    TRY(find_entries());
    if (report_.kept <= limit_.max_bytes) return report_;
    const uint64_t wanted = limit_.max_bytes - limit_.max_bytes / 10;
    for (const Entry* each : by_age()) {
      if (report_.kept <= wanted) break;
      TRY(take_away(*each));
    }
    return report_;
  }

 private:
  struct Link {
    std::string repository;
    bool manifest = false;
  };
  // One content, with every link to it.
  struct Entry {
    Digest digest;
    uint64_t size = 0;
    timespec used{};  // when somebody last asked for it
    std::vector<Link> links;
  };

  int root() const { return repositories_.root_fd(); }
  static std::string path_of(const Link& link, const Digest& digest) {
    return repository_path(link.repository, link.manifest ? "_manifests" : "_blobs", digest.text());
  }
  static bool later(const timespec& a, const timespec& b) {
    return std::tie(a.tv_sec, a.tv_nsec) > std::tie(b.tv_sec, b.tv_nsec);
  }
  // Nothing: the link is gone.
  std::optional<timespec> used(const Link& link, const Digest& digest) const {
    struct stat info{};
    if (::fstatat(root(), path_of(link, digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
    return info.st_mtim;
  }

  Result<> find_entries() {
    for (const std::string& name : TRY(repositories_.all_names())) {
      if (!limit_.holds(name)) continue;
      for (const bool manifest : {false, true})
        for (const std::string& text :
             TRY(list_folder(root(), repository_path(name, manifest ? "_manifests" : "_blobs").c_str())))
          if (const auto digest = Digest::parse(text)) add({name, manifest}, *digest);
    }
    return {};
  }

  void add(Link link, const Digest& digest) {
    const auto time = used(link, digest);
    const auto size = repositories_.store().blob_size(digest);
    if (!time || !size) return;
    auto [at, fresh] = entries_.try_emplace(digest, Entry{.digest = digest, .size = *size, .used = *time, .links = {}});
    if (fresh) report_.kept += *size;
    if (later(*time, at->second.used)) at->second.used = *time;
    at->second.links.push_back(std::move(link));
  }

  std::vector<const Entry*> by_age() const {
    std::vector<const Entry*> out;
    out.reserve(entries_.size());
    for (const auto& [digest, entry] : entries_) out.push_back(&entry);
    std::ranges::sort(out, [](const Entry* a, const Entry* b) { return later(b->used, a->used); });
    return out;
  }

  // Unless somebody asked for it since it was looked at.
  Result<> take_away(const Entry& entry) {
    const FileLock still = TRY(FileLock::exclusive(root(), image::detail::kLock));
    for (const Link& link : entry.links)
      if (const auto now = used(link, entry.digest); now && later(*now, entry.used)) return {};
    for (const Link& link : entry.links) {
      if (link.manifest) TRY(repositories_.remove_manifest(link.repository, entry.digest, true));
      const std::string path = path_of(link, entry.digest);
      if (!link.manifest && ::unlinkat(root(), path.c_str(), 0) != 0 && errno != ENOENT)
        return fail_errno(errno, "remove ", path);
    }
    ++report_.blobs;
    report_.freed += entry.size;
    report_.kept -= entry.size;
    return {};
  }

  const Repositories& repositories_;
  const CacheLimit& limit_;
  std::map<Digest, Entry> entries_;
  EvictReport report_;
};

}  // namespace

Result<EvictReport> evict(const Repositories& repositories, const CacheLimit& limit) {
  return Evictor(repositories, limit).run();
}

}  // namespace proa::oci::registry
