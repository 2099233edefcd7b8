// Ranges of user and group ids for containers in user namespaces of their own.
//
// The pool is the entry of "proa", or of "containers", in /etc/subuid, and without one the upper half of all ids. Its
// first range is that of --userns=remap, which containers share; each with --userns=auto has one of the others for as
// long as it exists: a link DATA/subids/N to its id.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "engine/folders.h"

namespace proa::engine {

struct IdRange {
  int64_t first = 0, size = 0;  // size 0: the host's ids
};

// Of a container that is being made. `mode`: auto, remap; all else has the host's.
Result<IdRange> take_id_range(const Folders& folders, const std::string& mode, const std::string& id);
void release_id_range(const Folders& folders, const std::string& id, const IdRange& range);

}  // namespace proa::engine
