#include "vmm/devices/virtio/block.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>

#include "base/log.h"

namespace proa::vmm::virtio {

namespace {

// Features and requests (virtio 1.2, 5.2.3 and 5.2.6).
constexpr uint64_t kSegMax = 1 << 2, kReadOnly = 1 << 5, kBlockSize = 1 << 6, kFlush = 1 << 9, kConfigWce = 1 << 11,
                   kDiscard = 1 << 13, kWriteZeroes = 1 << 14;
constexpr uint32_t kIn = 0, kOut = 1, kFlushRequest = 4, kGetId = 8, kDiscardRequest = 11, kZeroRequest = 13;
constexpr uint8_t kOk = 0, kIoError = 1, kUnsupported = 2;
constexpr uint32_t kMaxSegments = 254, kMaxRanges = 32, kMaxRangeSectors = 1 << 22;
constexpr size_t kIdBytes = 20;
// A request's operations share its tag; their number stands above it.
constexpr unsigned kPartShift = 48;
constexpr uint64_t kTagMask = (1ULL << kPartShift) - 1;

struct Header {
  uint32_t type, reserved;
  uint64_t sector;
};
struct RangeEntry {
  uint64_t sector;
  uint32_t count, flags;
};
constexpr uint32_t kUnmap = 1;

struct Config {
  uint64_t capacity;
  uint32_t size_max, seg_max;
  uint16_t cylinders;
  uint8_t heads, sectors;
  uint32_t block_size;
  uint8_t physical_exponent, alignment_offset;
  uint16_t min_io;
  uint32_t opt_io;
  uint8_t write_back, unused0;
  uint16_t queues;
  uint32_t max_discard, max_discard_seg, discard_alignment, max_zeroes, max_zeroes_seg;
  uint8_t zeroes_may_unmap, unused1[3];
};
static_assert(sizeof(Config) == 60 + 4);

}  // namespace

Result<std::unique_ptr<Block>> Block::open(BlockOptions options, const Clock& clock) {
  std::unique_ptr<Block> block(new Block(std::move(options), clock));
  TRY(block->open_image(block->options_.path));
  TRY(block->make_backend());
  return block;
}

Result<> Block::open_image(const std::string& path) {
  Fd file(::open(path.c_str(), (options_.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!file) return fail_errno(errno, "disk ", path);
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) return fail_errno(errno, "disk ", path);
  auto bytes = static_cast<uint64_t>(about.st_size);
  if (S_ISBLK(about.st_mode)) {
    if (::ioctl(file.get(), BLKGETSIZE64, &bytes) != 0) return fail_errno(errno, "size of disk ", path);
  } else if (!S_ISREG(about.st_mode)) {
    return fail("disk ", path, ": is neither a file nor a block device");
  }
  if (bytes % kSector != 0)
    log::warning("disk ", path, ": its last ", bytes % kSector, " bytes are not a sector; the guest does not see them");
  file_ = std::move(file);
  capacity_ = bytes / kSector;
  options_.path = path;
  return {};
}

Result<> Block::make_backend() {
  backend_.reset();
  if (options_.async) {
    if (auto uring = make_uring_backend(file_.get())) {
      backend_ = std::move(*uring);
      return {};
    }
  }
  backend_ = TRY(make_thread_backend(file_.get()));
  return {};
}

Result<> Block::replace(const std::string& path) {
  drain();
  TRY(open_image(path));
  completions_.stop();
  TRY(make_backend());
  if (transport().running()) activate(features());
  transport().config_changed();
  return {};
}

void Block::set_rate(const RatePlan& rate) {
  options_.rate = rate;
  limiter_.set(rate);
  if (transport().running()) notified(0);
}

uint64_t Block::features() const {
  uint64_t features = kSegMax | kBlockSize;
  if (options_.read_only) return features | kReadOnly;
  if (options_.flush) features |= kFlush | kConfigWce;
  return features | kDiscard | kWriteZeroes;
}

std::string Block::config() const {
  Config config{};
  config.capacity = capacity_;
  config.seg_max = kMaxSegments;
  config.block_size = kSector;
  config.write_back = write_back_ ? 1 : 0;
  config.queues = 1;
  if (!options_.read_only) {
    config.max_discard = config.max_zeroes = kMaxRangeSectors;
    config.max_discard_seg = config.max_zeroes_seg = kMaxRanges;
    config.discard_alignment = 8;
    config.zeroes_may_unmap = 1;
  }
  return {reinterpret_cast<const char*>(&config), sizeof config};
}

// The cache's mode is all that can be written (5.2.5.2).
void Block::write_config(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == offsetof(Config, write_back) && size == 1) write_back_ = value == 1;
}

void Block::activate(uint64_t) {
  auto watch = transport().reactor().watch(backend_->eventfd(), EPOLLIN, [this](uint32_t) { reap(); });
  auto timer = ReactorTimer::create(transport().reactor(), [this] {
    if (transport().running()) notified(0);
  });
  if (!watch || !timer)
    return log::error("disk ", options_.path, ": ", (watch ? timer.error() : watch.error()).message());
  completions_ = std::move(*watch);
  retry_ = std::move(*timer);
}

void Block::reset() {
  drain();
  completions_.stop();
  retry_.reset();
}

bool Block::inside(uint64_t sector, uint64_t bytes) const {
  return sector <= capacity_ && bytes / kSector <= capacity_ - sector && bytes % kSector == 0;
}

std::optional<uint8_t> Block::start(uint64_t tag, Request& request) {
  Header header{};
  if (request.chain.read(0, &header, sizeof header) != sizeof header) return kIoError;
  switch (header.type) {
    case kIn:
    case kOut: return start_transfer(tag, request, header.type, header.sector);
    case kFlushRequest:
      request.kind = BlockKind::kFlush;
      ++counts_.flushes;
      if (options_.read_only || !options_.flush) return kOk;
      return backend_->submit({.kind = BlockKind::kFlush, .parts = {}, .tag = tag}) ? std::nullopt
                                                                                    : std::optional(kIoError);
    case kGetId: return give_id(request);
    case kDiscardRequest:
    case kZeroRequest: return start_ranges(tag, request, header.type);
    default: return kUnsupported;
  }
}

std::optional<uint8_t> Block::start_transfer(uint64_t tag, Request& request, uint32_t type, uint64_t sector) {
  const bool read = type == kIn;
  request.kind = read ? BlockKind::kRead : BlockKind::kWrite;
  request.bytes = read ? request.chain.writable_bytes - 1 : request.chain.readable_bytes - sizeof(Header);
  if ((!read && options_.read_only) || !inside(sector, request.bytes)) return kIoError;
  if (request.bytes == 0) return kOk;
  BlockOperation operation{
      .kind = request.kind, .offset = sector * kSector, .length = request.bytes, .parts = {}, .tag = tag};
  operation.parts = read ? slice(request.chain.writable, 0, request.bytes)
                         : slice(request.chain.readable, sizeof(Header), request.bytes);
  return backend_->submit(std::move(operation)) ? std::nullopt : std::optional(kIoError);
}

// Discard and write zeroes: a list of ranges, each an operation of its own (5.2.6.1).
std::optional<uint8_t> Block::start_ranges(uint64_t tag, Request& request, uint32_t type) {
  const bool discard = type == kDiscardRequest;
  request.kind = discard ? BlockKind::kDiscard : BlockKind::kWriteZeroes;
  const uint64_t bytes = request.chain.readable_bytes - sizeof(Header);
  if (options_.read_only || bytes == 0 || bytes % sizeof(RangeEntry) != 0) return kIoError;
  const uint64_t count = bytes / sizeof(RangeEntry);
  if (count > kMaxRanges) return kIoError;
  std::vector<RangeEntry> ranges(count);
  request.chain.read(sizeof(Header), ranges.data(), bytes);
  for (const RangeEntry& range : ranges) {
    if ((range.flags & ~kUnmap) != 0 || (discard && range.flags != 0)) return kUnsupported;
    if (range.count > kMaxRangeSectors || !inside(range.sector, range.count * kSector)) return kIoError;
  }
  ++counts_.discards;
  request.left = 1;
  for (const RangeEntry& range : ranges) {
    if (range.count == 0) continue;
    // What may be unmapped is punched out: it reads as zeroes too.
    const auto kind = (range.flags & kUnmap) != 0 ? BlockKind::kDiscard : request.kind;
    if (backend_->submit({.kind = kind,
                          .offset = range.sector * kSector,
                          .length = range.count * kSector,
                          .parts = {},
                          .tag = tag | static_cast<uint64_t>(&range - ranges.data()) << kPartShift}))
      ++request.left;
    else
      request.failed = true;
  }
  if (--request.left > 0) return std::nullopt;
  return request.failed ? kIoError : kOk;
}

uint8_t Block::give_id(Request& request) const {
  std::string id = options_.serial.substr(0, kIdBytes);
  id.resize(std::min<uint64_t>(kIdBytes, request.chain.writable_bytes - 1), '\0');
  request.bytes = request.chain.write(0, id.data(), id.size());
  request.kind = BlockKind::kRead;
  return kOk;
}

// The status is the last writable byte.
void Block::complete(Request& request, uint8_t status) {
  const bool read = request.kind == BlockKind::kRead;
  // Without a cache a write is done when it is on the disk.
  if (status == kOk && request.kind == BlockKind::kWrite && !write_back_ && ::fdatasync(file_.get()) != 0)
    status = kIoError;
  request.chain.write(request.chain.writable_bytes - 1, &status, 1);
  if (status != kOk) ++counts_.failures;
  if (status == kOk && read) {
    ++counts_.reads;
    counts_.read_bytes += request.bytes;
  } else if (status == kOk && request.kind == BlockKind::kWrite) {
    ++counts_.writes;
    counts_.write_bytes += request.bytes;
  }
  // Everything up to the status counts as written: it is what changed at most.
  transport().queue(0).push(request.chain, static_cast<uint32_t>(request.chain.writable_bytes));
}

void Block::notified(unsigned) {
  Queue& queue = transport().queue(0);
  do {
    queue.suppress();
    for (;;) {
      if (flying_.size() >= queue.size()) break;
      Request request;
      const Queue::Pop popped = queue.pop(request.chain);
      if (popped == Queue::Pop::kBroken) return transport().needs_reset();
      if (popped == Queue::Pop::kEmpty) break;
      if (request.chain.writable_bytes == 0) return transport().needs_reset();  // no place for the status
      const uint64_t moved = std::max(request.chain.readable_bytes, request.chain.writable_bytes);
      if (const auto wait = limiter_.admit(moved)) {
        queue.undo();
        ++counts_.throttled;
        if (retry_) retry_->arm(*wait);
        backend_->flush_submissions();
        return transport().signal(0);
      }
      const uint64_t tag = next_tag_++;
      Request& placed = flying_[tag] = std::move(request);
      if (const auto status = start(tag, placed)) {
        complete(placed, *status);
        flying_.erase(tag);
      }
    }
    backend_->flush_submissions();
  } while (flying_.size() < queue.size() && queue.rearm());
  transport().signal(0);
}

void Block::ended(uint64_t tag, int64_t result) {
  const auto at = flying_.find(tag & kTagMask);
  if (at == flying_.end()) return;
  Request& request = at->second;
  request.failed = request.failed || result < 0;
  if (--request.left > 0) return;
  complete(request, request.failed ? kIoError : kOk);
  flying_.erase(at);
}

void Block::reap() {
  backend_->reap([this](uint64_t tag, int64_t result) { ended(tag, result); });
  // The driver may wait for a place in the ring.
  if (transport().running())
    notified(0);
  else
    transport().signal(0);
}

void Block::drain() {
  backend_->flush_submissions();
  while (!flying_.empty()) {
    backend_->wait();
    backend_->reap([this](uint64_t tag, int64_t result) { ended(tag, result); });
  }
}

void Block::transfer(StateStream& s) {
  s.section("block", 1);
  uint64_t capacity = capacity_;
  s.value(capacity);
  s.check(capacity == capacity_ || !transport().taken(), "capacity (the disk has another size now)");
  s.value(write_back_);
}

}  // namespace proa::vmm::virtio
