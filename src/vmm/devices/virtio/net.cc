#include "vmm/devices/virtio/net.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "base/log.h"

namespace proa::vmm::virtio {

namespace {

// Features (virtio 1.2, 5.1.3).
constexpr uint64_t kCsum = 1 << 0, kGuestCsum = 1 << 1, kMtu = 1 << 3, kMac = 1 << 5, kGuestTso4 = 1 << 7,
                   kGuestTso6 = 1 << 8, kHostTso4 = 1 << 11, kHostTso6 = 1 << 12, kMergeable = 1 << 15;
constexpr unsigned kReceive = 0, kSend = 1;
constexpr size_t kNumBuffers = 10;  // offset in the header
// Frames in a row before others get their turn.
constexpr int kBatch = 64;

struct Config {
  MacAddress mac;
  uint16_t status, queue_pairs, mtu;
};
static_assert(sizeof(Config) == 12);

}  // namespace

Result<Fd> open_tap(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return fail("TAP \"", name, "\": is no name of a network device");
  Fd tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tap) return fail_errno(errno, "open /dev/net/tun").hint("modprobe tun");
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) return fail_errno(errno, "TAP ", name);
  const int header = 12;
  if (::ioctl(tap.get(), TUNSETVNETHDRSZ, &header) != 0) return fail_errno(errno, "TAP ", name, ": header size");
  return tap;
}

void Net::set_rates(const RatePlan& receive_rate, const RatePlan& send_rate) {
  options_.receive = receive_rate;
  options_.send = send_rate;
  receive_limiter_.set(receive_rate);
  send_limiter_.set(send_rate);
  if (!transport().running()) return;
  notified(kReceive);
  notified(kSend);
}

uint64_t Net::features() const {
  return kCsum | kGuestCsum | kMac | kGuestTso4 | kGuestTso6 | kHostTso4 | kHostTso6 | kMergeable |
         (options_.mtu != 0 ? kMtu : 0);
}

std::string Net::config() const {
  const Config config{.mac = options_.mac, .status = 1, .queue_pairs = 1, .mtu = options_.mtu};
  return {reinterpret_cast<const char*>(&config), sizeof config};
}

void Net::activate(uint64_t features) {
  mergeable_ = (features & kMergeable) != 0;
  // What the guest takes unsegmented and unsummed. Not every descriptor is a TAP.
  const unsigned offload = ((features & kGuestCsum) != 0 ? TUN_F_CSUM : 0u) |
                           ((features & kGuestTso4) != 0 ? TUN_F_TSO4 : 0u) |
                           ((features & kGuestTso6) != 0 ? TUN_F_TSO6 : 0u);
  ::ioctl(tap_.get(), TUNSETOFFLOAD, offload);
  Reactor& reactor = transport().reactor();
  auto readable = reactor.watch(tap_.get(), EPOLLIN, [this](uint32_t) { receive(); });
  auto receive_retry = ReactorTimer::create(reactor, [this] { receive(); });
  auto send_retry = ReactorTimer::create(reactor, [this] { send(); });
  if (!readable || !receive_retry || !send_retry) return log::error("network device: no descriptors left");
  readable_ = std::move(*readable);
  receive_retry_ = std::move(*receive_retry);
  send_retry_ = std::move(*send_retry);
}

void Net::reset() {
  gathered_ = room_ = 0;
  readable_.stop();
  receive_retry_.reset();
  send_retry_.reset();
}

void Net::notified(unsigned queue) {
  if (queue == kReceive)
    receive();
  else
    send();
}

// Chains that hold any frame: one, or as many as it takes when buffers can be merged. What a frame does not fill
// stays for the next.
bool Net::gather() {
  Queue& queue = transport().queue(kReceive);
  while (gathered_ == 0 || (mergeable_ && room_ < kMaxFrame && gathered_ < queue.size())) {
    if (chains_.size() == gathered_) chains_.emplace_back();
    const Queue::Pop popped = queue.pop(chains_[gathered_]);
    if (popped == Queue::Pop::kBroken) transport().needs_reset();
    if (popped != Queue::Pop::kChain) break;
    room_ += chains_[gathered_++].writable_bytes;
  }
  if (gathered_ == 0) return false;
  if (chains_[0].writable_bytes >= kHeader) return true;
  transport().needs_reset();
  return false;
}

void Net::give_back() {
  transport().queue(kReceive).undo(static_cast<uint16_t>(gathered_));
  gathered_ = room_ = 0;
}

// The filter's next frame; 0: it has none.
long Net::read_filter(std::span<const iovec> parts) {
  const std::vector<std::byte> frame = filter_->next();
  if (frame.empty()) return 0;
  std::vector<std::byte> whole(kHeader);
  whole.insert(whole.end(), frame.begin(), frame.end());
  size_t at = 0;
  for (const iovec& part : parts) {
    const size_t size = std::min(part.iov_len, whole.size() - at);
    std::memcpy(part.iov_base, whole.data() + at, size);
    at += size;
  }
  return static_cast<long>(whole.size());
}

long Net::read_frame(std::span<const iovec> parts) {
  if (filter_)
    if (const long size = read_filter(parts); size != 0) return size;
  return ::readv(tap_.get(), parts.data(), static_cast<int>(std::min<size_t>(parts.size(), IOV_MAX)));
}

