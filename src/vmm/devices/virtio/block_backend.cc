#include "vmm/devices/virtio/block_backend.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "vmm/devices/reactor.h"

namespace proa::vmm::virtio {

namespace {

constexpr unsigned kDepth = 256;
constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int kZero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

// Zeroes by writing, for file systems that cannot do it by themselves.
int64_t write_zeroes(int file, uint64_t offset, uint64_t length) {
  static const std::vector<std::byte> zeroes(64 << 10);
  while (length > 0) {
    const ssize_t put =
        ::pwrite(file, zeroes.data(), std::min<uint64_t>(length, zeroes.size()), static_cast<off_t>(offset));
    if (put <= 0) return put < 0 ? -errno : -EIO;
    offset += static_cast<uint64_t>(put);
    length -= static_cast<uint64_t>(put);
  }
  return 0;
}

// What the kernel said of the quick way is not the end: some cannot zero or punch.
int64_t finish_space(int file, const BlockOperation& op, int64_t result) {
  if (result != -EOPNOTSUPP && result != -ENOSYS) return result;
  if (op.kind == BlockKind::kDiscard) return 0;  // a hint
  return write_zeroes(file, op.offset, op.length);
}

// Moves the rest after a short transfer. `done` bytes have been moved.
int64_t finish_transfer(int file, const BlockOperation& op, int64_t done) {
  uint64_t skip = static_cast<uint64_t>(done);
  uint64_t at = op.offset + skip;
  for (const iovec& part : op.parts) {
    if (skip >= part.iov_len) {
      skip -= part.iov_len;
      continue;
    }
    auto* base = static_cast<std::byte*>(part.iov_base) + skip;
    size_t left = part.iov_len - skip;
    skip = 0;
    while (left > 0) {
      const ssize_t moved = op.kind == BlockKind::kRead ? ::pread(file, base, left, static_cast<off_t>(at))
                                                        : ::pwrite(file, base, left, static_cast<off_t>(at));
      if (moved < 0 && errno == EINTR) continue;
      if (moved <= 0) return moved < 0 ? -errno : -EIO;
      base += moved;
      at += static_cast<uint64_t>(moved);
      left -= static_cast<size_t>(moved);
    }
  }
  return static_cast<int64_t>(op.length);
}

int64_t finish(int file, const BlockOperation& op, int64_t result) {
  if (op.kind == BlockKind::kDiscard || op.kind == BlockKind::kWriteZeroes) return finish_space(file, op, result);
  if (op.kind == BlockKind::kFlush || result < 0 || static_cast<uint64_t>(result) == op.length) return result;
  return finish_transfer(file, op, result);
}

class UringBackend : public BlockBackend {
 public:
  static Result<std::unique_ptr<BlockBackend>> create(int file) {
    auto backend = std::make_unique<UringBackend>();
    backend->file_ = file;
    if (const int error = ::io_uring_queue_init(kDepth, &backend->ring_, 0); error < 0)
      return fail_errno(-error, "io_uring");
    backend->made_ = true;
    backend->event_ = TRY(make_eventfd());
    if (const int error = ::io_uring_register_eventfd(&backend->ring_, backend->event_.get()); error < 0)
      return fail_errno(-error, "io_uring eventfd");
    return backend;
  }
  ~UringBackend() override {
    if (made_) ::io_uring_queue_exit(&ring_);
  }
  int eventfd() const override { return event_.get(); }

