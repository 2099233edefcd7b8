#include "vmm/devices/virtio/rng.h"

#include <sys/random.h>

#include "base/log.h"

namespace proa::vmm::virtio {

namespace {

// One request gets so much at most; a driver may ask for gigabytes.
constexpr uint64_t kMostAtOnce = 64 << 10;

// Fills the writable part; how much.
uint32_t fill(const Chain& chain) {
  uint64_t done = 0;
  for (const Buffer& buffer : chain.writable) {
    uint64_t wanted = std::min<uint64_t>(buffer.size, kMostAtOnce - done);
    std::byte* at = buffer.host;
    while (wanted > 0) {
      const ssize_t got = ::getrandom(at, wanted, 0);
      if (got <= 0) break;
      at += got;
      wanted -= static_cast<uint64_t>(got);
      done += static_cast<uint64_t>(got);
    }
  }
  return static_cast<uint32_t>(done);
}

}  // namespace

void Rng::activate(uint64_t) {
  auto timer = ReactorTimer::create(transport().reactor(), [this] {
    if (transport().running()) notified(0);
  });
  if (timer)
    retry_ = std::move(*timer);
  else
    log::error("rng: ", timer.error().message());
}

void Rng::notified(unsigned) {
  Queue& queue = transport().queue(0);
  do {
    queue.suppress();
    Queue::Pop popped = queue.pop(chain_);
    for (; popped == Queue::Pop::kChain; popped = queue.pop(chain_)) {
      const auto wait = limiter_.admit(std::min(chain_.writable_bytes, kMostAtOnce));
      if (wait) {
        queue.undo();
        if (retry_) retry_->arm(*wait);
        return transport().signal(0);
      }
      queue.push(chain_, fill(chain_));
    }
    if (popped == Queue::Pop::kBroken) return transport().needs_reset();
  } while (queue.rearm());
  transport().signal(0);
}

}  // namespace proa::vmm::virtio
