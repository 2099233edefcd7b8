// Files between the host and containers. Paths of a container are resolved beneath its root by the kernel: links,
// whoever made them, never lead out.
#pragma once

#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "engine/engine.h"
#include "engine/userns.h"

namespace proa::engine {

// A path, of the host when `root` is invalid. It may name something that is not there yet.
struct Place {
  Fd root;
  std::string path;
  // The host's ids that show there in place of the container's, where it runs in a user namespace.
  IdRange ids = {};
};
// Where a container's path is: in a volume or a bind mount when the container does not run, for then nothing is
// mounted.
Result<Place> place_in(Engine& engine, const Container& container, const std::string& path);

struct CopyOptions {
  bool follow_link = false;
  // Owners as they are, by their numbers in the container; else what is made is of root in a container, and of the
  // caller on the host.
  bool keep_owner = false;
};
// As docker cp: a folder whose path ends with "/." gives its content; into a folder that is there it is copied by its
// own name.
Result<> copy_place(const Place& from, const Place& to, const CopyOptions& options);

// A tar archive from or to a descriptor.
Result<> unpack_into(int fd, const Place& to);
Result<> pack_from(const Place& from, int fd);

}  // namespace proa::engine
