#include "vmm/devices/virtio/console.h"

#include <cstring>

namespace proa::vmm::virtio {

namespace {
constexpr unsigned kInput = 0, kOutput = 1;
}

size_t Console::input(std::string_view text) {
  const size_t taken = std::min(text.size(), kPending - pending_.size());
  pending_ += text.substr(0, taken);
  if (transport().running()) give_input();
  return taken;
}

void Console::resize(uint16_t columns, uint16_t rows) {
  columns_ = columns;
  rows_ = rows;
  transport().config_changed();
}

std::string Console::config() const {
  std::string out(12, '\0');
  std::memcpy(out.data(), &columns_, 2);
  std::memcpy(out.data() + 2, &rows_, 2);
  return out;
}

void Console::notified(unsigned queue) {
  if (queue == kInput)
    give_input();
  else
    take_output();
}

void Console::give_input() {
  Queue& queue = transport().queue(kInput);
  if (!queue.ready()) return;
  Chain chain;
  size_t given = 0;
  do {
    while (given < pending_.size()) {
      const Queue::Pop popped = queue.pop(chain);
      if (popped == Queue::Pop::kBroken) return transport().needs_reset();
      if (popped == Queue::Pop::kEmpty) break;
      const size_t part = chain.write(0, pending_.data() + given, pending_.size() - given);
      queue.push(chain, static_cast<uint32_t>(part));
      given += part;
    }
  } while (given < pending_.size() && queue.rearm());
  pending_.erase(0, given);
  if (given == 0) return;
  transport().signal(kInput);
  if (on_room) on_room();
}

void Console::take_output() {
  Queue& queue = transport().queue(kOutput);
  if (!queue.ready()) return;
  Chain chain;
  do {
    queue.suppress();
    Queue::Pop popped = queue.pop(chain);
    for (; popped == Queue::Pop::kChain; popped = queue.pop(chain)) {
      for (const Buffer& buffer : chain.readable) {
        // A copy: what is looked at must not change meanwhile.
        const std::string text(reinterpret_cast<const char*>(buffer.host), std::min<size_t>(buffer.size, 1 << 20));
        output_(text);
      }
      queue.push(chain, 0);
    }
    if (popped == Queue::Pop::kBroken) return transport().needs_reset();
  } while (queue.rearm());
  transport().signal(kOutput);
}

void Console::transfer(StateStream& s) {
  s.section("console", 1);
  s.text(pending_, kPending);
  s.value(columns_);
  s.value(rows_);
}

}  // namespace proa::vmm::virtio
