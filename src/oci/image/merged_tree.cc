#include "oci/image/merged_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "kernel/file.h"
#include "oci/image/store_folder.h"

namespace proa::oci::image {
namespace {

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

// An entry as overlayfs shows it.
struct Node {
  struct stat info{};
  int layer = 0;                   // that shows it
  std::vector<int> folder_layers;  // of a folder: those that make it up, the topmost first
  std::vector<std::pair<dev_t, ino_t>> identity;
};
using Listing = std::map<std::string, Node>;

class Tree {
 public:
  explicit Tree(const std::vector<Fd>& layers) : layers_(layers) {}

  std::vector<int> all() const {
    std::vector<int> out;
    out.reserve(layers_.size());
    for (size_t i = 0; i < layers_.size(); ++i) out.push_back(static_cast<int>(i));
    return out;
  }

  // `path` is "" or "a/b"; `from` the layers whose folder of that name counts.
  Result<Listing> list(const std::string& path, const std::vector<int>& from) const {
    Listing out;
    std::set<std::string> closed;  // nothing further below shows through
    for (const int layer : from) {
      const Fd fd = TRY(open(layer, path));
      for (const std::string& name : TRY(detail::list_folder(fd.get(), ".")))
        TRY(add(out, closed, layer, fd.get(), name));
    }
    std::erase_if(out, [](const auto& each) { return is_whiteout(each.second.info); });
    return out;
  }

  Result<std::string> link_target(const Node& node, const std::string& path) const {
    char target[4096];
    const ssize_t length =
        ::readlinkat(layers_[static_cast<size_t>(node.layer)].get(), path.c_str(), target, sizeof target);
    if (length < 0) return fail_errno(errno, "read link ", path);
    return std::string(target, static_cast<size_t>(length));
  }

 private:
  Result<Fd> open(int layer, const std::string& path) const {
    const int root = layers_[static_cast<size_t>(layer)].get();
    return kernel::open_beneath_no_links(root, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY);
  }

  static Result<> add(Listing& out, std::set<std::string>& closed, int layer, int dirfd, const std::string& name) {
    if (closed.contains(name)) return {};
    struct stat info{};
    if (::fstatat(dirfd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(errno, "stat ", name);
    }
    const auto [at, first] = out.try_emplace(name);
    if (first) {
      at->second.info = info;
      at->second.layer = layer;
    }
    if (!S_ISDIR(info.st_mode)) {
      closed.insert(name);
      if (first) at->second.identity.emplace_back(info.st_dev, info.st_ino);
      return {};
    }
    at->second.folder_layers.push_back(layer);
    at->second.identity.emplace_back(info.st_dev, info.st_ino);
    const Fd folder = TRY(kernel::open_at(dirfd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (is_opaque(folder.get())) closed.insert(name);
    return {};
  }

  const std::vector<Fd>& layers_;
};

class Comparison {
 public:
  Comparison(const std::vector<Fd>& before, const std::vector<Fd>& after) : before_(before), after_(after) {}

  Result<std::vector<Change>> run() {
    TRY(folder("", before_.all(), after_.all()));
    std::ranges::sort(out_, {}, &Change::path);
    return std::move(out_);
  }

 private:
  Result<> folder(const std::string& path, const std::vector<int>& old_layers, const std::vector<int>& new_layers) {
    const Listing was = TRY(before_.list(path, old_layers));
    const Listing is = TRY(after_.list(path, new_layers));
    for (const auto& [name, node] : is) {
      const std::string full = path.empty() ? name : cat(path, "/", name);
      const auto old = was.find(name);
      if (old == was.end())
        TRY(added(full, node));
      else
        TRY(entry(full, old->second, node));
    }
    for (const auto& [name, node] : was)
      if (!is.contains(name)) note(ChangeKind::kDeleted, path.empty() ? name : cat(path, "/", name));
    return {};
  }

  Result<> added(const std::string& path, const Node& node) {
    note(ChangeKind::kAdded, path);
    return S_ISDIR(node.info.st_mode) ? folder(path, {}, node.folder_layers) : Result<>();
  }

  Result<> entry(const std::string& path, const Node& was, const Node& is) {
    if (was.identity == is.identity) return {};
    const bool both_folders = S_ISDIR(was.info.st_mode) && S_ISDIR(is.info.st_mode);
    const size_t before = out_.size();
    if (both_folders) TRY(folder(path, was.folder_layers, is.folder_layers));
    const bool inside = out_.size() > before;
    if (inside || TRY(differ(path, was, is))) note(ChangeKind::kChanged, path);
    if (!both_folders && S_ISDIR(is.info.st_mode)) TRY(folder(path, {}, is.folder_layers));
    return {};
  }

  Result<bool> differ(const std::string& path, const Node& was, const Node& is) const {
    const struct stat &a = was.info, &b = is.info;
    if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev) return true;
    if (S_ISDIR(a.st_mode)) return false;
    if (S_ISLNK(a.st_mode)) {
      const std::string old_target = TRY(before_.link_target(was, path));
      const std::string new_target = TRY(after_.link_target(is, path));
      return old_target != new_target;
    }
    return a.st_size != b.st_size || a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec;
  }

  void note(ChangeKind kind, const std::string& path) { out_.push_back({kind, "/" + path}); }

  Tree before_, after_;
  std::vector<Change> out_;
};

}  // namespace

Result<std::vector<Change>> compare_trees(const std::vector<Fd>& before, const std::vector<Fd>& after) {
  return Comparison(before, after).run();
}

}  // namespace proa::oci::image
