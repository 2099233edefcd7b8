// Messages to local APICs (SDM 3A, 10.11, 10.6.2): destination modes, delivery modes, triggers; and irqfds as messages.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/cpu/translator/engine.h"

namespace proa::vmm::translator {
namespace {

constexpr uint32_t kLevel = 1U << 15, kLowestPriority = 1U << 8;

class MsiTest : public ::testing::Test, public Bus {
 protected:
  static constexpr unsigned kVcpus = 3;
  void SetUp() override {
    std::vector<SlotPlan> plans(1);
    plans[0].size = 4 << 20;
    memory_ = GuestMemory::create(std::move(plans)).value();
    engine_ = TranslatorEngine::create(*memory_, *this, {}).value();
    for (unsigned id = 0; id < kVcpus; ++id) {
      auto vcpu = engine_->create_vcpu(id, {});
      ASSERT_TRUE(vcpu) << vcpu.error().message();
      vcpus_.push_back(std::move(*vcpu));
      lapic(id).write(0xf0, 0x1ff);
    }
  }
  Lapic& lapic(unsigned id) { return static_cast<TranslatorVcpu&>(*vcpus_[id]).lapic(); }
  // Who got it, as bits; each takes it and ends it.
  unsigned takers(uint8_t vector) {
    unsigned set = 0;
    for (unsigned id = 0; id < kVcpus; ++id) {
      while (const auto got = lapic(id).acknowledge()) {
        if (*got == vector) set |= 1U << id;
        lapic(id).memory_mapped() ? lapic(id).write(0xb0, 0) : static_cast<void>(lapic(id).write_msr(0x80b, 0));
      }
    }
    return set;
  }
  unsigned send(uint64_t destination, bool logical, uint32_t data) {
    EXPECT_TRUE(engine_->signal_msi({0xfee00000 | destination << 12 | (logical ? 4U : 0U), data}));
    return takers(static_cast<uint8_t>(data));
  }

  uint32_t port_in(uint16_t, unsigned) override { return ~0U; }
  void port_out(uint16_t, unsigned, uint32_t) override {}
  uint64_t mmio_read(GuestAddress, unsigned) override { return ~0ULL; }
  void mmio_write(GuestAddress, unsigned, uint64_t) override {}
  void end_of_interrupt(uint8_t vector) override { ended_.push_back(vector); }
  uint8_t acknowledge_extint() override { return 0; }

  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<TranslatorEngine> engine_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<uint8_t> ended_;
};

TEST_F(MsiTest, PhysicalDestinationsAreIds) {
  EXPECT_EQ(send(0, false, 0x41), 0b001U);
  EXPECT_EQ(send(2, false, 0x41), 0b100U);
  EXPECT_EQ(send(7, false, 0x41), 0U) << "nobody";
  EXPECT_EQ(send(0xff, false, 0x41), 0b111U) << "all";
}

TEST_F(MsiTest, FlatLogicalDestinationsAreSets) {
  for (unsigned id = 0; id < kVcpus; ++id) lapic(id).write(0xd0, 1U << (24 + id));
  EXPECT_EQ(send(0b101, true, 0x42), 0b101U);
  EXPECT_EQ(send(0b010, true, 0x42), 0b010U);
  EXPECT_EQ(send(0b11000, true, 0x42), 0U);
}

TEST_F(MsiTest, ClusteredLogicalDestinationsAreSetsWithinAGroup) {
  for (unsigned id = 0; id < kVcpus; ++id) lapic(id).write(0xe0, 0x0fffffff);
  lapic(0).write(0xd0, 0x11000000);
  lapic(1).write(0xd0, 0x12000000);
  lapic(2).write(0xd0, 0x21000000);
  EXPECT_EQ(send(0x13, true, 0x43), 0b011U);
  EXPECT_EQ(send(0x21, true, 0x43), 0b100U);
  EXPECT_EQ(send(0x23, true, 0x43), 0b100U);
}

TEST_F(MsiTest, X2ApicsHaveTheirLogicalIdFromTheirId) {
  for (unsigned id = 0; id < kVcpus; ++id) ASSERT_TRUE(lapic(id).write_msr(0x1b, lapic(id).base() | 0xc00));
  EXPECT_EQ(send(0b110, true, 0x44), 0b110U);
  EXPECT_EQ(send(1, false, 0x44), 0b010U);
}

TEST_F(MsiTest, TheLowestPriorityTakesIt) {
  for (unsigned id = 0; id < kVcpus; ++id) lapic(id).write(0xd0, 1U << (24 + id));
  lapic(0).set_cr8(3);
  lapic(1).set_cr8(1);
  lapic(2).set_cr8(2);
  EXPECT_EQ(send(0b111, true, kLowestPriority | 0x45), 0b010U);
  EXPECT_EQ(send(0b101, true, kLowestPriority | 0x45), 0b100U);
  lapic(2).write(0xf0, 0xff);  // switched off by software
  EXPECT_EQ(send(0b101, true, kLowestPriority | 0x45), 0b001U);
}

TEST_F(MsiTest, TheEndOfLevelTriggeredOnesIsTold) {
  EXPECT_EQ(send(1, false, 0x46), 0b010U);
  EXPECT_TRUE(ended_.empty());
  EXPECT_EQ(send(1, false, kLevel | 1U << 14 | 0x47), 0b010U);
  EXPECT_EQ(ended_, std::vector<uint8_t>{0x47});
}

TEST_F(MsiTest, AnIrqfdSendsItsMessage) {
  const Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const auto rings = [&](unsigned vcpu, uint8_t vector) {
    const uint64_t one = 1;
    EXPECT_EQ(::write(event.get(), &one, sizeof one), 8);
    for (int i = 0; i < 10'000 && !lapic(vcpu).deliverable(); ++i) ::usleep(1000);
    return lapic(vcpu).deliverable() && takers(vector) == 1U << vcpu;
  };
  ASSERT_TRUE(engine_->route_irqfd(30, event.get(), {0xfee01000, 0x48}));
  EXPECT_TRUE(rings(1, 0x48));
  // The same line, another message: the driver moved it.
  ASSERT_TRUE(engine_->route_irqfd(30, event.get(), {0xfee02000, 0x49}));
  EXPECT_TRUE(rings(2, 0x49));
  ASSERT_TRUE(engine_->remove_irqfd(30));
}

}  // namespace
}  // namespace proa::vmm::translator
