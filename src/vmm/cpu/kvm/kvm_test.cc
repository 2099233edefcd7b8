#include "vmm/cpu/kvm/kvm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "vmm/cpu/kvm/ring3_guest_test.h"

// Prints a text by ports, reads and writes MMIO, then reports.
asm(R"(
.pushsection .rodata
guest_talk: .globl guest_talk
  lea message(%rip), %rsi
  mov $5, %ecx
  mov $0x3f8, %edx
1: lodsb
  outb %al, %dx
  loop 1b
  mov $0x40000000, %ebx
  movl $0x12345678, 16(%rbx)
  movl 20(%rbx), %eax
  mov $0x80, %edx
  outl %eax, %dx
2: jmp 2b
message: .ascii "hello"
guest_talk_end:
guest_dirty:
  movl $1, 0x201000
  movl $1, 0x205ff0
  outb %al, $0x80
  movl $2, 0x206000
  outb %al, $0x80
3: jmp 3b
guest_dirty_end:
guest_spin:
  xor %eax, %eax
4: inc %rax
  jmp 4b
guest_spin_end:
guest_ring:
  mov $0x40000050, %ebx
  movl $3, (%rbx)
  movl $4, (%rbx)
  outb %al, $0x80
5: jmp 5b
guest_ring_end:
guest_sse:
  movdqu %xmm3, 0x200000
  mov %r13, 0x200010
  outb %al, $0x80
6: jmp 6b
guest_sse_end:
.popsection
)");
extern "C" const char guest_talk[], guest_talk_end[], guest_dirty[], guest_dirty_end[], guest_spin[], guest_spin_end[],
    guest_ring[], guest_ring_end[], guest_sse[], guest_sse_end[];

namespace proa::vmm {

namespace {

using testing::ElementsAre;
using testing::IsSupersetOf;

class TestBus : public Bus {
 public:
  Vcpu* vcpu = nullptr;
  std::string text;
  std::vector<std::string> log;
  uint32_t port_in(uint16_t, unsigned) override { return 0; }
  void port_out(uint16_t port, unsigned size, uint32_t value) override {
    if (port == 0x3f8) text += static_cast<char>(value);
    if (port != 0x80) return;
    log.push_back(cat("port ", size, " ", value));
    vcpu->kick();
  }
  uint64_t mmio_read(GuestAddress address, unsigned size) override {
    log.push_back(cat("read ", address - kRing3Mmio, " ", size));
    return 0xcafe;
  }
  void mmio_write(GuestAddress address, unsigned size, uint64_t value) override {
    log.push_back(cat("write ", address - kRing3Mmio, " ", size, " ", value));
  }
  void end_of_interrupt(uint8_t) override {}
  uint8_t acknowledge_extint() override { return 0; }
};

class KvmEngineTest : public testing::Test {
 protected:
  void start(std::string_view code, const EngineOptions& options = {}) {
    if (probe_kvm() == KvmKind::kNone) GTEST_SKIP() << "no usable /dev/kvm";
    state = make_ring3(*memory, code);
    engine = make_kvm_engine(*memory, bus, options).value();
    vcpu = engine->create_vcpu(0, engine->supported_cpuid().value()).value();
    bus.vcpu = vcpu.get();
    const auto set = vcpu->set_state(state);
    ASSERT_TRUE(set) << set.error().message();
  }
  void run() {
    const auto stop = vcpu->run();
    ASSERT_TRUE(stop) << stop.error().message();
    EXPECT_EQ(StopReason::kKicked, stop->reason);
  }
  uint64_t exits(ExitCause cause) const { return vcpu->exits()[static_cast<size_t>(cause)]; }

