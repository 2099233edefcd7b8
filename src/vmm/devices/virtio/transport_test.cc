#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/devices/virtio/driver_test.h"
#include "vmm/devices/virtio/rng.h"

namespace proa::vmm::virtio {

namespace {

class TransportTest : public testing::Test {
 protected:
  FakeClock clock;
  Rng rng{{.bandwidth = {}, .operations = {.size = 4, .one_time_burst = 0, .refill_ms = 1}}, clock};
  TestDriver driver{rng};
  // A request of one writable buffer.
  void ask(uint16_t first = 0, uint32_t size = 32) { driver.offer(0, {{TestDriver::kData, size, true}}, first); }
};

TEST_F(TransportTest, TellsWhatItIs) {
  EXPECT_EQ(0x74726976u, driver.read(0));
  EXPECT_EQ(2u, driver.read(4));
  EXPECT_EQ(4u, driver.read(8));
  EXPECT_EQ(15u, driver.read(0x70));
  driver.write(0x30, 0);
  EXPECT_EQ(256u, driver.read(0x34));
  driver.write(0x30, 1);
  EXPECT_EQ(0u, driver.read(0x34));
}

TEST_F(TransportTest, ServesRequestsAndInterrupts) {
  ask();
  driver.notify(0);
  EXPECT_EQ(32, driver.completed(0));
  EXPECT_NE(std::string(32, '\0'), driver.get(TestDriver::kData, 32));
  EXPECT_EQ(1u, driver.sink.delivered);
  EXPECT_EQ(1u, driver.read(0x60));
  driver.write(0x64, 1);
  EXPECT_EQ(0u, driver.read(0x60));
}

TEST_F(TransportTest, RefusesFeaturesItDidNotOffer) {
  for (const uint32_t value : {0u, 1u, 3u}) driver.write(0x70, value);
  driver.write(0x24, 1);
  driver.write(0x20, 1);
  driver.write(0x24, 0);
  driver.write(0x20, 1u << 5);
  driver.write(0x70, 11);
  EXPECT_EQ(3u, driver.read(0x70));
}

TEST_F(TransportTest, FollowsIndirectTables) {
  const GuestAddress table = TestDriver::kData + 0x1000;
  for (uint64_t i = 0; i < 2; ++i) {
    driver.memory->store<uint64_t>(table + 16 * i, TestDriver::kData + 0x100 * i);
    driver.memory->store<uint32_t>(table + 16 * i + 8, 8);
    driver.memory->store<uint16_t>(table + 16 * i + 12, i == 0 ? 3 : 2);
    driver.memory->store<uint16_t>(table + 16 * i + 14, 1);
  }
  driver.descriptor(0, 0, table, 32, TestDriver::kIndirect, 0);
  driver.make_available(0, 0);
  driver.notify(0);
  EXPECT_EQ(16, driver.completed(0));
}

// What a hostile driver may write; each must leave a device that wants a reset, and works after it.
TEST_F(TransportTest, BreaksOnImpossibleRings) {
  const std::vector<std::function<void()>> crimes = {
      [&] { driver.offer(0, {{TestDriver::kMemory - 8, 16, true}}); },
      [&] { driver.offer(0, {{~0ULL - 4, 16, true}}); },
      [&] { driver.make_available(0, 16); },
      [&] {
        driver.available[0] = 100;
        ask();
      },
      [&] {
        driver.descriptor(0, 0, TestDriver::kData, 8, 3, 0);
        driver.make_available(0, 0);
      },
      [&] {
        driver.descriptor(0, 0, TestDriver::kData, 8, TestDriver::kIndirect, 0);
        driver.make_available(0, 0);
      },
      [&] {  // a table within a table
        driver.memory->store<uint64_t>(TestDriver::kData, TestDriver::kData);
        driver.memory->store<uint32_t>(TestDriver::kData + 8, 16);
        driver.memory->store<uint16_t>(TestDriver::kData + 12, 4);
        driver.descriptor(0, 0, TestDriver::kData, 16, TestDriver::kIndirect, 0);
        driver.make_available(0, 0);
      },
      [&] { driver.offer(0, {{TestDriver::kData, 8, true}, {TestDriver::kData, 8, false}}); },
  };
  for (size_t i = 0; i < crimes.size(); ++i) {
    SCOPED_TRACE(i);
    driver.set_up();
    crimes[i]();
    driver.notify(0);
    EXPECT_TRUE(driver.needs_reset());
    EXPECT_EQ(-1, driver.completed(0));
    driver.set_up();
    clock.advance(std::chrono::seconds(1));
    ask();
    driver.notify(0);
    EXPECT_EQ(32, driver.completed(0));
  }
}

TEST_F(TransportTest, RefusesQueuesOutsideMemory) {
  for (const uint32_t value : {0u, 1u, 3u}) driver.write(0x70, value);
  driver.write(0x24, 1);
  driver.write(0x20, 1);
  driver.write(0x70, 11);
  driver.write(0x30, 0);
  driver.write(0x38, 256);
  driver.write(0x80, TestDriver::kMemory - 16);
  driver.write(0x44, 1);
  EXPECT_EQ(0u, driver.read(0x44));
  EXPECT_TRUE(driver.needs_reset());
}

TEST_F(TransportTest, TheRateIsKept) {
  for (uint16_t i = 0; i < 6; ++i) ask(i);
  driver.notify(0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(32, driver.completed(0));
  EXPECT_EQ(-1, driver.completed(0));
  clock.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(32, driver.wait_completed(0));
  EXPECT_EQ(32, driver.wait_completed(0));
}

TEST_F(TransportTest, StateMovesToAnotherDevice) {
  ask();
  driver.notify(0);
  EXPECT_EQ(32, driver.completed(0));
  driver.transport->pause();
  ask(1);
  driver.notify(0);
  EXPECT_EQ(-1, driver.completed(0));
  StateStream out;
  driver.transport->transfer(out);
  const std::string state = out.finish().value();

  Rng other;
  driver.transport = std::make_unique<Transport>(other, *driver.memory, *driver.reactor, Line{&driver.board, 5});
  StateStream in(state);
  driver.transport->transfer(in);
  EXPECT_TRUE(in.finish());
  driver.transport->resume();
  EXPECT_EQ(32, driver.completed(0));
  for (size_t cut = 0; cut < state.size(); ++cut) {  // a damaged file is an error
    StateStream bad(std::string_view(state).substr(0, cut));
    driver.transport->transfer(bad);
    EXPECT_FALSE(bad.finish());
  }
}

TEST(RateLimiter, SpendsItsBurstOnceAndRefills) {
  FakeClock clock;
  RateLimiter limiter({.bandwidth = {.size = 1000, .one_time_burst = 500, .refill_ms = 100}, .operations = {}}, clock);
  EXPECT_FALSE(limiter.admit(1500));
  const auto wait = limiter.admit(100);
  ASSERT_TRUE(wait);
  EXPECT_NEAR(10e6, static_cast<double>(wait->count()), 1000);
  clock.advance(*wait);
  EXPECT_FALSE(limiter.admit(100));
  clock.advance(std::chrono::seconds(10));
  EXPECT_FALSE(limiter.admit(5000));  // more than the bucket holds: allowed once it is full, then paid off
  clock.advance(std::chrono::milliseconds(300));
  EXPECT_TRUE(limiter.admit(100));
}

}  // namespace
}  // namespace proa::vmm::virtio
