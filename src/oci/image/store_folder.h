// The store's folder, shared by the files that implement it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/digest.h"
#include "oci/image/store.h"

namespace proa::oci::image::detail {

struct StoreFolder {
  std::string root;
  Fd fd;
  Sync sync = Sync::kData;
};

// flock(2), let go with the object; the file stays.
class FileLock {
 public:
  static Result<FileLock> shared(int dirfd, const char* name);
  static Result<FileLock> exclusive(int dirfd, const char* name);

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// Locks an open file or folder until its last descriptor is closed; false: somebody else has it.
Result<bool> try_lock(int fd);

inline constexpr const char* kLock = "lock";           // see store.h
inline constexpr const char* kRefsLock = "refs.lock";  // names change one at a time
inline constexpr const char* kCollectLock = "collect.lock";

std::string blob_path(const Digest& digest);
std::string part_path(const Digest& digest);
// Names of a folder's entries, without "." and ".."; a missing folder has none.
Result<std::vector<std::string>> list_folder(int dirfd, const char* path);
Result<> sync_folder(const StoreFolder& folder, const char* path);
// Whether `fd` is still what `path` names.
bool still_names(int dirfd, const char* path, int fd);
// Text written aside and renamed into place, under the store's lock, on the disk when the store is durable.
Result<> place_file(const StoreFolder& folder, const std::string& path, std::string_view text);

}  // namespace proa::oci::image::detail
