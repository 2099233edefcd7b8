// What a store refuses, told apart by Error::code().
#pragma once

#include "base/error.h"

namespace proa::kube::store {

// Beyond every errno, so that both fit into Error::code(). A full disk is ENOSPC itself.
enum class Code : int {
  kCompacted = 0x10000,  // the revision asked for is no longer there: list again
  kFutureRevision,       // ... is not there yet
  kLeaseNotFound,
  kLeaseExists,
  kInvalid,      // an empty key, a key put twice in one transaction
  kTooLarge,     // a transaction of too many bytes or operations
  kSlowWatcher,  // a watch whose buffer ran full: list again
  kCancelled,    // a watch that was cancelled, or whose store has closed
  kUnavailable,  // nothing was written; try again
  kUncertain,    // a write was sent and no answer came: it may have happened, or happen still
  kCorrupt,      // a file or an answer that cannot be what it should be
  kFailed,       // the disk failed under a commit: the store takes no more writes until it is opened again
};

template <typename... Parts>
[[gnu::cold]] Failure fail_as(Code code, const Parts&... parts) {
  return Failure(Error(cat(parts...), static_cast<int>(code)));
}
inline bool is(const Error& error, Code code) { return error.code() == static_cast<int>(code); }

}  // namespace proa::kube::store
