#include <cstring>

#include "vmm/devices/virtio/device.h"

namespace proa::vmm::virtio {

namespace {

// Registers (virtio 1.2, table 4.1).
enum Register : uint64_t {
  kMagic = 0x00,
  kVersion = 0x04,
  kDeviceId = 0x08,
  kVendorId = 0x0c,
  kDeviceFeatures = 0x10,
  kDeviceFeaturesSel = 0x14,
  kDriverFeatures = 0x20,
  kDriverFeaturesSel = 0x24,
  kQueueSel = 0x30,
  kQueueNumMax = 0x34,
  kQueueNum = 0x38,
  kQueueReady = 0x44,
  kQueueNotify = 0x50,
  kInterruptStatus = 0x60,
  kInterruptAck = 0x64,
  kStatus = 0x70,
  kQueueDescLow = 0x80,
  kQueueDeviceHigh = 0xa4,
  kShmLenLow = 0xb0,
  kShmBaseHigh = 0xbc,
  kConfigGeneration = 0xfc,
  kConfig = 0x100
};

constexpr uint32_t kAcknowledge = 1, kDriver = Transport::kDriverStatus, kDriverOk = 4, kFeaturesOk = 8,
                   kNeedsReset = 64, kFailed = 128;
constexpr uint32_t kUsedBuffer = 1, kConfigChange = 2;
constexpr uint32_t kVendor = 0x414f5250;  // "PROA"

}  // namespace

void Device::write_config(uint64_t, unsigned, uint64_t) {}

Transport::Transport(Device& device, const GuestMemory& memory, Reactor& reactor, Line line)
    : device_(device), memory_(memory), reactor_(reactor), line_(line) {
  device.transport_ = this;
  for (const uint16_t size : device.queue_sizes()) queues_.emplace_back(memory, size);
}

Transport::~Transport() {
  watches_.clear();
  const auto held = reactor_.lock();
  do_reset();
}

Result<> Transport::make_doorbells() {
  for (unsigned i = 0; i < queues_.size(); ++i) {
    doorbells_.push_back(TRY(make_eventfd()));
    watches_.push_back(TRY(reactor_.watch(doorbells_.back().get(), EPOLLIN, [this, i](uint32_t) {
      drain_eventfd(doorbells_[i].get());
      const auto held = reactor_.lock();
      notify(i);
    })));
  }
  return {};
}

void Transport::notify(unsigned queue) {
  if (running() && queue < queues_.size() && queues_[queue].ready()) device_.notified(queue);
}

uint64_t Transport::read(uint64_t offset, unsigned size) {
  if (offset == kInterruptStatus) return size == 4 ? isr_.load() : 0;
  const auto held = reactor_.lock();
  if (offset >= kConfig) {
    const std::string config = device_.config();
    uint64_t value = 0;
    if (offset - kConfig + size <= config.size()) std::memcpy(&value, config.data() + (offset - kConfig), size);
    return value;
  }
  return size == 4 && offset % 4 == 0 ? read_register(offset) : 0;
}

uint64_t Transport::read_register(uint64_t offset) const {
  const Queue* queue = queue_select_ < queues_.size() ? &queues_[queue_select_] : nullptr;
  switch (offset) {
    case kMagic: return 0x74726976;
    case kVersion: return 2;
    case kDeviceId: return static_cast<uint32_t>(device_.type());
    case kVendorId: return kVendor;
    case kDeviceFeatures:
      return device_features_select_ < 2 ? static_cast<uint32_t>(offered() >> (32 * device_features_select_)) : 0;
    case kQueueNumMax: return queue != nullptr ? queue->max_size() : 0;
    case kQueueReady: return queue != nullptr && queue->ready() ? 1 : 0;
    case kInterruptStatus: return isr_;
    case kStatus: return status_;
    case kConfigGeneration: return generation_;
    default:
      // There is no shared memory: its length is -1.
      return offset >= kShmLenLow && offset <= kShmBaseHigh ? 0xffffffff : 0;
  }
}

void Transport::write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == kInterruptAck) {
    isr_ &= ~static_cast<uint32_t>(value);
    return;
  }
  const auto held = reactor_.lock();
  if (offset >= kConfig)
    device_.write_config(offset - kConfig, size, value);
  else if (size == 4 && offset % 4 == 0)
    write_register(offset, static_cast<uint32_t>(value));
}

