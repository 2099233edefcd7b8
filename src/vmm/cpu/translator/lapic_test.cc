#include "vmm/cpu/translator/lapic.h"

#include <gtest/gtest.h>

#include <vector>

namespace proa::vmm::translator {
namespace {

class LapicTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(lapic_.write_msr(0x80f, 0x1ff)); }
  static Lapic make(LapicTest& test) {
    return Lapic(0, 1'000'000,  // a TSC of 1 GHz, as fast as the timer
                 {.send = [&test](const Message& m) { test.sent_.push_back(m); },
                  .end_of_interrupt = [&test](uint8_t vector) { test.ended_.push_back(vector); },
                  .wake = [](uint8_t) {},
                  .tsc = [&test] { return test.now_; },
                  .arm = [&test](uint64_t at) { test.armed_ = at; }});
  }
  LapicTest() : lapic_(make(*this)) { static_cast<void>(lapic_.write_msr(0x1b, 0xfee00d00)); }

  uint64_t now_ = 1000, armed_ = 0;
  std::vector<Message> sent_;
  std::vector<uint8_t> ended_;
  Lapic lapic_;
};

TEST_F(LapicTest, TheHighestVectorComesFirstAndHoldsOffLowerOnes) {
  lapic_.accept(0x41, false);
  lapic_.accept(0x55, false);
  EXPECT_EQ(lapic_.acknowledge(), 0x55);
  EXPECT_FALSE(lapic_.deliverable());
  ASSERT_TRUE(lapic_.write_msr(0x80b, 0));
  EXPECT_EQ(lapic_.acknowledge(), 0x41);
}

TEST_F(LapicTest, TheTaskPriorityHoldsOffItsClass) {
  lapic_.set_cr8(5);
  lapic_.accept(0x55, false);
  EXPECT_FALSE(lapic_.deliverable());
  lapic_.set_cr8(4);
  EXPECT_TRUE(lapic_.deliverable());
}

TEST_F(LapicTest, TheEndOfLevelTriggeredInterruptsIsTold) {
  lapic_.accept(0x61, true);
  lapic_.accept(0x62, false);
  static_cast<void>(lapic_.acknowledge());
  ASSERT_TRUE(lapic_.write_msr(0x80b, 0));
  static_cast<void>(lapic_.acknowledge());
  ASSERT_TRUE(lapic_.write_msr(0x80b, 0));
  EXPECT_EQ(ended_, std::vector<uint8_t>{0x61});
}

TEST_F(LapicTest, TheDeadlineComesOnce) {
  ASSERT_TRUE(lapic_.write_msr(0x832, 0x40040));
  ASSERT_TRUE(lapic_.write_msr(0x6e0, 5000));
  EXPECT_EQ(armed_, 5000U);
  now_ = 4999;
  lapic_.tick();
  EXPECT_FALSE(lapic_.deliverable());
  now_ = 5000;
  lapic_.tick();
  EXPECT_EQ(lapic_.acknowledge(), 0x40);
  EXPECT_EQ(*lapic_.read_msr(0x6e0), 0U);
}

TEST_F(LapicTest, ThePeriodicTimerKeepsItsBeat) {
  ASSERT_TRUE(lapic_.write_msr(0x83e, 0xb));  // divide by one
  ASSERT_TRUE(lapic_.write_msr(0x832, 0x20040));
  ASSERT_TRUE(lapic_.write_msr(0x838, 100));
  EXPECT_EQ(armed_, 1100U);
  now_ = 1350;  // late: what was missed is not made up for
  lapic_.tick();
  EXPECT_EQ(armed_, 1400U);
  EXPECT_EQ(*lapic_.read_msr(0x839), 50U);
}

TEST_F(LapicTest, ATimerThatHasRunOutStaysSoInAnotherMode) {
  ASSERT_TRUE(lapic_.write_msr(0x83e, 0xb));
  ASSERT_TRUE(lapic_.write_msr(0x832, 0x40));
  ASSERT_TRUE(lapic_.write_msr(0x838, 100));
  now_ = 1200;
  EXPECT_EQ(*lapic_.read_msr(0x839), 0U);
  ASSERT_TRUE(lapic_.write_msr(0x832, 0x20040));
  lapic_.tick();
  EXPECT_EQ(*lapic_.read_msr(0x839), 0U);
  EXPECT_EQ(lapic_.acknowledge(), 0x40);
}

TEST_F(LapicTest, CommandsGoOutWithTheirDestination) {
  ASSERT_TRUE(lapic_.write_msr(0x830, 0x0000'0003'0000'0044));
  ASSERT_EQ(sent_.size(), 1U);
  EXPECT_EQ(sent_[0].destination, 3U);
  EXPECT_EQ(sent_[0].vector, 0x44);
}

TEST_F(LapicTest, StateSurvives) {
  lapic_.accept(0x71, true);
  lapic_.set_cr8(3);
  CpuState state;
  lapic_.save(state);
  Lapic other = make(*this);
  other.restore(state);
  EXPECT_EQ(other.acknowledge(), 0x71);
  EXPECT_EQ(other.cr8(), 3);
}

TEST_F(LapicTest, ReservedRegistersFault) {
  EXPECT_FALSE(lapic_.read_msr(0x804));
  EXPECT_FALSE(lapic_.write_msr(0x83f, 0x100));
  EXPECT_FALSE(lapic_.write_msr(0x80b, 1));
}

}  // namespace
}  // namespace proa::vmm::translator