  std::unique_ptr<GuestMemory> memory = ring3_memory();
  TestBus bus;
  CpuState state;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Vcpu> vcpu;
};

TEST_F(KvmEngineTest, PortsAndMmioReachTheBus) {
  start(guest_code(guest_talk, guest_talk_end));
  if (IsSkipped()) return;
  run();
  EXPECT_EQ("hello", bus.text);
  EXPECT_THAT(bus.log, ElementsAre("write 16 4 305419896", "read 20 4", "port 4 51966"));
  EXPECT_EQ(6u, exits(ExitCause::kPortOut));
  EXPECT_EQ(1u, exits(ExitCause::kMmioRead));
  EXPECT_EQ(1u, exits(ExitCause::kMmioWrite));
  EXPECT_THAT(engine->report(), testing::HasSubstr("vcpu0.port-out 6\n"));
}

TEST_F(KvmEngineTest, LogsDirtyPagesByBitmap) {
  start(guest_code(guest_dirty, guest_dirty_end));
  if (IsSkipped()) return;
  ASSERT_TRUE(engine->track_dirty(true));
  run();
  EXPECT_THAT(engine->take_dirty().value(), IsSupersetOf({0x201000u, 0x205000u}));
  run();
  const auto second = engine->take_dirty().value();
  EXPECT_THAT(second, testing::Contains(0x206000u));
  EXPECT_THAT(second, testing::Not(testing::Contains(0x205000u)));
}

TEST_F(KvmEngineTest, LogsDirtyPagesByRing) {
  start(guest_code(guest_dirty, guest_dirty_end), {.dirty_ring = 4096});
  if (IsSkipped()) return;
  ASSERT_TRUE(engine->track_dirty(true));
  run();
  EXPECT_THAT(engine->take_dirty().value(), IsSupersetOf({0x201000u, 0x205000u}));
  run();
  EXPECT_THAT(engine->take_dirty().value(), testing::Contains(0x206000u));
}

TEST_F(KvmEngineTest, AKickStopsASpinningGuestAndStateGoesOn) {
  start(guest_code(guest_spin, guest_spin_end));
  if (IsSkipped()) return;
  std::thread kicker([this] {
    while (memory->load<uint8_t>(kRing3Data) == 0) std::this_thread::yield();
    vcpu->kick();
  });
  memory->store<uint8_t>(kRing3Data, 1);
  run();
  kicker.join();
  vcpu->kick();
  run();  // a kick before run() is not lost
  const CpuState stopped = vcpu->state().value();
  EXPECT_GE(stopped.rip, kRing3Code);
  EXPECT_EQ(state.cr3, stopped.cr3);
  EXPECT_EQ(state.segments[kCs].attributes, stopped.segments[kCs].attributes | 1);
  ASSERT_TRUE(vcpu->set_state(stopped));
  EXPECT_EQ(stopped.gpr, vcpu->state()->gpr);
}

TEST_F(KvmEngineTest, ADoorbellRingsWithoutTheBus) {
  start(guest_code(guest_ring, guest_ring_end));
  if (IsSkipped()) return;
  const Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const Doorbell doorbell{.address = kRing3Mmio + 0x50, .size = 4, .match = true, .value = 3, .eventfd = event.get()};
  ASSERT_TRUE(engine->add_doorbell(doorbell));
  run();
  uint64_t rings = 0;
  ASSERT_EQ(8, ::read(event.get(), &rings, 8));
  EXPECT_EQ(1u, rings);
  EXPECT_THAT(bus.log, ElementsAre("write 80 4 4", testing::_));
  EXPECT_TRUE(engine->remove_doorbell(doorbell));
}

TEST_F(KvmEngineTest, AnIrqfdSetsABitInTheLocalApic) {
  start(guest_code(guest_dirty, guest_dirty_end));
  if (IsSkipped()) return;
  CpuState enabled = vcpu->state().value();
  enabled.lapic[0xf0] = 0xff;  // spurious vector; bit 8: the APIC is on
  enabled.lapic[0xf1] = 1;
  ASSERT_TRUE(vcpu->set_state(enabled));
  const Fd event(::eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(engine->route_irqfd(30, event.get(), {.address = 0xfee00000, .data = 0x4041}));
  const uint64_t one = 1;
  ASSERT_EQ(8, ::write(event.get(), &one, 8));
  ASSERT_TRUE(engine->signal_msi({.address = 0xfee00000, .data = 0x4045}));
  run();
  // Vectors 65 and 69: IRR, third register (SDM 3A, 10.8.4).
  const CpuState after = vcpu->state().value();
  EXPECT_EQ(0x22, after.lapic[0x220] & 0x22);
  EXPECT_TRUE(engine->remove_irqfd(30));
}

TEST_F(KvmEngineTest, StateMovesToAnotherMachine) {
  start(guest_code(guest_sse, guest_sse_end));
  if (IsSkipped()) return;
  state.fx[160 + 16 * 3] = 0x5a;
  state.gpr[kR13] = 0x1122334455667788;
  state.kernel_gs_base = 0xffff888000000000;
  ASSERT_TRUE(vcpu->set_state(state));
  const CpuState saved = vcpu->state().value();
  vcpu.reset();
  engine = make_kvm_engine(*memory, bus, {}).value();
  vcpu = engine->create_vcpu(0, engine->supported_cpuid().value()).value();
  bus.vcpu = vcpu.get();
  ASSERT_TRUE(vcpu->set_state(saved));
  run();
  EXPECT_EQ(0x5a, memory->load<uint8_t>(kRing3Data));
  EXPECT_EQ(0x1122334455667788u, memory->load<uint64_t>(kRing3Data + 16));
  EXPECT_EQ(0xffff888000000000, vcpu->state()->kernel_gs_base);
}

TEST_F(KvmEngineTest, AFaultWithoutHandlersIsAShutdown) {
  start(std::string_view("\x0f\x0b", 2));
  if (IsSkipped()) return;
  const auto stop = vcpu->run();
  ASSERT_TRUE(stop) << stop.error().message();
  EXPECT_EQ(StopReason::kTripleFault, stop->reason);
}

}  // namespace
}  // namespace proa::vmm
