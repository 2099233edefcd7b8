#include "vmm/memory/guest_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

namespace proa::vmm {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

SlotPlan plan(GuestAddress base, uint64_t size) {
  SlotPlan made;
  made.base = base;
  made.size = size;
  return made;
}

std::unique_ptr<GuestMemory> two_slots() {
  std::vector<SlotPlan> plans;
  plans.push_back(plan(0x100000, 0x10000));
  plans.push_back(plan(0, 0x8000));
  return GuestMemory::create(std::move(plans)).value();
}

std::string refusal(std::vector<SlotPlan> plans) {
  auto made = GuestMemory::create(std::move(plans));
  return made ? "" : made.error().message();
}

TEST(GuestMemory, RefusesBadPlans) {
  std::vector<SlotPlan> overlapping;
  overlapping.push_back(plan(0, 0x2000));
  overlapping.push_back(plan(0x1000, 0x1000));
  EXPECT_THAT(refusal(std::move(overlapping)), HasSubstr("overlap"));
  std::vector<SlotPlan> crooked;
  crooked.push_back(plan(0x10, 0x1000));
  EXPECT_THAT(refusal(std::move(crooked)), HasSubstr("not made of pages"));
  std::vector<SlotPlan> far;
  far.push_back(plan(~0xfffULL, 0x1000));
  EXPECT_THAT(refusal(std::move(far)), HasSubstr("beyond"));
}

TEST(GuestMemory, ReachesOnlyWhatIsWhollyInOneSlot) {
  const auto memory = two_slots();
  EXPECT_EQ(0x18000u, memory->size());
  EXPECT_EQ(0u, memory->slots()[0].base);
  EXPECT_TRUE(memory->store<uint64_t>(0x7ff8, 7));
  EXPECT_EQ(7u, memory->load<uint64_t>(0x7ff8));
  EXPECT_FALSE(memory->store<uint64_t>(0x7ff9, 7));
  EXPECT_FALSE(memory->load<uint8_t>(0x8000).has_value());
  EXPECT_EQ(nullptr, memory->at(0x100000, ~0ULL));
  EXPECT_EQ(nullptr, memory->at(~0ULL, 2));
  EXPECT_NE(nullptr, memory->at(0x100000, 0x10000));
  EXPECT_EQ(nullptr, memory->at(0x100000, 0x10001));
}

TEST(GuestMemory, TellsWhichPagesDevicesWrote) {
  const auto memory = two_slots();
  memory->store<uint8_t>(0, 1);
  EXPECT_TRUE(memory->take_dirty().empty());
  memory->track_dirty(true);
  memory->store<uint16_t>(0x1fff, 1);
  memory->note_write(0x10f000, 1);
  EXPECT_THAT(memory->take_dirty(), ElementsAre(0x1000, 0x2000, 0x10f000));
  EXPECT_TRUE(memory->take_dirty().empty());
  memory->store<uint8_t>(0, 1);
  memory->track_dirty(false);
  EXPECT_TRUE(memory->take_dirty().empty());
}

TEST(GuestMemory, TellsOfOverwrittenCode) {
  const auto memory = two_slots();
  std::vector<GuestAddress> told;
  memory->on_code_write = [&](GuestAddress page) { told.push_back(page); };
  memory->mark(memory->slots()[1], 1).fetch_or(kCode);
  memory->store<uint32_t>(0x100ffe, 0);
  memory->store<uint32_t>(0x102000, 0);
  EXPECT_THAT(told, ElementsAre(0x101000));
}

TEST(GuestMemory, MapsAFilePrivately) {
  Fd file(::memfd_create("snapshot", MFD_CLOEXEC));
  ASSERT_EQ(0, ::ftruncate(file.get(), 0x3000));
  const char text[] = "kept";
  ASSERT_EQ(5, ::pwrite(file.get(), text, 5, 0x1000));
  std::vector<SlotPlan> plans;
  plans.push_back(plan(0, 0x2000));
  plans[0].file = Fd(::dup(file.get()));
  plans[0].file_offset = 0x1000;
  const auto memory = GuestMemory::create(std::move(plans)).value();
  EXPECT_STREQ("kept", reinterpret_cast<const char*>(memory->at(0, 5)));
  EXPECT_TRUE(memory->write(0, "lost", 5));
  char still[5];
  ASSERT_EQ(5, ::pread(file.get(), still, 5, 0x1000));
  EXPECT_STREQ("kept", still);

  std::vector<SlotPlan> longer;
  longer.push_back(plan(0, 0x4000));
  longer[0].file = Fd(::dup(file.get()));
  EXPECT_THAT(refusal(std::move(longer)), HasSubstr("16384 at 0 are expected"));
}

TEST(GuestMemory, KeepsReadOnlySlots) {
  std::vector<SlotPlan> plans;
  plans.push_back(plan(0, 0x1000));
  plans[0].read_only = true;
  const auto memory = GuestMemory::create(std::move(plans)).value();
  EXPECT_FALSE(memory->store<uint8_t>(0, 1));
  EXPECT_EQ(0, memory->load<uint8_t>(0));
}

}  // namespace
}  // namespace proa::vmm
