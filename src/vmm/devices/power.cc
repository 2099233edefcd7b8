#include "vmm/devices/board.h"

namespace proa::vmm {

namespace {
constexpr uint8_t kSleepEnable = 1 << 5;
}

Result<> PowerPorts::attach(IoSpace& space, std::function<void(int)> debug_exit) {
  debug_exit_ = std::move(debug_exit);
  TRY(space.add_ports(kSleepControl, 3, *this));
  return debug_exit_ ? space.add_ports(kDebugExit, 4, *this) : Result<>{};
}

uint8_t PowerPorts::in(uint16_t) { return 0; }

void PowerPorts::out(uint16_t port, uint8_t value) {
  if (port == kSleepControl && (value & kSleepEnable) != 0 && (value >> 2 & 7) == kSleepType5) power_(PowerEvent::kOff);
  if (port == kReset && value == kResetValue) power_(PowerEvent::kReset);
  if (port == kDebugExit) debug_exit_(value << 1 | 1);
}

}  // namespace proa::vmm