void Transport::write_register(uint64_t offset, uint32_t value) {
  switch (offset) {
    case kDeviceFeaturesSel: device_features_select_ = value; return;
    case kDriverFeaturesSel: driver_features_select_ = value; return;
    case kDriverFeatures: {
      if (driver_features_select_ > 1 || (status_ & kFeaturesOk) != 0 || (status_ & kDriver) == 0) return;
      const unsigned shift = 32 * driver_features_select_;
      driver_features_ = (driver_features_ & ~(0xffffffffULL << shift)) | static_cast<uint64_t>(value) << shift;
      return;
    }
    case kQueueSel: queue_select_ = value; return;
    case kQueueNotify: return notify(value);
    case kInterruptAck: isr_ &= ~value; return;
    case kStatus: return set_status(value);
    default: return write_queue(offset, value);
  }
}

void Transport::write_queue(uint64_t offset, uint32_t value) {
  if (queue_select_ >= queues_.size() || (status_ & kFeaturesOk) == 0) return;
  Queue& queue = queues_[queue_select_];
  if (offset == kQueueReady) {
    // Taking one queue back is the reset's business; a driver that stops waits for 0.
    if (value == 0 && !active_) queue.reset();
    if (value == 1 && !queue.ready() && !queue.enable((driver_features_ & kEventIdx) != 0)) needs_reset();
    return;
  }
  if (queue.ready()) return;
  if (offset == kQueueNum) return queue.set_size(value);
  if (offset < kQueueDescLow || offset > kQueueDeviceHigh || offset % 16 > 4) return;
  GuestAddress* const areas[] = {&queue.descriptors, &queue.driver_area, &queue.device_area};
  GuestAddress& area = *areas[(offset - kQueueDescLow) / 16];
  area = offset % 16 == 0 ? (area & ~0xffffffffULL) | value : (area & 0xffffffff) | static_cast<uint64_t>(value) << 32;
}

bool Transport::features_fit() const {
  return (driver_features_ & ~offered()) == 0 && (driver_features_ & kVersion1) != 0;
}

// Bits are added one after the other; only a reset takes them away (2.1.1).
void Transport::set_status(uint32_t status) {
  if (status == 0) return do_reset();
  const uint32_t added = status & ~status_ & (kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed);
  if ((added & kFailed) != 0 && std::exchange(active_, false)) device_.reset();
  if ((added & kFeaturesOk) != 0 && ((status_ & kDriver) == 0 || !features_fit())) {
    status_ |= added & ~(kFeaturesOk | kDriverOk);
    return;
  }
  status_ |= added;
  if ((added & kDriverOk) == 0) return;
  if ((status_ & kFeaturesOk) == 0 || (status_ & (kNeedsReset | kFailed)) != 0) {
    status_ &= ~kDriverOk;
    return;
  }
  active_ = true;
  device_.activate(driver_features_);
}

void Transport::do_reset() {
  if (active_) device_.reset();
  active_ = false;
  for (Queue& queue : queues_) queue.reset();
  status_ = 0;
  isr_ = 0;
  device_features_select_ = driver_features_select_ = queue_select_ = 0;
  driver_features_ = 0;
}

void Transport::reset() {
  const auto held = reactor_.lock();
  do_reset();
}

void Transport::interrupt(uint32_t cause) {
  isr_ |= cause;
  line_.pulse();
}

void Transport::signal(unsigned queue) {
  if (queues_[queue].broken()) return needs_reset();
  if (queues_[queue].wants_interrupt()) interrupt(kUsedBuffer);
}

void Transport::config_changed() {
  ++generation_;
  if (active_) interrupt(kConfigChange);
}

void Transport::needs_reset() {
  if ((status_ & kNeedsReset) != 0) return;
  status_ |= kNeedsReset;
  const bool tell = std::exchange(active_, false);
  if (!tell) return;
  device_.reset();
  interrupt(kConfigChange);
}

void Transport::pause() {
  const auto held = reactor_.lock();
  if (active_ && !paused_) device_.quiesce();
  paused_ = true;
}

void Transport::resume() {
  const auto held = reactor_.lock();
  paused_ = false;
  for (unsigned i = 0; i < queues_.size(); ++i) notify(i);
}

void Transport::transfer(StateStream& s) {
  const auto held = reactor_.lock();
  s.section("virtio", 1);
  uint32_t isr = isr_;
  s.value(isr);
  isr_ = isr;
  for (uint32_t* field : {&status_, &generation_, &device_features_select_, &driver_features_select_, &queue_select_})
    s.value(*field);
  s.value(driver_features_);
  s.value(active_);
  s.check(!active_ || features_fit(), "features");
  auto count = static_cast<uint32_t>(queues_.size());
  s.value(count);
  s.check(count == queues_.size(), "queues");
  for (Queue& queue : queues_) queue.transfer(s, (driver_features_ & kEventIdx) != 0);
  device_.transfer(s);
  if (s.failed()) active_ = false;
  if (!s.saving() && active_) device_.activate(driver_features_);
}

}  // namespace proa::vmm::virtio
