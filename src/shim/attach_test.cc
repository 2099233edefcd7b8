#include "shim/attach.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

namespace proa::shim {
namespace {

// Attach with clients on socket pairs and an input that is a pipe; turn() is the event loop.
class AttachTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(poller_.open());
    ASSERT_EQ(0, sys::pipe(pipe_));
    sys::set_nonblocking(pipe_[0]);
    sys::set_nonblocking(pipe_[1]);
    input_.open(pipe_[1], false, once_);
  }
  void TearDown() override {
    attach_->close_all();
    sys::close(pipe_[0]);
  }

  int connect(const std::string& hello, const char* answer = "ok\n") {
    int ends[2];
    EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    attach_->add(ends[0]);
    write(ends[1], hello);
    turn();
    EXPECT_EQ(answer, read(ends[1]));
    return ends[1];
  }
  void turn() {
    epoll_event events[16];
    for (long count; (count = poller_.wait(events, 16, 0)) > 0 && turns_++ < 100'000;) {
      for (long i = 0; i < count; ++i) {
        const uint64_t tag = events[i].data.u64;
        if (tag == kInput && input_.flush())
          attach_->on_input_free();
        else if (tag >= kFirstAttached)
          attach_->on_event(static_cast<unsigned>(tag - kFirstAttached), events[i].events);
      }
    }
    ASSERT_LT(turns_, 100'000) << "the loop spins";
  }
  static void write(int fd, std::string_view text) { ASSERT_EQ(0, sys::write_all(fd, text.data(), text.size())); }
  // What is there now.
  static std::string read(int fd) {
    std::string text;
    char bytes[65536];
    for (long got; (got = sys::receive(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;)
      text.append(bytes, static_cast<size_t>(got));
    return text;
  }
  std::string read_input() {
    std::string text;
    char bytes[65536];
    for (long got; (got = sys::read(pipe_[0], bytes, sizeof bytes)) > 0;) text.append(bytes, static_cast<size_t>(got));
    return text;
  }
  static bool ended(int fd) {
    char byte;
    return sys::receive(fd, &byte, 1, MSG_DONTWAIT) == 0;
  }
  static std::string frame(char stream, std::string_view text) {
    std::string head = {stream, 0, 0, 0, 0, 0, static_cast<char>(text.size() >> 8), static_cast<char>(text.size())};
    return head + std::string(text);
  }

  bool once_ = false;
  int turns_ = 0;
  int pipe_[2];
  Poller poller_;
  Input input_{poller_};
  std::unique_ptr<Attach> attach_ = std::make_unique<Attach>(poller_, input_);
};

TEST_F(AttachTest, EachGetsTheStreamsItAskedFor) {
  const int both = connect("attach\n"), err = connect("attach stderr raw\n"), end = connect("attach stdout exit\n");
  attach_->deliver(Stream::out, "out");
  attach_->deliver(Stream::err, "err");
  attach_->deliver(Stream::result, "{}\n");
  EXPECT_EQ(frame(1, "out") + frame(2, "err"), read(both));
  EXPECT_EQ("err", read(err));
  EXPECT_EQ(frame(1, "out") + frame(3, "{}\n"), read(end));
  EXPECT_EQ(3u, attach_->count());
  attach_->close_all();
  EXPECT_TRUE(ended(both) && ended(err) && ended(end));
  for (const int fd : {both, err, end}) sys::close(fd);
}

TEST_F(AttachTest, RefusesAndCloses) {
  const int fd = connect("attach everything\n", "error: attach: unknown word 'everything'\n");
  EXPECT_TRUE(ended(fd));
  sys::close(fd);
  const int longest = connect(std::string(500, 'x'), "error: the first line is too long\n");
  sys::close(longest);
}

TEST_F(AttachTest, HelloInPiecesAndInputBehindIt) {
  const int fd = connect("att", "");
  write(fd, "ach stdin\nhello");
  turn();
  EXPECT_EQ("ok\n", read(fd));
  EXPECT_EQ("hello", read_input());
  sys::close(fd);
}

TEST_F(AttachTest, SlowClientHoldsUpUntilItReads) {
  const int slow = connect("attach stdout raw patience=forever\n"), quick = connect("attach stdout raw\n");
  const std::string chunk(65536, 'x');
  size_t sent = 0;
  while (!attach_->busy()) {
    attach_->deliver(Stream::out, chunk);
    sent += chunk.size();
    EXPECT_EQ(chunk.size(), read(quick).size());
  }
  EXPECT_EQ(INT64_MAX, attach_->deadline());
  size_t got = 0;
  while (attach_->busy()) {
    got += read(slow).size();
    turn();
  }
  EXPECT_EQ(sent, got + read(slow).size());
  sys::close(slow), sys::close(quick);
}

TEST_F(AttachTest, StuckClientIsDropped) {
  const int stuck = connect("attach stdout patience=50\n");
  const std::string chunk(65536, 'x');
  while (!attach_->busy()) attach_->deliver(Stream::out, chunk);
  const int64_t deadline = attach_->deadline();
  attach_->drop_late(deadline - 1);
  EXPECT_TRUE(attach_->busy());
  attach_->drop_late(deadline);
  EXPECT_FALSE(attach_->busy());
  EXPECT_EQ(1u, attach_->dropped());
  EXPECT_EQ(0u, attach_->count());
  sys::close(stuck);
}

TEST_F(AttachTest, ImpatientClientNeverHoldsUp) {
  const int fd = connect("attach stdout patience=0\n");
  const std::string chunk(65536, 'x');
  for (int i = 0; i < 100; ++i) {
    attach_->deliver(Stream::out, chunk);
    ASSERT_FALSE(attach_->busy());
  }
  EXPECT_EQ(1u, attach_->dropped());
  sys::close(fd);
}

TEST_F(AttachTest, ClientThatVanishes) {
  const int fd = connect("attach stdout\n");
  sys::close(fd);
  attach_->deliver(Stream::out, "x");
  turn();
  EXPECT_FALSE(attach_->busy());
  EXPECT_EQ(0u, attach_->count());
}

TEST_F(AttachTest, InputWaitsForTheContainerAndSurvivesItsClient) {
  const int fd = connect("attach stdin\n");
  size_t sent = 0;
  const std::string chunk(4096, 'y');
  for (long got; (got = send(fd, chunk.data(), chunk.size(), MSG_DONTWAIT)) > 0 || sent == 0; turn())
    sent += static_cast<size_t>(got);
  EXPECT_TRUE(input_.full());
  sys::close(fd);
  turn();
  size_t got = 0;
  for (int i = 0; i < 1000 && got < sent; ++i) {
    got += read_input().size();
    turn();
  }
  EXPECT_EQ(sent, got);
  EXPECT_EQ(0u, attach_->count());
  EXPECT_TRUE(input_.is_open());
}

class AttachOnceTest : public AttachTest {
 protected:
  AttachOnceTest() { once_ = true; }
};

TEST_F(AttachOnceTest, InputEndsWithItsFirstWriter) {
  const int reader = connect("attach stdout\n");
  sys::close(reader);
  turn();
  EXPECT_TRUE(input_.is_open());
  const int fd = connect("attach stdin stdout\nbye");
  shutdown(fd, SHUT_WR);
  turn();
  EXPECT_EQ("bye", read_input());
  EXPECT_FALSE(input_.is_open());
  attach_->deliver(Stream::out, "still");
  EXPECT_EQ(frame(1, "still"), read(fd));
  sys::close(fd);
}

}  // namespace
}  // namespace proa::shim
