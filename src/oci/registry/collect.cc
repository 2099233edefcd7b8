#include "oci/registry/collect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "oci/image/store_folder.h"
#include "oci/registry/manifest.h"
#include "oci/registry/uploads.h"

namespace proa::oci::registry {

using image::Digest;
using image::detail::FileLock;
using image::detail::list_folder;

namespace {

class Collector {
 public:
  Collector(const Repositories& repositories, const CollectOptions& options)
      : repositories_(repositories), options_(options), oldest_(::time(nullptr) - options.grace.count()) {}

  Result<CollectReport> run() {
    const FileLock alone = TRY(FileLock::exclusive(root(), "gc.lock"));
    if (options_.sweep_only) {
      TRY(sweep());
      return report_;
    }
    for (const std::string& name : TRY(repositories_.all_names())) {
      TRY(read_manifests(name));
      const FileLock still = TRY(FileLock::exclusive(root(), image::detail::kLock));
      TRY(clean(name));
    }
    TRY(sweep());
    if (!options_.dry_run) report_.uploads += TRY(remove_expired_uploads(repositories_, options_.upload_expiry));
    return report_;
  }

 private:
  struct Known {
    std::vector<Digest> needs;
    Digest subject;
  };
  using Live = std::set<Digest>;

  int root() const { return repositories_.root_fd(); }
  void warn(const std::string& text) const {
    if (options_.warn) options_.warn(text);
  }

  // What a manifest names never changes, so it is read once. Null: it cannot be told.
  const Known* known(const std::string& name, const Digest& digest) {
    if (const auto found = known_.find(digest); found != known_.end()) return &found->second;
    const auto manifest = repositories_.read_manifest(name, digest);
    if (!manifest || !*manifest) return nullptr;
    const auto details = read_details((*manifest)->text, (*manifest)->media_type);
    if (!details) return nullptr;
    Known& out = known_[digest];
    for (const Need& need : details->needs) out.needs.push_back(need.digest);
    out.subject = details->subject;
    return &out;
  }

  Result<> read_manifests(const std::string& name) {
    for (const Digest& digest : TRY(repositories_.manifests(name))) known(name, digest);
    return {};
  }

  // Under the lock.
  Result<> clean(const std::string& name) {
    const std::vector<Digest> all = TRY(repositories_.manifests(name));
    for (const Digest& digest : all) {
      if (known(name, digest) != nullptr) continue;
      // What a damaged manifest names cannot be told, so nothing of its repository is thrown away.
      warn(cat("repository ", name, ": manifest ", digest.text(), " cannot be read; nothing is collected there"));
      return {};
    }
    Live live(all.begin(), all.end());
    if (options_.untagged) {
      live = TRY(reached(name, all));
      for (const Digest& digest : all)
        if (!live.contains(digest) && is_old(repository_path(name, "_manifests", digest.text())))
          TRY(drop_manifest(name, digest));
        else
          live.insert(digest);
    }
    TRY(drop_links(name, live));
    return drop_if_empty(name);
  }

  // From tags, down through indexes, and to what refers to anything reached.
  Result<Live> reached(const std::string& name, const std::vector<Digest>& all) {
    std::vector<Digest> ahead;
    Live live;
    for (const std::string& tag : TRY(repositories_.tags(name)))
      if (auto target = TRY(repositories_.find_tag(name, tag))) ahead.push_back(std::move(*target));
    std::multimap<Digest, Digest> referrers;
    for (const Digest& digest : all)
      if (const Digest& subject = known_[digest].subject; !subject.empty()) referrers.emplace(subject, digest);
    while (!ahead.empty()) {
      const Digest digest = std::move(ahead.back());
      ahead.pop_back();
      if (!live.insert(digest).second) continue;
      if (const auto found = known_.find(digest); found != known_.end())
        ahead.insert(ahead.end(), found->second.needs.begin(), found->second.needs.end());
      const auto [first, last] = referrers.equal_range(digest);
      for (auto each = first; each != last; ++each) ahead.push_back(each->second);
    }
    return live;
  }

  Result<> drop_manifest(const std::string& name, const Digest& digest) {
    ++report_.manifests;
    if (options_.dry_run) return {};
    TRY(repositories_.remove_manifest(name, digest, true));
    return {};
  }

  Result<> drop_links(const std::string& name, const Live& manifests) {
    Live needed;
    for (const Digest& digest : manifests) {
      const auto found = known_.find(digest);
      if (found != known_.end()) needed.insert(found->second.needs.begin(), found->second.needs.end());
    }
    for (const std::string& entry : TRY(list_folder(root(), repository_path(name, "_blobs").c_str()))) {
      const auto digest = Digest::parse(entry);
      const std::string path = repository_path(name, "_blobs", entry);
      if (!digest || needed.contains(*digest) || !is_old(path)) continue;
      ++report_.links;
      if (options_.dry_run)
        doomed_.insert(path);
      else if (::unlinkat(root(), path.c_str(), 0) != 0)
        return fail_errno(errno, "remove ", path);
    }
    return {};
  }

  bool is_old(const std::string& path) const {
    struct stat info{};
    return ::fstatat(root(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_mtime <= oldest_;
  }

  Result<> drop_if_empty(const std::string& name) {
    for (const char* part : {"_manifests", "_blobs", "_tags", "_referrers"})
      if (!TRY(list_folder(root(), repository_path(name, part).c_str())).empty()) return {};
    if (!is_old(repository_path(name, "_manifests")) && !is_old(repository_path(name, "_blobs"))) return {};
    ++report_.repositories;
    if (options_.dry_run) return {};
    for (const char* part : {"_manifests", "_blobs", "_tags", "_referrers"})
      ::unlinkat(root(), repository_path(name, part).c_str(), AT_REMOVEDIR);
    ::unlinkat(root(), repository_path(name, "_lock").c_str(), 0);
    // And the folders above, as long as nothing else is in them.
    for (std::string path = repository_path(name); path != "repositories"; path.resize(path.rfind('/')))
      if (::unlinkat(root(), path.c_str(), AT_REMOVEDIR) != 0) break;
    return {};
  }

  Result<> sweep() {
    image::CollectOptions options{.partial_age = options_.upload_expiry, .dry_run = options_.dry_run};
    options.mark = [this](const std::function<void(const Digest&)>& keep) -> Result<> {
      for (const std::string& name : TRY(repositories_.all_names()))
        for (const char* part : {"_manifests", "_blobs"})
          for (const std::string& entry : TRY(list_folder(root(), repository_path(name, part).c_str())))
            if (const auto digest = Digest::parse(entry);
                digest && !doomed_.contains(repository_path(name, part, entry)))
              keep(*digest);
      return {};
    };
    const image::Collected collected = TRY(repositories_.store().collect(options));
    report_.blobs = collected.blobs.size();
    report_.bytes = collected.bytes;
    report_.uploads = collected.parts;
    return {};
  }

  const Repositories& repositories_;
  const CollectOptions& options_;
  const time_t oldest_;
  std::map<Digest, Known> known_;
  std::set<std::string> doomed_;  // of a dry run: links that would have gone
  CollectReport report_;
};

}  // namespace

Result<CollectReport> collect(const Repositories& repositories, const CollectOptions& options) {
  return Collector(repositories, options).run();
}

}  // namespace proa::oci::registry
