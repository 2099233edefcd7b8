#include "vmm/devices/virtio/block.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/devices/virtio/driver_test.h"

namespace proa::vmm::virtio {

namespace {

constexpr uint64_t kDiskBytes = 64 * 512;
constexpr GuestAddress kHeader = TestDriver::kData, kStatus = kHeader + 32, kBuffer = TestDriver::kData + 0x1000;

// A disk file that goes with the test.
class Disk {
 public:
  Disk() {
    char name[] = "/tmp/proa-disk-XXXXXX";
    fd_ = Fd(::mkstemp(name));
    path_ = name;
    EXPECT_EQ(0, ::ftruncate(fd_.get(), kDiskBytes));
  }
  ~Disk() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  std::string read(uint64_t at, size_t size) const {
    std::string text(size, '\0');
    EXPECT_EQ(static_cast<ssize_t>(size), ::pread(fd_.get(), text.data(), size, static_cast<off_t>(at)));
    return text;
  }
  void write(uint64_t at, std::string_view text) const {
    EXPECT_EQ(static_cast<ssize_t>(text.size()), ::pwrite(fd_.get(), text.data(), text.size(), static_cast<off_t>(at)));
  }

 private:
  Fd fd_;
  std::string path_;
};

class BlockTest : public testing::TestWithParam<bool> {
 protected:
  void start(BlockOptions options = {}) {
    options.path = disk.path();
    options.async = GetParam();
    options.serial = "proa-disk";
    block = Block::open(std::move(options)).value();
    driver.emplace(*block);
  }
  ~BlockTest() override { driver->transport.reset(); }
  // Submits and gives the status byte.
  int request(uint32_t type, uint64_t sector, std::vector<TestDriver::Part> data) {
    driver->memory->store(kHeader, type);
    driver->memory->store(kHeader + 8, sector);
    driver->memory->store<uint8_t>(kStatus, 0xee);
    data.insert(data.begin(), {kHeader, 16, false});
    data.push_back({kStatus, 1, true});
    driver->offer(0, data);
    driver->notify(0);
    EXPECT_GE(driver->wait_completed(0), 1);
    return *driver->memory->load<uint8_t>(kStatus);
  }
  int range(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags) {
    driver->memory->store(kBuffer, sector);
    driver->memory->store(kBuffer + 8, count);
    driver->memory->store(kBuffer + 12, flags);
    return request(type, 0, {{kBuffer, 16, false}});
  }
  Disk disk;
  std::unique_ptr<Block> block;
  std::optional<TestDriver> driver;
};

TEST_P(BlockTest, ReadsAndWrites) {
  start();
  disk.write(512, "from the disk");
  EXPECT_EQ(0, request(0, 1, {{kBuffer, 512, true}, {kBuffer + 4096, 1024, true}}));
  EXPECT_EQ("from the disk", driver->get(kBuffer, 13));
  driver->put(kBuffer, std::string(512, 'w'));
  EXPECT_EQ(0, request(1, 63, {{kBuffer, 256, false}, {kBuffer + 256, 256, false}}));
  EXPECT_EQ(std::string(512, 'w'), disk.read(63 * 512, 512));
  EXPECT_EQ(0, request(4, 0, {}));
  EXPECT_EQ(0, request(8, 0, {{kBuffer, 20, true}}));
  EXPECT_STREQ("proa-disk", driver->get(kBuffer, 20).c_str());
  EXPECT_EQ(1u, block->counts().writes);
  EXPECT_EQ(1u, block->counts().flushes);
}

TEST_P(BlockTest, DiscardsAndZeroes) {
  start();
  disk.write(0, std::string(kDiskBytes, 'x'));
  EXPECT_EQ(0, range(11, 8, 8, 0));
  EXPECT_EQ(std::string(4096, '\0'), disk.read(4096, 4096));
  EXPECT_EQ(0, range(13, 1, 1, 0));
  EXPECT_EQ(std::string(512, '\0') + "x", disk.read(512, 513));
  EXPECT_EQ(0, range(13, 32, 1, 1));
  EXPECT_EQ(std::string(512, '\0'), disk.read(32 * 512, 512));
}

TEST_P(BlockTest, KeepsToTheDisk) {
  start();
  EXPECT_EQ(1, request(0, 64, {{kBuffer, 512, true}}));
  EXPECT_EQ(1, request(0, 63, {{kBuffer, 1024, true}}));
  EXPECT_EQ(1, request(1, ~0ULL, {{kBuffer, 512, false}}));
  EXPECT_EQ(1, request(0, 0, {{kBuffer, 100, true}}));
  EXPECT_EQ(1, range(11, 60, 8, 0));
  EXPECT_EQ(1, range(13, 0, ~0u, 0));
  EXPECT_EQ(2, range(13, 0, 1, 4));
  EXPECT_EQ(2, request(99, 0, {}));
  EXPECT_EQ(kDiskBytes, disk.read(0, kDiskBytes).size());
}

TEST_P(BlockTest, ReadOnlyIsReadOnly) {
  start({.path = {}, .serial = {}, .read_only = true, .rate = {}});
  EXPECT_EQ(1, request(1, 0, {{kBuffer, 512, false}}));
  EXPECT_EQ(1, range(11, 0, 8, 0));
  EXPECT_EQ(0, request(0, 0, {{kBuffer, 512, true}}));
}

TEST_P(BlockTest, ARequestWithoutAPlaceForItsStatusBreaksTheDevice) {
  start();
  driver->offer(0, {{kHeader, 16, false}});
  driver->notify(0);
  EXPECT_TRUE(driver->needs_reset());
}

TEST_P(BlockTest, AResetWaitsForWhatIsOnItsWay) {
  start();
  driver->memory->store<uint32_t>(kHeader, 0);
  driver->memory->store<uint64_t>(kHeader + 8, 0);
  driver->offer(0, {{kHeader, 16, false}, {kBuffer, 4096, true}, {kStatus, 1, true}});
  driver->notify(0);
  driver->set_up();
  EXPECT_EQ(0, request(0, 0, {{kBuffer, 512, true}}));
}

TEST_P(BlockTest, SoDoesADriverThatGivesUp) {
  start();
  driver->memory->store<uint32_t>(kHeader, 0);
  driver->memory->store<uint64_t>(kHeader + 8, 0);
  driver->offer(0, {{kHeader, 16, false}, {kBuffer, 4096, true}, {kStatus, 1, true}});
  driver->notify(0);
  driver->write(0x70, 0x8f);
  EXPECT_EQ(4097, driver->completed(0));
  driver->set_up();
  EXPECT_EQ(0, request(0, 0, {{kBuffer, 512, true}}));
  EXPECT_EQ(-1, driver->completed(0));
}

TEST_P(BlockTest, TheDiskMayBeReplaced) {
  start();
  Disk other;
  other.write(0, "another");
  ASSERT_TRUE(block->replace(other.path()));
  EXPECT_EQ(0, request(0, 0, {{kBuffer, 512, true}}));
  EXPECT_EQ("another", driver->get(kBuffer, 7));
  EXPECT_NE(0u, driver->read(0x60) & 2);
  EXPECT_THAT(block->replace("/nowhere").error().message(), testing::HasSubstr("disk /nowhere: "));
}

INSTANTIATE_TEST_SUITE_P(Backends, BlockTest, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Uring" : "Thread"; });

}  // namespace
}  // namespace proa::vmm::virtio