// Gives the chains that the frame fills.
void Net::deliver(size_t bytes) {
  Queue& queue = transport().queue(kReceive);
  std::vector<uint32_t> written;
  size_t left = bytes;
  while (written.size() < gathered_ && (left > 0 || written.empty())) {
    const auto part = std::min<size_t>(left, chains_[written.size()].writable_bytes);
    written.push_back(static_cast<uint32_t>(part));
    left -= part;
  }
  const auto count = static_cast<uint16_t>(written.size());
  chains_[0].write(kNumBuffers, &count, sizeof count);
  queue.push_all({chains_.data(), written.size()}, written);
  for (size_t i = 0; i < written.size(); ++i) room_ -= chains_[i].writable_bytes;
  const auto begin = chains_.begin();
  std::rotate(begin, begin + count, begin + static_cast<std::ptrdiff_t>(gathered_));
  gathered_ -= count;
  ++counts_.received;
  counts_.received_bytes += bytes - kHeader;
  receive_limiter_.charge(bytes - kHeader);
}

long Net::read_direct() {
  std::vector<iovec> parts;
  for (size_t i = 0; i < gathered_; ++i)
    for (const Buffer& buffer : chains_[i].writable) parts.push_back({buffer.host, buffer.size});
  return read_frame(parts);
}

// The guest has little room: a frame that does not fit is dropped, not cut.
long Net::read_by_copy() {
  scratch_.resize(kMaxFrame);
  const iovec all{scratch_.data(), scratch_.size()};
  const long got = read_frame({&all, 1});
  if (got < 0 || static_cast<uint64_t>(got) > room_) return std::min(got, 0L);
  size_t at = 0;
  for (size_t i = 0; i < gathered_ && at < static_cast<size_t>(got); ++i)
    at += chains_[i].write(0, scratch_.data() + at, static_cast<size_t>(got) - at);
  return got;
}

Net::Received Net::receive_one() {
  if (!gather()) {
    readable_.set_events(0);  // until the guest gives buffers
    if (!transport().running() || !transport().queue(kReceive).rearm()) return Received::kNoBuffers;
    readable_.set_events(EPOLLIN);
    return Received::kMore;
  }
  const long got = room_ >= kMaxFrame ? read_direct() : read_by_copy();
  if (got < static_cast<long>(kHeader)) {
    if (got >= 0) ++counts_.dropped;
    return Received::kNothing;
  }
  deliver(static_cast<size_t>(got));
  return Received::kMore;
}

void Net::receive() {
  if (!transport().running() || !transport().queue(kReceive).ready()) return;
  readable_.set_events(EPOLLIN);
  Received last = Received::kMore;
  for (int i = 0; i < kBatch && last == Received::kMore; ++i) {
    if (const auto wait = receive_limiter_.admit(1)) {
      ++counts_.throttled;
      readable_.set_events(0);
      if (receive_retry_) receive_retry_->arm(*wait);
      last = Received::kNoBuffers;
      break;
    }
    last = receive_one();
  }
  if (!transport().running()) return;
  transport().signal(kReceive);
  // The TAP wakes us when it has more, and so does a guest that gives buffers.
  if (!filter_ || !receive_retry_ || last == Received::kNoBuffers) return;
  if (const auto wait = filter_->due()) receive_retry_->arm(std::max(*wait, std::chrono::nanoseconds(1)));
}

// Copied: a filter may look at it as often as it likes, a guest may change it meanwhile.
bool Net::filter_takes(const Chain& chain) {
  const uint64_t size = chain.readable_bytes;
  if (size <= kHeader || size > kMaxFrame) return false;
  std::array<std::byte, FrameFilter::kStart> start{};
  const size_t known = std::min<size_t>(start.size(), size - kHeader);
  chain.read(kHeader, start.data(), known);
  if (!filter_->wants({start.data(), known})) return false;
  std::vector<std::byte> frame(size - kHeader);
  chain.read(kHeader, frame.data(), frame.size());
  filter_->take(frame);
  return true;
}

void Net::send_one(const Chain& chain) {
  const uint64_t size = chain.readable_bytes;
  if (size <= kHeader || size > kMaxFrame) {
    ++counts_.dropped;
    return;
  }
  const std::vector<iovec> parts = slice(chain.readable, 0, size);
  if (parts.size() > IOV_MAX || ::writev(tap_.get(), parts.data(), static_cast<int>(parts.size())) < 0) {
    ++counts_.dropped;
    return;
  }
  ++counts_.sent;
  counts_.sent_bytes += size - kHeader;
}

void Net::send() {
  if (!transport().running() || !transport().queue(kSend).ready()) return;
  Queue& queue = transport().queue(kSend);
  Chain chain;
  do {
    queue.suppress();
    Queue::Pop popped = queue.pop(chain);
    for (; popped == Queue::Pop::kChain; popped = queue.pop(chain)) {
      if (filter_ && filter_takes(chain)) {  // costs nothing of the limit
        queue.push(chain, 0);
        continue;
      }
      if (const auto wait = send_limiter_.admit(std::max<uint64_t>(chain.readable_bytes, kHeader) - kHeader)) {
        queue.undo();
        ++counts_.throttled;
        if (send_retry_) send_retry_->arm(*wait);
        return transport().signal(kSend);
      }
      send_one(chain);
      queue.push(chain, 0);
    }
    if (popped == Queue::Pop::kBroken) return transport().needs_reset();
  } while (queue.rearm());
  transport().signal(kSend);
  if (filter_) receive();
}

void Net::transfer(StateStream& s) {
  s.section("net", 1);
  auto mac = options_.mac;
  s.value(mac);
  if (transport().taken()) options_.mac = mac;  // what the driver knows it by
}

}  // namespace proa::vmm::virtio
