// Volumes of the local driver: a folder, or what its options mount there (a tmpfs, a bind mount, NFS, a device).
//
// Threads and processes: any number at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/config.h"
#include "engine/folders.h"

namespace proa::engine {

struct Volume {
  std::string name, driver = "local", created;
  StringMap labels, options;
  bool anonymous = false;
  std::string path;  // of its content
};

class Volumes {
 public:
  explicit Volumes(const Folders& folders) : folders_(folders) {}

  // An existing one of that name is given back when it has the same driver and options. `fresh` says whether it was
  // made.
  Result<Volume> create(const Volume& volume, bool* fresh = nullptr) const;
  // ENOENT: "no such volume: ...".
  Result<Volume> find(const std::string& name) const;
  Result<std::vector<Volume>> list() const;  // by name
  // Mounts what the options say, unless it is; answers the path of the content.
  Result<std::string> mount(const std::string& name) const;
  // For whoever holds alone() and knows that no container has it.
  Result<> remove(const std::string& name) const;

  // As long as the one is held, no volume is removed: a container that is being made is going to have it. The other
  // is for removals. Let go with the descriptor.
  Result<Fd> keep() const;
  Result<Fd> alone() const;

 private:
  const Folders folders_;
};

}  // namespace proa::engine
