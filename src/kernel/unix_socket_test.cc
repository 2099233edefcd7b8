#include "kernel/unix_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "kernel/file.h"

namespace proa::kernel {
namespace {

using ::testing::HasSubstr;

struct Pair {
  Fd left, right;
};

Pair make_pair(int type = SOCK_STREAM) {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

bool same_file(int a, int b) {
  struct stat x{}, y{};
  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(PassingDescriptors, KeepsFileAndName) {
  const Pair sockets = make_pair();
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, 0), 0);
  const Fd reader(pipe_fds[0]), writer(pipe_fds[1]);
  ASSERT_TRUE(send_fd(sockets.left.get(), reader.get(), "/dev/ptmx"));
  const ReceivedFds received = recv_fds(sockets.right.get()).value();
  ASSERT_EQ(received.fds.size(), 1u);
  EXPECT_EQ(received.payload, "/dev/ptmx");
  EXPECT_TRUE(same_file(received.fds[0].get(), reader.get()));
  EXPECT_EQ(fcntl(received.fds[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST(PassingDescriptors, SeveralGoInOrder) {
  const Pair sockets = make_pair(SOCK_SEQPACKET);
  const Fd a = open("/dev/null", O_RDONLY).value();
  const Fd b = open("/dev/zero", O_RDONLY).value();
  const int fds[] = {a.get(), b.get()};
  ASSERT_TRUE(send_fds(sockets.left.get(), fds, "{}"));
  const ReceivedFds received = recv_fds(sockets.right.get()).value();
  ASSERT_EQ(received.fds.size(), 2u);
  EXPECT_TRUE(same_file(received.fds[0].get(), a.get()));
  EXPECT_TRUE(same_file(received.fds[1].get(), b.get()));
}

TEST(PassingDescriptors, OneIsExpected) {
  const Pair sockets = make_pair();
  ASSERT_TRUE(send_fds(sockets.left.get(), {}, "none"));
  EXPECT_THAT(recv_fd(sockets.right.get()).error().message(), HasSubstr("0 came"));
  const size_t before = open_descriptors();
  const int twice[] = {0, 0};
  ASSERT_TRUE(send_fds(sockets.left.get(), twice, "two"));
  EXPECT_THAT(recv_fd(sockets.right.get()).error().message(), HasSubstr("2 came"));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(PassingDescriptors, EndOfStreamIsAnError) {
  Pair sockets = make_pair();
  sockets.left.reset();
  EXPECT_EQ(recv_fd(sockets.right.get()).error().code(), ECONNRESET);
  EXPECT_EQ(send_fd(sockets.right.get(), 0, "x").error().code(), EPIPE);
}

TEST(PassingDescriptors, NeedsAPayload) {
  const Pair sockets = make_pair();
  EXPECT_EQ(send_fd(sockets.left.get(), 0, "").error().code(), EINVAL);
}

class ConnectUnix : public ::testing::TestWithParam<size_t> {};

TEST_P(ConnectUnix, ReachesPathsOfAnyLength) {
  const std::filesystem::path root = std::filesystem::temp_directory_path() / cat("proa-unix-", getpid());
  std::filesystem::path folder = root;
  while (folder.string().size() < GetParam()) folder /= "a-folder-name-to-make-it-long";
  std::filesystem::create_directories(folder);
  Defer remove([&] { std::filesystem::remove_all(root); });
  const Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd opened = open(folder.c_str(), O_PATH | O_DIRECTORY).value();
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/s", opened.get());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const Result<Fd> connected = connect_unix((folder / "s").string());
  EXPECT_TRUE(connected) << connected.error().message();
}

INSTANTIATE_TEST_SUITE_P(Lengths, ConnectUnix, ::testing::Values(1, 90, 104, 107, 200, 500));

TEST(ConnectUnixErrors, NameThePath) {
  const Result<Fd> missing = connect_unix("/nonexistent/console.sock");
  EXPECT_EQ(missing.error().message(), "connect to socket /nonexistent/console.sock: no such file or directory");
  EXPECT_FALSE(connect_unix(""));
  EXPECT_EQ(connect_unix("/" + std::string(300, 'x')).error().code(), ENAMETOOLONG);
}

}  // namespace
}  // namespace proa::kernel
