#include "vmm/devices/board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/devices/pit.h"
#include "vmm/devices/serial.h"

namespace proa::vmm {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Recorder : public InterruptSink {
 public:
  std::vector<std::string> events;
  void deliver(const Msi& msi) override { events.push_back(cat("msi ", msi.address & 0xfffff, " ", msi.data)); }
  void set_extint(bool level) override { events.emplace_back(level ? "intr" : "no intr"); }
  void routed(unsigned line, const Msi* msi) override {
    events.push_back(msi != nullptr ? cat("route ", line, " ", msi->data) : cat("no route ", line));
  }
  std::vector<std::string> take() { return std::exchange(events, {}); }
};

template <typename Device>
std::string saved(Device& device) {
  StateStream stream;
  device.transfer(stream);
  return stream.finish().value();
}
template <typename Device>
std::string load(Device& device, std::string_view state) {
  StateStream stream(state);
  device.transfer(stream);
  const auto done = stream.finish();
  return done ? "" : done.error().message();
}

class BoardTest : public testing::Test {
 protected:
  BoardTest() { EXPECT_TRUE(interrupts.attach(space)); }
  void redirect(unsigned line, uint64_t entry) {
    for (const unsigned half : {0u, 1u}) {
      space.mmio_write(kIoapicBase, 4, 0x10 + 2 * line + half);
      space.mmio_write(kIoapicBase + 0x10, 4, static_cast<uint32_t>(entry >> (32 * half)));
    }
    sink.take();
  }
  void initialise_pics() {
    for (const auto& [port, value] : {std::pair{0x20, 0x11},
                                      {0x21, 0x30},
                                      {0x21, 4},
                                      {0x21, 1},
                                      {0xa0, 0x11},
                                      {0xa1, 0x38},
                                      {0xa1, 2},
                                      {0xa1, 1},
                                      {0x21, 0},
                                      {0xa1, 0}})
      space.port_out(static_cast<uint16_t>(port), 1, static_cast<uint32_t>(value));
    sink.take();
  }
  IoSpace space;
  Recorder sink;
  Interrupts interrupts{sink};
};

TEST_F(BoardTest, NobodyAnswersAllOnes) {
  EXPECT_EQ(0xffffu, space.port_in(0x1234, 2));
  EXPECT_EQ(0xffffffffu, space.mmio_read(0xd0000000, 4));
  EXPECT_EQ(~0ULL, space.mmio_read(0xd0000000, 8));
  EXPECT_THAT(space.add_mmio(kIoapicBase + 0xfff, 2, interrupts).error().message(), HasSubstr("taken"));
}

TEST_F(BoardTest, EdgesBecomeMessages) {
  redirect(4, 0x0200000000000024);
  interrupts.set_line(4, true);
  interrupts.set_line(4, true);
  interrupts.set_line(4, false);
  interrupts.pulse(4);
  EXPECT_THAT(sink.take(), ElementsAre("msi 8192 16420", "msi 8192 16420"));
  redirect(4, 0x10024);
  interrupts.pulse(4);
  EXPECT_TRUE(sink.take().empty());
}

TEST_F(BoardTest, ALevelComesAgainUntilItFalls) {
  redirect(9, 0x8029);
  interrupts.set_line(9, true);
  interrupts.set_line(9, true);
  EXPECT_THAT(sink.take(), ElementsAre(HasSubstr("msi 0 ")));
  interrupts.end_of_interrupt(0x29);
  EXPECT_EQ(1u, sink.take().size());
  interrupts.set_line(9, false);
  interrupts.end_of_interrupt(0x29);
  EXPECT_TRUE(sink.take().empty());
}

TEST_F(BoardTest, ThePicsDeliverByPriority) {
  initialise_pics();
  interrupts.pulse(12);
  EXPECT_THAT(sink.take(), ElementsAre("intr"));
  interrupts.pulse(1);
  EXPECT_EQ(0x31, interrupts.acknowledge_extint());
  space.port_out(0x20, 1, 0x20);
  EXPECT_EQ(0x3c, interrupts.acknowledge_extint());
  interrupts.pulse(13);  // lower than 12, which is being served
  EXPECT_EQ("no intr", sink.take().back());
  space.port_out(0xa0, 1, 0x20);
  space.port_out(0x20, 1, 0x20);
  EXPECT_EQ(0x3d, interrupts.acknowledge_extint());
  EXPECT_EQ(0x20u, [&] {
    space.port_out(0xa0, 1, 0x0b);
    return space.port_in(0xa0, 1);
  }());
}

TEST_F(BoardTest, InterruptStateSurvives) {
  initialise_pics();
  redirect(5, 0x802a);
  interrupts.set_line(5, true);
  const std::string state = saved(interrupts);
  Recorder other_sink;
  Interrupts other(other_sink);
  EXPECT_EQ("", load(other, state));
  other.announce();
  EXPECT_THAT(other_sink.take(), testing::Contains(HasSubstr("route 5 ")));
  other.end_of_interrupt(0x2a);
  EXPECT_THAT(other_sink.take(), testing::Contains(HasSubstr("msi 0 ")));
  EXPECT_THAT(load(other, state.substr(0, 40)), HasSubstr("ends within interrupts"));
  EXPECT_THAT(load(other, state + "x"), HasSubstr("bytes too many"));
}

TEST_F(BoardTest, SerialTalksBothWays) {
  redirect(4, 0x24);
  std::string said;
  Serial serial(0x3f8, {&interrupts, 4}, [&](char c) { said += c; });
  int rooms = 0;
  serial.on_room = [&] { ++rooms; };
  ASSERT_TRUE(space.add_ports(0x3f8, Serial::kPorts, serial));
  for (const char c : std::string_view("hi")) space.port_out(0x3f8, 1, static_cast<uint8_t>(c));
  EXPECT_EQ("hi", said);
  EXPECT_EQ(0x60u, space.port_in(0x3fd, 1));
  space.port_out(0x3fc, 1, 8);
  space.port_out(0x3f9, 1, 1);
  EXPECT_EQ(64u, serial.input(std::string(100, 'x')));
  EXPECT_EQ(1u, sink.take().size());
  EXPECT_EQ(4u, space.port_in(0x3fa, 1));
  const std::string state = saved(serial);
  for (int i = 0; i < 64; ++i) EXPECT_EQ('x', static_cast<char>(space.port_in(0x3f8, 1)));
  EXPECT_EQ(1, rooms);
  EXPECT_EQ(0u, space.port_in(0x3fd, 1) & 1);
  EXPECT_EQ("", load(serial, state));
  EXPECT_EQ(1u, space.port_in(0x3fd, 1) & 1);
}

TEST_F(BoardTest, ThePitCountsTimeAndInterrupts) {
  const auto reactor = Reactor::create().value();
  FakeClock clock;
  const auto pit = Pit::create(*reactor, {&interrupts, 0}, clock).value();
  ASSERT_TRUE(pit->attach(space));
  space.port_out(0x61, 1, 1);
  space.port_out(0x43, 1, 0xb0);
  space.port_out(0x42, 1, 0xff);
  space.port_out(0x42, 1, 0xff);
  EXPECT_EQ(0u, space.port_in(0x61, 1) & 0x20);
  clock.advance(std::chrono::milliseconds(10));
  space.port_out(0x43, 1, 0x80);
  const uint32_t low = space.port_in(0x42, 1);
  EXPECT_EQ(0xffffu - 11931, low | space.port_in(0x42, 1) << 8);
  clock.advance(std::chrono::milliseconds(50));
  EXPECT_EQ(0x20u, space.port_in(0x61, 1) & 0x20);

  redirect(2, 0x30);
  space.port_out(0x43, 1, 0x34);
  space.port_out(0x40, 1, 100);
  space.port_out(0x40, 1, 0);
  clock.advance(std::chrono::milliseconds(1));
  reactor->turn(1000);
  EXPECT_EQ(1u, sink.take().size());
  pit->pause();
  const std::string state = saved(*pit);
  EXPECT_EQ("", load(*pit, state));
  pit->resume();
  reactor->turn(1000);
}

TEST_F(BoardTest, TheClockShowsAndKeepsTheTime) {
  FakeClock clock(parse_rfc3339("2026-11-23T17:45:59Z").value());
  Cmos cmos(clock, 256 << 20, 0);
  ASSERT_TRUE(cmos.attach(space));
  const auto read = [&](uint8_t index) {
    space.port_out(0x70, 1, index);
    return space.port_in(0x71, 1);
  };
  const auto write = [&](uint8_t index, uint8_t value) {
    space.port_out(0x70, 1, index);
    space.port_out(0x71, 1, value);
  };
  EXPECT_EQ(0x59u, read(0));
  EXPECT_EQ(0x17u, read(4));
  EXPECT_EQ(0x26u, read(9));
  EXPECT_EQ(0x20u, read(0x32));
  EXPECT_EQ(240u, read(0x34) * 65536u >> 20 | read(0x35) << 4);
  write(11, 0x82);
  write(4, 0x05);
  write(11, 0x02);
  EXPECT_EQ(0x05u, read(4));
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(0x46u, read(2));
  write(11, 0x06);
  EXPECT_EQ(46u, read(2));
}
TEST_F(BoardTest, AClockTakesNoTimeOfASavedStateItRefuses) {
  FakeClock clock(parse_rfc3339("2026-11-23T17:45:59Z").value());
  Cmos cmos(clock, 256 << 20, 0);
  std::string state = saved(cmos);
  state.replace(state.size() - 8, 8, std::string(7, '\0') + '\x80');  // the offset, the last of its fields
  EXPECT_NE("", load(cmos, state));
  cmos.out(0x70, 9);
  EXPECT_EQ(0x26u, cmos.in(0x71));
}

TEST_F(BoardTest, TheKeyboardResetsAndTypes) {
  std::vector<PowerEvent> events;
  const PowerHandler power = [&](PowerEvent event) { events.push_back(event); };
  KeyboardController keyboard({&interrupts, 1}, power);
  ASSERT_TRUE(keyboard.attach(space));
  PowerPorts ports(power);
  int status = 0;
  ASSERT_TRUE(ports.attach(space, [&](int value) { status = value; }));
  redirect(1, 0x21);
  space.port_out(0x64, 1, 0xaa);
  EXPECT_EQ(0x55u, space.port_in(0x60, 1));
  sink.take();
  keyboard.ctrl_alt_del();
  std::vector<uint32_t> codes;
  while ((space.port_in(0x64, 1) & 1) != 0) codes.push_back(space.port_in(0x60, 1));
  EXPECT_THAT(codes, ElementsAre(0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d));
  EXPECT_EQ(8u, sink.take().size());
  space.port_out(0x64, 1, 0xfe);
  space.port_out(PowerPorts::kReset, 1, 1);
  space.port_out(PowerPorts::kSleepControl, 1, 5 << 2 | 1 << 5);
  EXPECT_THAT(events, ElementsAre(PowerEvent::kReset, PowerEvent::kReset, PowerEvent::kOff));
  space.port_out(PowerPorts::kDebugExit, 1, 3);
  EXPECT_EQ(7, status);
}

}  // namespace
}  // namespace proa::vmm
