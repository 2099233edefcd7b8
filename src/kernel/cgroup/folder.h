// One cgroup folder and its control files. Paths are the host's own, never a container's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace proa::kernel::cgroup {

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  // One open, one write, one close; 0 or a negative errno.
  long put(std::string_view file, std::string_view value) const;
  // The same; the error starts with the field of the configuration that asked for it.
  Result<> set(std::string_view field, std::string_view file, std::string_view value) const;
  Result<> set(std::string_view field, std::string_view file, uint64_t value) const;
  // One file of which each write() is one command: all of `values` through one descriptor.
  Result<> set_each(std::string_view field, std::string_view file, const std::vector<std::string>& values) const;
  // What set() says about `code`.
  Failure failure(long code, std::string_view field, std::string_view file, std::string_view value) const;

  // The file's text without the last newline; at most 1 MiB.
  Result<std::string> get(std::string_view file) const;
  // A single number; "max" and -1 read as UINT64_MAX.
  Result<uint64_t> number(std::string_view file) const;
  // The value in a "key value" line.
  Result<uint64_t> keyed(std::string_view file, std::string_view key) const;
  bool has(std::string_view file) const;
  // Names of the folders (sub-cgroups) or of the files in it.
  Result<std::vector<std::string>> folders() const;
  Result<std::vector<std::string>> files() const;

  Folder parent() const { return Folder(path_.substr(0, path_.rfind('/'))); }
  Folder child(std::string_view name) const { return Folder(cat(path_, "/", name)); }

 private:
  std::string path_;
};

// While one lives, the thread's writes to control files are noted with what the files said before, so that a
// change of several can be taken back. Files that are commands (devices.allow) have no "before" and stay.
class Journal {
 public:
  Journal();
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  // Writes everything back, the last first. Returns the files that would not take it.
  std::vector<std::string> take_back();

 private:
  friend class Folder;
  void note(const Folder& folder, std::string_view file);
  struct Entry {
    std::string folder, file, before;
  };
  std::vector<Entry> entries_;
};

// mkdir -p of `inner` ("/a/b") below `mount`; the number of components made. Races with another
// runtime's removal of an empty parent are retried.
Result<uint32_t> make_folder(const std::string& mount, std::string_view inner);
// rmdir of a cgroup with its sub-cgroups. EBUSY is retried, waiting from 20 us doubling, until
// `budget_us` is used up. A missing folder is fine.
Result<> remove_folder(const std::string& path, int64_t& budget_us);
// One rmdir; true also when it was gone already.
bool remove_empty_folder(const std::string& path);
// Removes up to `count` empty parents of `path`, upwards; stops silently at the first that is in use.
void remove_empty_parents(const std::string& path, uint32_t count);
// Adds the processes of `folder` and everything below to `pids`.
Result<> collect_processes(const Folder& folder, std::vector<pid_t>& pids);
// Whether any process is in the cgroup or below.
bool has_processes(const Folder& folder);

}  // namespace proa::kernel::cgroup
