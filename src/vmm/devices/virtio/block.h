// The block device (virtio 1.2, 5.2) on a file or block device of the host.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "vmm/devices/virtio/block_backend.h"
#include "vmm/devices/virtio/device.h"
#include "vmm/devices/virtio/rate_limiter.h"

namespace proa::vmm::virtio {

struct BlockOptions {
  std::string path;
  std::string serial;  // at most 20 bytes, what the guest sees as the disk's id
  bool read_only = false;
  bool flush = true;  // false: the guest is not offered to flush ("unsafe")
  bool async = true;  // io_uring, if the kernel has it; else a thread
  RatePlan rate;
};

struct BlockCounts {
  uint64_t reads = 0, writes = 0, flushes = 0, discards = 0, read_bytes = 0, write_bytes = 0, failures = 0,
           throttled = 0;
};

class Block : public Device {
 public:
  static constexpr uint64_t kSector = 512;
  // Errors name the path.
  static Result<std::unique_ptr<Block>> open(BlockOptions options, const Clock& clock = Clock::system());

  // Another image in place of this one (a disk that grew, another medium): the driver is told.
  Result<> replace(const std::string& path);
  void set_rate(const RatePlan& rate);
  const BlockOptions& options() const { return options_; }
  const BlockCounts& counts() const { return counts_; }

  Type type() const override { return Type::kBlock; }
  uint64_t features() const override;
  std::vector<uint16_t> queue_sizes() const override { return {256}; }
  std::string config() const override;
  void activate(uint64_t features) override;
  void reset() override;
  void notified(unsigned queue) override;
  void write_config(uint64_t offset, unsigned size, uint64_t value) override;
  void quiesce() override { drain(); }
  void transfer(StateStream& s) override;

 private:
  struct Request {
    Chain chain;
    BlockKind kind = BlockKind::kRead;
    uint64_t bytes = 0;
    unsigned left = 1;  // operations it still waits for
    bool failed = false;
  };
  explicit Block(BlockOptions options, const Clock& clock)
      : options_(std::move(options)), limiter_(options_.rate, clock) {}
  Result<> open_image(const std::string& path);
  Result<> make_backend();
  // What became of a request: an answer at once, or operations on their way.
  std::optional<uint8_t> start(uint64_t tag, Request& request);
  std::optional<uint8_t> start_transfer(uint64_t tag, Request& request, uint32_t type, uint64_t sector);
  std::optional<uint8_t> start_ranges(uint64_t tag, Request& request, uint32_t type);
  uint8_t give_id(Request& request) const;
  void complete(Request& request, uint8_t status);
  void ended(uint64_t tag, int64_t result);
  void reap();
  void drain();
  bool inside(uint64_t sector, uint64_t bytes) const;

  BlockOptions options_;
  RateLimiter limiter_;
  Fd file_;
  uint64_t capacity_ = 0;  // sectors
  std::unique_ptr<BlockBackend> backend_;
  std::unique_ptr<ReactorTimer> retry_;
  Watch completions_;
  std::map<uint64_t, Request> flying_;
  uint64_t next_tag_ = 1;
  bool write_back_ = true;
  BlockCounts counts_;
};

}  // namespace proa::vmm::virtio
