#include "vmm/host/guest_session.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "kernel/file.h"
#include "vmm/boot/cpio.h"
#include "vmm/host/guest_disk.h"

namespace proa::vmm {
namespace {

using guest::Entry;
using guest::Kind;

// Plays the guest: what it says is ready before the host listens.
class GuestSessionTest : public testing::Test {
 protected:
  GuestSessionTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    host = std::make_unique<GuestLink>(Fd(ends[0]));
    guest = std::make_unique<GuestLink>(Fd(ends[1]));
    char name[] = "/tmp/proa-guest-XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~GuestSessionTest() override { static_cast<void>(kernel::remove_tree(folder)); }

  void say(Kind kind, std::string_view payload = {}) { ASSERT_TRUE(guest->send(kind, payload)); }
  void say_entry(std::string_view name, uint32_t mode, uint64_t size = 0, std::string_view link = {}) {
    const Entry entry{.size = size, .seconds = 1000, .mode = mode};
    std::string payload(reinterpret_cast<const char*>(&entry), sizeof entry);
    payload += name;
    if (!link.empty()) (payload += '\0') += link;
    say(Kind::kEntry, payload);
  }
  std::string copy() {
    const auto done = copy_from_guest(*host, "/source", cat(folder, "/copy"));
    return done ? "" : done.error().message();
  }
  std::string read(std::string_view name) const {
    return kernel::read_file(cat(folder, "/copy", name).c_str()).value_or("none");
  }

  std::unique_ptr<GuestLink> host, guest;
  std::string folder;
};

TEST_F(GuestSessionTest, RelaysOutputAndTheStatus) {
  int out[2], error[2];
  ASSERT_EQ(::pipe2(out, O_CLOEXEC) | ::pipe2(error, O_CLOEXEC), 0);
  const Fd out_end(out[0]), error_end(error[0]);
  say(Kind::kOutput, "hello");
  say(Kind::kErrors, "wrong");
  const uint32_t status = 7;
  say(Kind::kExit, {reinterpret_cast<const char*>(&status), 4});
  const auto ran =
      run_in_guest(*host, {.args = {"ls", "-l"}, .env = {"A=b"}, .user = "ann"}, {.out = out[1], .error = error[1]});
  ASSERT_TRUE(ran) << ran.error().message();
  EXPECT_EQ(*ran, 7);
  ::close(out[1]), ::close(error[1]);
  EXPECT_EQ(kernel::read_all(out[0]).value(), "hello");
  EXPECT_EQ(kernel::read_all(error[0]).value(), "wrong");
  const auto start = guest->receive();
  ASSERT_TRUE(start);
  EXPECT_EQ(start->payload, std::string("do=exec\0arg=ls\0arg=-l\0env=A=b\0user=ann\0", 39));
}

TEST_F(GuestSessionTest, AFailureIsTheGuestsText) {
  say(Kind::kFail, "user: the guest has no ann");
  const auto ran = run_in_guest(*host, {.args = {"ls"}}, {});
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().message(), "guest: user: the guest has no ann");
}

TEST_F(GuestSessionTest, AnEndAndNonsenseAreErrors) {
  say(Kind::kGo);
  EXPECT_FALSE(run_in_guest(*host, {.args = {"ls"}}, {}));
  guest.reset();
  EXPECT_FALSE(run_in_guest(*host, {.args = {"ls"}}, {}));
}

TEST_F(GuestSessionTest, CopiesATree) {
  say_entry("", S_IFDIR | 0755);
  say_entry("file", S_IFREG | 04640, 5);
  say(Kind::kData, "he");
  say(Kind::kData, "llo");
  say_entry("link", S_IFLNK | 0777, 0, "file");
  say_entry("below", S_IFDIR | 0700);
  say_entry("below/empty", S_IFREG | 0600);
  say(Kind::kDone);
  ASSERT_EQ(copy(), "");
  EXPECT_EQ(read("/file"), "hello");
  EXPECT_EQ(read("/link"), "hello");
  EXPECT_EQ(read("/below/empty"), "");
  struct stat found{};
  ASSERT_EQ(::stat(cat(folder, "/copy/file").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0640u);
  EXPECT_EQ(found.st_mtime, 1000);
}

TEST_F(GuestSessionTest, NoNameLeadsOutOfTheCopy) {
  for (const std::string_view name : {"../out", "/out", "a/../../out", ".", "", "a//b"}) {
    say_entry("", S_IFDIR | 0755);
    say_entry(name, S_IFREG | 0644);
    say(Kind::kDone);
    EXPECT_NE(copy(), "") << name;
    while (host->receive().value().kind != Kind::kDone) {
    }
    EXPECT_FALSE(kernel::path_exists(cat(folder, "/out").c_str()));
  }
}

TEST_F(GuestSessionTest, NoLinkOfTheGuestsIsFollowed) {
  say_entry("", S_IFDIR | 0755);
  say_entry("link", S_IFLNK | 0777, 0, folder);
  say_entry("link/out", S_IFREG | 0644);
  EXPECT_NE(copy(), "");
  EXPECT_FALSE(kernel::path_exists(cat(folder, "/out").c_str()));
}

TEST_F(GuestSessionTest, ContentHasTheAnnouncedSize) {
  say_entry("", S_IFREG | 0644, 3);
  say(Kind::kData, "long");
  EXPECT_NE(copy(), "");
}

TEST_F(GuestSessionTest, TheDiskHoldsTheInitAndTheModulesThatAreThere) {
  const std::string kernel = cat(folder, "/vmlinuz"), modules = cat(folder, "/modules");
  ASSERT_TRUE(kernel::replace_file(kernel, "none", 0600));
  ASSERT_TRUE(kernel::make_dirs(modules + "/kernel/drivers/virtio", 0700));
  ASSERT_TRUE(kernel::replace_file(modules + "/kernel/drivers/virtio/virtio.ko", "module", 0600));
  const auto disk = make_guest_disk(kernel, modules);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_TRUE(disk->contains("proa/modules/virtio.ko"));
  EXPECT_TRUE(disk->contains("\177ELF"));
  EXPECT_FALSE(disk->contains("virtio_blk"));
  EXPECT_EQ(disk->size() % 512, 0u);
}

}  // namespace
}  // namespace proa::vmm