  bool submit(BlockOperation operation) override {
    if (flying_.size() >= kDepth) return false;
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return false;
    const uint64_t tag = operation.tag;
    const BlockOperation& op = flying_[tag] = std::move(operation);
    const auto count = static_cast<unsigned>(op.parts.size());
    switch (op.kind) {
      case BlockKind::kRead: ::io_uring_prep_readv(entry, file_, op.parts.data(), count, op.offset); break;
      case BlockKind::kWrite: ::io_uring_prep_writev(entry, file_, op.parts.data(), count, op.offset); break;
      case BlockKind::kFlush: ::io_uring_prep_fsync(entry, file_, IORING_FSYNC_DATASYNC); break;
      case BlockKind::kDiscard:
      case BlockKind::kWriteZeroes:
        ::io_uring_prep_fallocate(entry, file_, op.kind == BlockKind::kDiscard ? kPunch : kZero,
                                  static_cast<off_t>(op.offset), static_cast<off_t>(op.length));
    }
    ::io_uring_sqe_set_data64(entry, tag);
    ++prepared_;
    return true;
  }
  void flush_submissions() override {
    if (prepared_ > 0 && ::io_uring_submit(&ring_) >= 0) prepared_ = 0;
  }
  void reap(const std::function<void(uint64_t, int64_t)>& done) override {
    drain_eventfd(event_.get());
    io_uring_cqe* entry = nullptr;
    while (::io_uring_peek_cqe(&ring_, &entry) == 0) {
      const uint64_t tag = ::io_uring_cqe_get_data64(entry);
      const int64_t result = entry->res;
      ::io_uring_cqe_seen(&ring_, entry);
      const auto node = flying_.extract(tag);
      if (!node.empty()) done(tag, finish(file_, node.mapped(), result));
    }
  }
  void wait() override {
    flush_submissions();
    io_uring_cqe* entry = nullptr;
    ::io_uring_wait_cqe(&ring_, &entry);
  }

 private:
  int file_ = -1;
  bool made_ = false;
  io_uring ring_{};
  Fd event_;
  unsigned prepared_ = 0;
  std::map<uint64_t, BlockOperation> flying_;
};

class ThreadBackend : public BlockBackend {
 public:
  static Result<std::unique_ptr<BlockBackend>> create(int file) {
    auto backend = std::make_unique<ThreadBackend>();
    backend->file_ = file;
    backend->event_ = TRY(make_eventfd());
    backend->thread_ = std::thread([raw = backend.get()] { raw->work(); });
    return backend;
  }
  ~ThreadBackend() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }
  int eventfd() const override { return event_.get(); }
  bool submit(BlockOperation operation) override {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kDepth) return false;
    waiting_.push_back(std::move(operation));
    return true;
  }
  void flush_submissions() override { wake_.notify_one(); }
  void reap(const std::function<void(uint64_t, int64_t)>& done) override {
    drain_eventfd(event_.get());
    std::vector<std::pair<uint64_t, int64_t>> ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(ended_);
    }
    for (const auto& [tag, result] : ended) done(tag, result);
  }
  void wait() override {
    wake_.notify_one();
    pollfd event{.fd = event_.get(), .events = POLLIN, .revents = 0};
    ::poll(&event, 1, -1);
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (ending_) return;
      const BlockOperation op = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      const int64_t result = finish(file_, op, perform(op));
      lock.lock();
      ended_.emplace_back(op.tag, result);
      signal_eventfd(event_.get());
    }
  }
  int64_t perform(const BlockOperation& op) const {
    int64_t result = 0;
    switch (op.kind) {
      case BlockKind::kRead:
      case BlockKind::kWrite: return 0;  // finish() moves all
      case BlockKind::kFlush: result = ::fdatasync(file_); break;
      case BlockKind::kDiscard:
      case BlockKind::kWriteZeroes:
        result = ::fallocate(file_, op.kind == BlockKind::kDiscard ? kPunch : kZero, static_cast<off_t>(op.offset),
                             static_cast<off_t>(op.length));
    }
    return result < 0 ? -errno : result;
  }

  int file_ = -1;
  Fd event_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<BlockOperation> waiting_;
  std::vector<std::pair<uint64_t, int64_t>> ended_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<BlockBackend>> make_uring_backend(int file) { return UringBackend::create(file); }
Result<std::unique_ptr<BlockBackend>> make_thread_backend(int file) { return ThreadBackend::create(file); }

}  // namespace proa::vmm::virtio
