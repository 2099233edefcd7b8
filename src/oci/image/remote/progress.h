// What a pull or a push tells whoever watches it.
#pragma once

#include <cstdint>

#include "oci/image/types.h"

namespace proa::oci::image::remote {

enum class Step : uint8_t {
  kWaiting,       // for its turn
  kExists,        // is there already: on this side of a pull, on that of a push
  kTransferring,  // `done` of the descriptor's size
  kRetrying,      // after the connection broke
  kVerifying,     // all bytes are there
  kTransferred,   // and whole
  kUnpacking,     // `done` bytes of the blob
  kUnpacked,      // all of it read
  kMounted,       // a push had it taken from another repository
  kComplete,
};

// Called from several threads, one at a time for one blob.
class Progress {
 public:
  virtual ~Progress() = default;
  // `note`: the repository it was mounted from.
  virtual void blob(const Descriptor& blob, Step step, uint64_t done, std::string_view note = {}) = 0;
};

}  // namespace proa::oci::image::remote
