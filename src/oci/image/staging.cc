#include "oci/image/staging.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/ids.h"
#include "kernel/file.h"
#include "oci/image/store_folder.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

Result<Staging> Staging::make(const Store& store, const char* folder) {
  const auto lock = TRY(detail::FileLock::shared(store.root_fd(), detail::kLock));
  std::string path = cat(folder, "/tmp-", TRY(random_hex(8)));
  TRY(kernel::make_dir_at(store.root_fd(), path.c_str(), 0700));
  Fd fd = TRY(kernel::open_at(store.root_fd(), path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!TRY(detail::try_lock(fd.get()))) return fail("lock ", path);
  return Staging(store, std::move(path), std::move(fd));
}

Staging::~Staging() {
  if (!path_.empty()) static_cast<void>(remove_any_tree(store_.root_fd(), path_));
}

Result<> Staging::write(const char* name, std::string_view text) const {
  const Fd file = TRY(kernel::open_at(fd(), name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  TRY_CTX(kernel::write_all(file.get(), text), name);
  return {};
}

Result<> Staging::place(const std::string& path, bool must_be_new) {
  const int root = store_.root_fd();
  if (::renameat2(root, path_.c_str(), root, path.c_str(), RENAME_NOREPLACE) == 0) {
    path_.clear();
    return {};
  }
  if (errno == EEXIST && !must_be_new) return {};
  return fail_errno(errno, "make ", path);
}

}  // namespace proa::oci::image
