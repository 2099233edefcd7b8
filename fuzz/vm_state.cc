// Saved device state that somebody changed.
#include "fuzz.h"
#include "virtio.h"
#include "vmm/devices/board.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/serial.h"
#include "vmm/devices/virtio/console.h"
#include "vmm/machine/vcpu_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  using namespace proa::vmm::virtio;
  const std::string_view saved = as_text(data, size);
  Console console([](std::string_view) {});
  TestDriver driver(console);
  driver.transport->pause();
  StateStream stream(saved);
  driver.transport->transfer(stream);
  driver.transport->resume();
  driver.transport.reset();

  const auto load = [&](auto& device) {
    StateStream one(saved);
    device.transfer(one);
    return one.finish();
  };
  static_cast<void>(load(driver.board));
  Serial serial(0x3f8, {&driver.board, 4}, [](char) {});
  static_cast<void>(load(serial));
  for (uint16_t port = 0x3f8; port < 0x400; ++port) static_cast<void>(serial.in(port));
  proa::FakeClock clock;
  const auto pit = Pit::create(*driver.reactor, {&driver.board, 0}, clock).value();
  static_cast<void>(load(*pit));
  for (uint16_t port = 0x40; port < 0x44; ++port) static_cast<void>(pit->in(port));
  Cmos cmos(clock, 1 << 20, 0);
  static_cast<void>(load(cmos));
  cmos.out(0x70, 4);
  static_cast<void>(cmos.in(0x71));
  CpuState state;
  StateStream vcpu(saved);
  transfer_vcpu(vcpu, state);
  return 0;
}
