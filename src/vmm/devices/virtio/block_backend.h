// A disk image and the way to it: io_uring, or a thread where the kernel has none.
//
// Threads: under the reactor's lock. Completions are taken by reap() when eventfd() is readable.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace proa::vmm::virtio {

enum class BlockKind : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

struct BlockOperation {
  BlockKind kind = BlockKind::kRead;
  uint64_t offset = 0, length = 0;  // bytes
  std::vector<iovec> parts;         // of reads and writes; memory that lives until the operation ends
  uint64_t tag = 0;
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  virtual int eventfd() const = 0;
  // False: there is no room, try again after a completion.
  virtual bool submit(BlockOperation operation) = 0;
  // Sends what was submitted on its way.
  virtual void flush_submissions() = 0;
  // Calls for each operation that ended: bytes moved, or a negative errno.
  virtual void reap(const std::function<void(uint64_t tag, int64_t result)>& done) = 0;
  // Until something has ended.
  virtual void wait() = 0;
};

// `file` is borrowed. Without io_uring (ENOSYS, EPERM, ENOMEM) make_uring_backend fails with that code.
Result<std::unique_ptr<BlockBackend>> make_uring_backend(int file);
Result<std::unique_ptr<BlockBackend>> make_thread_backend(int file);

}  // namespace proa::vmm::virtio
