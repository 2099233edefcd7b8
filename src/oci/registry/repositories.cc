#include "oci/registry/repositories.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/reference.h"
#include "oci/image/store_folder.h"

namespace proa::oci::registry {

using image::Digest;
using image::detail::FileLock;
using image::detail::kLock;
using image::detail::list_folder;

namespace {

constexpr time_t kFreshSeconds = 1;
constexpr size_t kLongestRecord = 64u << 10;

Result<FileLock> share(const image::Store& store) { return FileLock::shared(store.root_fd(), kLock); }

Result<FileLock> lock_repository(const image::Store& store, const std::string& name) {
  return FileLock::exclusive(store.root_fd(), repository_path(name, "_lock").c_str());
}

Result<bool> is_there(int root, const std::string& path) {
  if (::faccessat(root, path.c_str(), F_OK, 0) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return fail_errno(errno, path);
}

Result<std::optional<std::string>> read_record(int root, const std::string& path) {
  auto text = kernel::read_file_at(root, path.c_str(), kLongestRecord);
  if (text) return std::move(*text);
  if (text.error().code() == ENOENT || text.error().code() == ENOTDIR) return std::nullopt;
  return std::unexpected(std::move(text).error());
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::string repository_path(std::string_view name, std::string_view part, std::string_view entry) {
  std::string path = cat("repositories/", name);
  if (!part.empty()) path += cat("/", part);
  if (!entry.empty()) path += cat("/", entry);
  return path;
}

Result<Repositories> Repositories::open(const std::string& root, image::Sync sync) {
  Repositories out(TRY_CTX(image::Store::open({.root = root, .sync = sync}), "registry"));
  for (const char* folder : {"repositories", "uploads"}) {
    if (TRY(is_there(out.root_fd(), folder))) continue;
    TRY(kernel::make_dir_at(out.root_fd(), folder, 0700));
    TRY(sync_folder(out.store_.folder(), "."));
  }
  return out;
}

// --- folders

Result<> Repositories::make_folder(const std::string& path) const {
  if (TRY(is_there(root_fd(), path))) return {};
  if (const size_t slash = path.rfind('/'); slash != std::string::npos) TRY(make_folder(path.substr(0, slash)));
  TRY(kernel::make_dir_at(root_fd(), path.c_str(), 0700));
  return sync_folder(store_.folder(), parent_of(path).c_str());
}

Result<> Repositories::place(const std::string& path, std::string_view text) const {
  TRY(place_file(store_.folder(), path, text));
  return sync_folder(store_.folder(), parent_of(path).c_str());
}

Result<> Repositories::remove_file(const std::string& path) const {
  if (::unlinkat(root_fd(), path.c_str(), 0) != 0 && errno != ENOENT) return fail_errno(errno, "remove ", path);
  return sync_folder(store_.folder(), parent_of(path).c_str());
}

Result<bool> Repositories::exists(const std::string& name) const {
  for (const char* part : {"_manifests", "_blobs"})
    if (TRY(is_there(root_fd(), repository_path(name, part)))) return true;
  return false;
}

Result<std::vector<std::string>> Repositories::all_names() const {
  std::vector<std::string> found, ahead{""};
  while (!ahead.empty()) {
    const std::string prefix = std::move(ahead.back());
    ahead.pop_back();
    bool is_repository = false;
    for (const std::string& entry : TRY(list_folder(root_fd(), repository_path(prefix).c_str()))) {
      if (entry.starts_with('_'))
        is_repository = is_repository || entry == "_manifests" || entry == "_blobs";
      else
        ahead.push_back(prefix.empty() ? entry : cat(prefix, "/", entry));
    }
    if (is_repository) found.push_back(prefix);
  }
  std::ranges::sort(found);
  return found;
}

Result<std::vector<std::string>> Repositories::names() const {
  std::vector<std::string> found;
  for (std::string& name : TRY(all_names()))
    if (!TRY(list_folder(root_fd(), repository_path(name, "_manifests").c_str())).empty())
      found.push_back(std::move(name));
  return found;
}

// --- blobs

Result<bool> Repositories::has_blob(const std::string& name, const Digest& digest) const {
  return is_there(root_fd(), repository_path(name, "_blobs", digest.text()));
}

Result<std::optional<OpenBlob>> Repositories::open_blob(const std::string& name, const Digest& digest) const {
  if (!TRY(has_blob(name, digest))) return std::nullopt;
  auto file = store_.open_blob(digest);
  if (!file && file.error().code() == ENOENT) return std::nullopt;  // it was collected just now
  OpenBlob out{.file = TRY(std::move(file))};
  out.size = static_cast<uint64_t>(TRY(kernel::stat_fd(out.file.get())).st_size);
  return out;
}

namespace {

// On a disk that cannot be written nothing is collected either.
void renew(int root, const std::string& path, const struct stat& info) {
  if (::time(nullptr) - info.st_mtime > kFreshSeconds) ::utimensat(root, path.c_str(), nullptr, 0);
}

}  // namespace

void Repositories::renew_manifest(const std::string& name, const Digest& digest) const {
  const std::string path = repository_path(name, "_manifests", digest.text());
  struct stat info{};
  if (::fstatat(root_fd(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) renew(root_fd(), path, info);
}

Result<std::optional<uint64_t>> Repositories::renew_blob(const std::string& name, const Digest& digest) const {
  const std::string path = repository_path(name, "_blobs", digest.text());
  struct stat info{};
  const FileLock lock = TRY(share(store_));
  if (::fstatat(root_fd(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  renew(root_fd(), path, info);
  return TRY(store_.blob_size(digest));
}

Result<> Repositories::link_blob(const std::string& name, const Digest& digest) const {
  const std::string folder = repository_path(name, "_blobs"), path = cat(folder, "/", digest.text());
  {
    const FileLock lock = TRY(share(store_));
    TRY_CTX(make_folder(folder), "repository ", name);
    const Fd link =
        TRY_CTX(kernel::open_at(root_fd(), path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600), "repository ", name);
    if (::futimens(link.get(), nullptr) != 0) return fail_errno(errno, path);
  }
  return sync_folder(store_.folder(), folder.c_str());
}

Result<bool> Repositories::mount_blob(const std::string& name, const std::string& from, const Digest& digest) const {
  const FileLock lock = TRY(share(store_));
  if (!TRY(has_blob(from, digest))) return false;
  TRY(link_blob(name, digest));
  return true;
}

Result<bool> Repositories::remove_blob(const std::string& name, const Digest& digest) const {
  const FileLock lock = TRY(share(store_));
  if (!TRY(has_blob(name, digest))) return false;
  TRY(remove_file(repository_path(name, "_blobs", digest.text())));
  return true;
}

// --- manifests and tags

Result<std::optional<Digest>> Repositories::find_tag(const std::string& name, const std::string& tag) const {
  const auto text = TRY(read_record(root_fd(), repository_path(name, "_tags", tag)));
  if (!text) return std::nullopt;
  return TRY_CTX(Digest::parse(*text), "repository ", name, ": tag ", tag);
}

Result<std::optional<std::chrono::seconds>> Repositories::tag_age(const std::string& name,
                                                                  const std::string& tag) const {
  struct stat info{};
  if (::fstatat(root_fd(), repository_path(name, "_tags", tag).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    return std::chrono::seconds(::time(nullptr) - info.st_mtime);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  return fail_errno(errno, "repository ", name, ": tag ", tag);
}

void Repositories::renew_tag(const std::string& name, const std::string& tag) const {
  ::utimensat(root_fd(), repository_path(name, "_tags", tag).c_str(), nullptr, 0);
}

Result<std::optional<std::string>> Repositories::manifest_type(const std::string& name, const Digest& digest) const {
  return read_record(root_fd(), repository_path(name, "_manifests", digest.text()));
}

Result<std::optional<StoredManifest>> Repositories::read_manifest(const std::string& name, const Digest& digest) const {
  auto type = TRY(manifest_type(name, digest));
  if (!type) return std::nullopt;
  StoredManifest out{.digest = digest, .media_type = std::move(*type)};
  out.text = TRY_CTX(store_.read_blob(digest), "repository ", name);
  return out;
}

Result<std::vector<Digest>> Repositories::missing(const std::string& name, const std::vector<Need>& needs) const {
  std::vector<Digest> out;
  for (const Need& need : needs) {
    const bool there =
        (need.manifest && TRY(is_there(root_fd(), repository_path(name, "_manifests", need.digest.text())))) ||
        TRY(has_blob(name, need.digest));
    if (!there) out.push_back(need.digest);
  }
  return out;
}

Result<PutManifest> Repositories::put_manifest(const std::string& name, const NewManifest& manifest) const {
  const FileLock lock = TRY(share(store_));
  TRY_CTX(make_folder(repository_path(name, "_manifests")), "repository ", name);
  const FileLock alone = TRY(lock_repository(store_, name));
  PutManifest out{.missing = TRY(missing(name, manifest.needs))};
  if (!out.missing.empty()) return out;
  if (manifest.condition) {
    const auto before = manifest.tags.empty() ? std::nullopt : TRY(find_tag(name, manifest.tags.front()));
    out.condition_failed = !manifest.condition(before.value_or(Digest()));
    if (out.condition_failed) return out;
  }
  TRY(place(repository_path(name, "_manifests", manifest.digest.text()), manifest.media_type));
  if (!manifest.subject.empty()) {
    const std::string folder = repository_path(name, "_referrers", manifest.subject.text());
    TRY(make_folder(folder));
    TRY(place(cat(folder, "/", manifest.digest.text()), manifest.descriptor));
  }
  if (!manifest.tags.empty()) TRY(make_folder(repository_path(name, "_tags")));
  for (const std::string& tag : manifest.tags) TRY(place(repository_path(name, "_tags", tag), manifest.digest.text()));
  return out;
}

Result<bool> Repositories::remove_tag(const std::string& name, const std::string& tag) const {
  const std::string path = repository_path(name, "_tags", tag);
  const FileLock lock = TRY(share(store_));
  if (!TRY(is_there(root_fd(), path))) return false;
  const FileLock alone = TRY(lock_repository(store_, name));
  if (!TRY(is_there(root_fd(), path))) return false;
  TRY(remove_file(path));
  return true;
}

Result<bool> Repositories::remove_manifest(const std::string& name, const Digest& digest, bool locked) const {
  const std::string path = repository_path(name, "_manifests", digest.text());
  std::optional<FileLock> lock;
  if (!locked) lock = TRY(share(store_));
  if (!TRY(is_there(root_fd(), path))) return false;
  const FileLock alone = TRY(lock_repository(store_, name));
  if (!TRY(is_there(root_fd(), path))) return false;
  // Tags first: none ever leads nowhere.
  for (const std::string& tag : TRY(tags(name)))
    if (TRY(find_tag(name, tag)) == digest) TRY(remove_file(repository_path(name, "_tags", tag)));
  TRY(unlist_referrer(name, digest));
  TRY(remove_file(path));
  return true;
}

Result<> Repositories::unlist_referrer(const std::string& name, const Digest& digest) const {
  const std::string all = repository_path(name, "_referrers");
  for (const std::string& subject : TRY(list_folder(root_fd(), all.c_str()))) {
    const std::string entry = cat(all, "/", subject, "/", digest.text());
    if (TRY(is_there(root_fd(), entry))) TRY(remove_file(entry));
    ::unlinkat(root_fd(), cat(all, "/", subject).c_str(), AT_REMOVEDIR);  // if that was the last
  }
  return {};
}

Result<std::vector<std::string>> Repositories::tags(const std::string& name) const {
  auto found = TRY(list_folder(root_fd(), repository_path(name, "_tags").c_str()));
  std::erase_if(found, [](const std::string& each) { return !image::valid_tag(each); });
  std::ranges::sort(found);
  return found;
}

Result<std::vector<Digest>> Repositories::manifests(const std::string& name) const {
  std::vector<Digest> out;
  for (const std::string& entry : TRY(list_folder(root_fd(), repository_path(name, "_manifests").c_str())))
    if (auto digest = Digest::parse(entry)) out.push_back(std::move(*digest));
  std::ranges::sort(out);
  return out;
}

Result<std::vector<std::string>> Repositories::referrers(const std::string& name, const Digest& subject) const {
  const std::string folder = repository_path(name, "_referrers", subject.text());
  auto entries = TRY(list_folder(root_fd(), folder.c_str()));
  std::ranges::sort(entries);
  std::vector<std::string> out;
  for (const std::string& entry : entries)
    if (auto text = TRY(read_record(root_fd(), cat(folder, "/", entry)))) out.push_back(std::move(*text));
  return out;
}

}  // namespace proa::oci::registry
