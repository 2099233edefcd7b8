#include "oci/image/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ids.h"
#include "kernel/file.h"
#include "oci/image/store_folder.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

using detail::FileLock;
using detail::StoreFolder;

namespace {

constexpr std::string_view kLayoutText = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr const char* kFolders[] = {"blobs",  "blobs/sha256", "blobs/sha512", "ingest", "refs",
                                    "leases", "layers",       "snapshots",    "trash"};

Result<> lay_out(const StoreFolder& folder) {
  const int root = folder.fd.get();
  for (const char* each : kFolders) TRY(kernel::make_dir_at(root, each, 0700));
  const FileLock lock = TRY(FileLock::shared(root, detail::kLock));
  if (::faccessat(root, "index.json", F_OK, 0) != 0)
    TRY(detail::place_file(folder, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}"));
  // Last: where it is, all is.
  TRY(detail::place_file(folder, "oci-layout", kLayoutText));
  return detail::sync_folder(folder, ".");
}

}  // namespace

Result<Store> Store::open(const StoreOptions& options) {
  if (options.root.empty()) return fail("image store: root must not be empty");
  auto folder = std::make_shared<StoreFolder>();
  folder->root = options.root;
  folder->sync = options.sync;
  auto fd = kernel::open(options.root.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error().code() == ENOENT) {
    TRY_CTX(kernel::make_dirs(options.root, 0700), "image store");
    fd = kernel::open(options.root.c_str(), O_RDONLY | O_DIRECTORY);
  }
  folder->fd = TRY_CTX(std::move(fd), "image store");
  if (::faccessat(folder->fd.get(), "oci-layout", F_OK, 0) != 0)
    TRY_CTX(lay_out(*folder), "image store ", options.root);
  return Store(std::move(folder));
}

const std::string& Store::root() const { return folder_->root; }
int Store::root_fd() const { return folder_->fd.get(); }
Sync Store::sync() const { return folder_->sync; }

Result<bool> Store::has(const Digest& digest) const {
  if (::faccessat(root_fd(), detail::blob_path(digest).c_str(), F_OK, 0) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno(errno, "blob ", digest.text());
}

Result<Fd> Store::open_blob(const Digest& digest) const {
  const int fd = ::openat(root_fd(), detail::blob_path(digest).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0) return Fd(fd);
  if (errno == ENOENT) return fail_errno(ENOENT, "blob ", digest.text(), " is not in the image store");
  return fail_errno(errno, "open blob ", digest.text());
}

Result<uint64_t> Store::blob_size(const Digest& digest) const {
  struct stat info{};
  if (::fstatat(root_fd(), detail::blob_path(digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(errno, "blob ", digest.text());
  return static_cast<uint64_t>(info.st_size);
}

Result<std::string> Store::read_blob(const Digest& digest, size_t limit) const {
  const Fd fd = TRY(open_blob(digest));
  std::string text = TRY_CTX(kernel::read_all(fd.get(), limit), "blob ", digest.text());
  Hasher hasher = Hasher::like(digest);
  hasher.update(text);
  if (hasher.finish() != digest)
    return fail("blob ", digest.text(), ": damaged on disk").hint("remove the image and pull it again");
  return text;
}

Result<Digest> Store::put_blob(const Lease& lease, std::string_view text, const Digest& digest) const {
  Ingest ingest = TRY(this->ingest(lease, {.expected = digest, .size = text.size()}));
  if (!ingest.complete()) {
    TRY(ingest.restart());
    TRY(ingest.write(text));
  }
  return ingest.commit();
}

Result<bool> Store::keep(const Lease& lease, const Digest& digest) const {
  const FileLock lock = TRY(FileLock::shared(root_fd(), detail::kLock));
  TRY(lease.protect(digest));
  return has(digest);
}

Result<> Store::discard(const char* folder, const std::string& name) const {
  const std::string from = cat(folder, "/", name);
  const std::string to = cat("trash/", TRY(random_hex(8)));
  if (::renameat(root_fd(), from.c_str(), root_fd(), to.c_str()) != 0) return fail_errno(errno, "remove ", from);
  return remove_any_tree(root_fd(), to);
}

// --- leases

struct Lease::State {
  std::shared_ptr<const StoreFolder> folder;
  std::string path;
  Fd fd;  // locked
};

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease::~Lease() {
  if (state_ != nullptr) ::unlinkat(state_->folder->fd.get(), state_->path.c_str(), 0);
}

Result<Lease> Store::lease() const {
  for (;;) {
    auto state = std::make_unique<Lease::State>();
    state->folder = folder_;
    state->path = cat("leases/", TRY(random_hex(16)));
    Fd fd = TRY(kernel::open_at(root_fd(), state->path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
    // The collector may have taken the file for a dead process's before the lock was on it.
    if (!TRY(detail::try_lock(fd.get())) || !detail::still_names(root_fd(), state->path.c_str(), fd.get())) continue;
    state->fd = std::move(fd);
    return Lease(std::move(state));
  }
}

Result<> Lease::protect(const Digest& digest) const {
  const std::string line = digest.text() + "\n";
  const ssize_t wrote = ::write(state_->fd.get(), line.data(), line.size());
  if (wrote < 0) return fail_errno(errno, "lease ", digest.text());
  if (static_cast<size_t>(wrote) != line.size()) return fail_errno(ENOSPC, "lease ", digest.text());
  return {};
}

}  // namespace proa::oci::image
