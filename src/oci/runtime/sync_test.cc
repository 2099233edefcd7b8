#include "oci/runtime/sync.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <vector>

#include "kernel/file.h"

namespace proa::oci::runtime {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class SyncTest : public testing::Test {
 protected:
  SyncTest() {
    auto [ours, theirs] = Sync::make_pair().value();
    runtime = std::move(ours);
    child = std::move(theirs);
  }
  Error told(const Error& error) const {
    child.send_error(error);
    auto message = runtime.expect('M');
    EXPECT_FALSE(message);
    return message ? Error("none") : message.error();
  }
  static ino_t inode(int fd) { return kernel::stat_fd(fd).value().st_ino; }

  Sync runtime, child;
};

TEST_F(SyncTest, MessagesKeepTheirBoundsAndOrder) {
  ASSERT_TRUE(child.send('H'));
  ASSERT_TRUE(child.send('M', std::string("a\0\nb", 4)));
  EXPECT_EQ(runtime.expect('H').value().body, "");
  const Message second = runtime.receive().value();
  EXPECT_EQ(second.kind, 'M');
  EXPECT_EQ(second.body, std::string("a\0\nb", 4));
  ASSERT_TRUE(runtime.send('k'));
  EXPECT_TRUE(child.expect('k'));
}

TEST_F(SyncTest, DescriptorsComeAlong) {
  const Fd first = kernel::open("/", O_PATH).value();
  const Fd second = kernel::open("/proc", O_PATH).value();
  const std::array fds{first.get(), second.get()};
  ASSERT_TRUE(child.send('T', "x", fds));
  const Message message = runtime.expect('T').value();
  ASSERT_EQ(message.fds.size(), 2u);
  EXPECT_EQ(inode(message.fds[0].get()), inode(first.get()));
  EXPECT_EQ(inode(message.fds[1].get()), inode(second.get()));
  EXPECT_EQ(::fcntl(message.fds[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(message.body, "x");
}

TEST_F(SyncTest, DescriptorsNobodyWaitsForAreClosed) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  const Fd read(fds[0]);
  Fd write(fds[1]);
  const int number = write.get();
  ASSERT_TRUE(child.send('T', {}, {&number, 1}));
  write.reset();
  EXPECT_FALSE(runtime.expect('M'));
  char byte = 0;
  EXPECT_EQ(::read(read.get(), &byte, 1), 0) << "somebody still holds the other end";
}

TEST_F(SyncTest, MoreDescriptorsThanAMessageHolds) {
  const Fd root = kernel::open("/", O_PATH).value();
  const std::vector<int> many(33, root.get());
  EXPECT_EQ(child.send('T', {}, many).error().code(), EMSGSIZE);
  ASSERT_TRUE(child.send('H'));
  EXPECT_TRUE(runtime.expect('H'));
}

TEST_F(SyncTest, PeerThatIsGone) {
  child.close();
  EXPECT_EQ(runtime.receive().value().kind, 0);
  EXPECT_THAT(runtime.expect('M').error().message(), HasSubstr("ended before it was set up"));
  EXPECT_EQ(runtime.send('k').error().code(), EPIPE) << "and no signal";
}

TEST_F(SyncTest, UnexpectedMessage) {
  ASSERT_TRUE(child.send('X'));
  EXPECT_THAT(runtime.expect('M').error().message(), HasSubstr("unexpected message X"));
}

TEST_F(SyncTest, ErrorKeepsCodeAndHint) {
  const Error error = told(Error("mounts[3] (/data): no such device", ENODEV).hint("load the module"));
  EXPECT_EQ(error.message(), "mounts[3] (/data): no such device");
  EXPECT_EQ(error.code(), ENODEV);
  EXPECT_EQ(error.hint(), "load the module");
  EXPECT_EQ(told(Error("plain")).hint(), "");
  EXPECT_EQ(told(Error("plain")).code(), 0);
  EXPECT_EQ(told(Error("")).message(), "");
}

TEST_F(SyncTest, ErrorMayHaveLines) {
  const Error error = told(Error("path /a\nb: no", ENOENT).hint("one\ntwo"));
  EXPECT_EQ(error.message(), "path /a\nb: no");
  EXPECT_EQ(error.hint(), "one\ntwo");
}

TEST_F(SyncTest, LongErrorIsCutNotLost) {
  const Error error = told(Error(cat("mounts[0]: ", std::string(100'000, 'm')), EIO).hint(std::string(100'000, 'h')));
  EXPECT_THAT(error.message(), StartsWith("mounts[0]: mmmm"));
  EXPECT_THAT(error.hint(), StartsWith("hhhh"));
  EXPECT_EQ(error.code(), EIO);
}

TEST_F(SyncTest, LongMessageIsRefusedNotCut) {
  const std::string fits(65000, 'x'), large(100'000, 'x');
  ASSERT_TRUE(child.send('M', fits));
  EXPECT_EQ(runtime.expect('M').value().body, fits);
  EXPECT_EQ(child.send('M', large).error().code(), EMSGSIZE);
  // From a peer that does not keep to it.
  ASSERT_EQ(::send(child.fd(), large.data(), large.size(), 0), static_cast<ssize_t>(large.size()));
  EXPECT_EQ(runtime.receive().error().code(), EMSGSIZE);
}

TEST(DecodeError, TakesWhateverComes) {
  EXPECT_EQ(decode_error("").message(), "");
  EXPECT_EQ(decode_error("text without a number").code(), 0);
  EXPECT_EQ(decode_error("5").code(), 5);
}

}  // namespace
}  // namespace proa::oci::runtime
