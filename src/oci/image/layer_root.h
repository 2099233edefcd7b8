// The folder that a layer is unpacked into: parents found and made beneath it, entries replaced, attributes
// set. One thread's.
#pragma once

#include <sys/stat.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/image/tar_reader.h"
#include "oci/image/unpack.h"

namespace proa::oci::image {

// The entry's name from the root, without "." and empty parts; ".." that leaves the root is an error. "" is the
// root itself.
Result<std::string> path_in_root(std::string_view path);

// Where an entry is: its folder and its name there.
struct Place {
  int parent = -1;  // the LayerRoot's
  std::string name;
};

class LayerRoot {
 public:
  LayerRoot(int root, const UnpackOptions& options);

  // `path`: of path_in_root(), not the root. Its folders are made when missing, and put into implied().
  Result<Place> place(const std::string& path);
  // ... nothing when a folder is missing.
  Result<std::optional<Place>> find(const std::string& path);
  // Makes a folder, or keeps the one there.
  Result<Fd> make_folder(const Place& place);
  // Removes what is at a place, a folder with all that is in it. The place stays valid.
  Result<> clear(const Place& place);
  // Owner, mode, xattrs, times: of an open file or folder, or by name of what cannot be opened.
  Result<> set_attributes(int fd, const TarEntry& entry, bool times = true);
  Result<> set_attributes(const Place& place, const TarEntry& entry);
  // The mark that nothing below shows through.
  Result<> make_opaque(int fd);
  // Lower entries' `name` is gone.
  Result<> put_whiteout(const Place& place);

  // Folders that place() made.
  std::vector<std::string> take_implied() { return std::move(implied_); }
  // Folders of lower layers that were made writable for their owner, and the modes they had. No more are from now on.
  std::vector<std::pair<std::string, mode_t>> take_opened() {
    open_up_ = false;
    return std::move(opened_);
  }
  // What is remembered of open folders no longer holds, but for `fd`: something was removed there.
  void keep_only(int fd);

 private:
  int known(std::string_view path);
  Result<Fd> walk(const std::string& path);
  Result<> make_writable(const std::string& path, int fd);
  Result<Fd> imply(const std::string& path);
  Result<int> folder(const std::string& path, bool make);
  Result<> own(int fd, const char* name, const TarEntry& entry);
  Result<> put_xattrs(const char* path, int fd, const TarEntry& entry) const;

  struct Open {
    std::string path;
    Fd fd;
  };
  int root_;
  const UnpackOptions& options_;
  uid_t uid_;
  gid_t gid_;
  bool setgid_folders_ = false;
  bool open_up_;
  std::deque<Open> open_;  // the last used first
  std::vector<std::string> implied_;
  std::vector<std::pair<std::string, mode_t>> opened_;
};

}  // namespace proa::oci::image
