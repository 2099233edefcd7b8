#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "vmm/devices/virtio/driver_test.h"
#include "vmm/mmds/guest_test.h"

namespace proa::vmm {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kDocument =
    R"({"latest":{"meta-data":{"ami-id":"ami-1","count":3,"a/b":"slash","list":["x",{"y":"z"}]}}})";

class MmdsTest : public testing::Test {
 protected:
  MmdsTest() { EXPECT_TRUE(data->put(json::parse(kDocument).value())); }
  FakeClock clock;
  std::shared_ptr<Metadata> data = std::make_shared<Metadata>("one", 1 << 16, clock);
  MetadataStack stack{data, MetadataStack::kDefaultAddress, 0xfffffff0, clock};

  std::string get(const std::string& path, const std::string& fields = "") {
    GuestClient guest(stack, next_port++);
    guest.connect();
    std::string answer = guest.ask(cat("GET ", path, " HTTP/1.1\r\nHost: m\r\n", fields, "Connection: close\r\n\r\n"));
    EXPECT_TRUE(guest.ended);
    guest.send(kTcpFin | kTcpAck);
    guest.take_all();
    EXPECT_EQ(0u, stack.connections());
    return answer;
  }
  uint16_t next_port = 40000;
};

TEST_F(MmdsTest, AnswersArpForItsAddressOnly) {
  const std::string ours = guest_arp(MetadataStack::kDefaultAddress), other = guest_arp(0x0a090101);
  const auto bytes = std::as_bytes(std::span(ours));
  EXPECT_FALSE(stack.wants(std::as_bytes(std::span(other))));
  EXPECT_FALSE(stack.wants(bytes.first(20)));
  ASSERT_TRUE(stack.wants(bytes));
  stack.take(bytes);
  ASSERT_EQ(0, stack.due().value().count());
  const auto frame = stack.next();
  ether_arp reply{};
  ASSERT_EQ(sizeof(ether_header) + sizeof reply, frame.size());
  std::memcpy(&reply, frame.data() + sizeof(ether_header), sizeof reply);
  EXPECT_EQ(htons(ARPOP_REPLY), reply.arp_op);
  EXPECT_EQ(0, std::memcmp(reply.arp_sha, MetadataStack::kMac.data(), 6));
  EXPECT_FALSE(stack.due());
}

TEST_F(MmdsTest, GivesJsonAndImdsText) {
  EXPECT_THAT(get("/latest/meta-data/ami-id"), EndsWith("\r\n\r\nami-1"));
  EXPECT_THAT(get("/latest/meta-data/ami-id", "Accept: application/json\r\n"), EndsWith("\r\n\r\n\"ami-1\""));
  EXPECT_THAT(get("//latest//meta-data/"), EndsWith("\r\n\r\nami-id\ncount\na/b\nlist"));
  EXPECT_THAT(get("/"), EndsWith("\r\n\r\nlatest/"));
  EXPECT_THAT(get("/", "Accept: application/json\r\n"), EndsWith(kDocument));
  EXPECT_THAT(get("/latest/meta-data/a~1b"), EndsWith("slash"));
  EXPECT_THAT(get("/latest/meta-data/list/1/y"), EndsWith("z"));
  EXPECT_THAT(get("/latest/nothing"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(get("/latest/meta-data/count"), StartsWith("HTTP/1.1 501"));
  data->configure(Metadata::Version::kV1, true);
  EXPECT_THAT(get("/latest", "Accept: application/json\r\n"), EndsWith("\r\n\r\nmeta-data/"));
}

TEST_F(MmdsTest, AsksForTokensInVersionTwo) {
  data->configure(Metadata::Version::kV2, false);
  EXPECT_THAT(get("/latest"), StartsWith("HTTP/1.1 401"));
  GuestClient guest(stack, 50000);
  guest.connect();
  const std::string path = "PUT /latest/api/token HTTP/1.1\r\nHost: m\r\n";
  EXPECT_THAT(guest.ask(path + "\r\n"), HasSubstr("Token time to live value not found"));
  EXPECT_THAT(guest.ask(path + "X-metadata-token-ttl-seconds: 0\r\n\r\n"), HasSubstr("between 1 and 21600"));
  EXPECT_THAT(guest.ask(path + "X-metadata-token-ttl-seconds: x\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(guest.ask(path + "X-Forwarded-For: 1.2.3.4\r\nX-metadata-token-ttl-seconds: 9\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(guest.ask("PUT /latest HTTP/1.1\r\nHost: m\r\nX-metadata-token-ttl-seconds: 9\r\n\r\n"),
              StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(guest.ask("POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\nxx"), HasSubstr("Allow: GET, PUT"));
  const std::string made = guest.ask(path + "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n");
  EXPECT_THAT(made, HasSubstr("X-aws-ec2-metadata-token-ttl-seconds: 60\r\n"));
  const std::string token = made.substr(made.find("\r\n\r\n") + 4);
  const std::string ask =
      cat("GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: m\r\nX-metadata-token: ", token, "\r\n\r\n");
  EXPECT_THAT(guest.ask(ask), EndsWith("ami-1"));
  Metadata other("two", 100, clock);
  EXPECT_FALSE(other.valid_token(token));
  EXPECT_FALSE(data->valid_token(token.substr(1)));
  clock.advance(std::chrono::seconds(61));
  EXPECT_THAT(guest.ask(ask), StartsWith("HTTP/1.1 401"));
  EXPECT_EQ(1u, stack.http_counts().invalid_token);
}

TEST_F(MmdsTest, KeepsTheDocumentBounded) {
  Metadata small("x", 40, clock);
  EXPECT_EQ("{}", small.document());
  EXPECT_EQ(ENOENT, small.patch(json::parse(R"({"a":1})").value()).error().code());
  EXPECT_EQ(EFBIG, small.put(json::parse(kDocument).value()).error().code());
  ASSERT_TRUE(small.put(json::parse(R"({"a":{"b":1,"c":2}})").value()));
  ASSERT_TRUE(small.patch(json::parse(R"({"a":{"b":null,"d":[3]},"e":"f"})").value()));
  EXPECT_EQ(R"({"a":{"c":2,"d":[3]},"e":"f"})", small.document());
  EXPECT_EQ(EFBIG, small.patch(json::parse(R"({"g":"0123456789"})").value()).error().code());
  EXPECT_EQ(R"({"a":{"c":2,"d":[3]},"e":"f"})", small.document());
}

TEST_F(MmdsTest, SendsNoMoreThanTheWindowAndAgainWhatGotLost) {
  const std::string text(40000, 't');
  ASSERT_TRUE(data->put(boost::json::value{{"big", text}}));
  GuestClient guest(stack, 40001);
  guest.connect(2000);
  guest.send(kTcpAck, "GET /big HTTP/1.1\r\nHost: m\r\n\r\n", 2000);
  std::string all;
  unsigned rounds = 0;
  for (; rounds < 100 && !guest.received.ends_with(text); ++rounds) {
    const size_t before = guest.received.size();
    while (guest.take_one()) {
    }
    EXPECT_LE(guest.received.size() - before, 2000u);
    if (rounds % 3 == 1) {  // nothing acknowledges it: after a time it comes again
      ASSERT_FALSE(guest.take_one());
      ASSERT_GT(stack.due().value().count(), 0);
      clock.advance(std::chrono::seconds(1));
      ASSERT_TRUE(guest.take_one());
    }
    guest.send(kTcpAck, {}, 2000);
  }
  EXPECT_TRUE(guest.received.ends_with(text)) << rounds;
  // A guest that falls silent is given up.
  guest.send(kTcpAck, "GET /big HTTP/1.1\r\nHost: m\r\n\r\n", 0);
  for (int i = 0; i < 20; ++i) {
    clock.advance(std::chrono::seconds(60));
    while (guest.take_one()) {
    }
  }
  EXPECT_EQ(0u, stack.connections());
  EXPECT_FALSE(stack.due());
}

TEST_F(MmdsTest, IsBoundedWhateverTheGuestDoes) {
  for (uint16_t port = 1; port < 2000; ++port) {
    GuestClient guest(stack, port);
    guest.send(kTcpSyn);
    EXPECT_LE(stack.connections(), TcpServer::kMostConnections);
  }
  EXPECT_EQ(TcpServer::kMostConnections, stack.connections());
  unsigned frames = 0;
  while (!stack.next().empty()) ++frames;
  EXPECT_LE(frames, TcpServer::kMostConnections);
  // Segments of no connection: some resets, no more.
  for (uint16_t port = 3000; port < 5000; ++port) GuestClient(stack, port).send(kTcpAck, "x");
  for (frames = 0; !stack.next().empty();) ++frames;
  EXPECT_EQ(TcpServer::kMostResets, frames);
  // A request without an end.
  GuestClient guest(stack, 6000);
  guest.connect();
  for (int i = 0; i < 40 && !guest.ended; ++i) {
    guest.send(kTcpAck, std::string(1000, 'a'));
    guest.take_all();
  }
  EXPECT_THAT(guest.received, StartsWith("HTTP/1.1 431"));
  EXPECT_TRUE(guest.ended);
}

TEST_F(MmdsTest, TakesOverlapsAndLeavesGaps) {
  GuestClient guest(stack, 7000);
  guest.connect();
  const std::string request = "GET /latest/meta-data/ami-id HTTP/1.1\r\nHost: m\r\n\r\n";
  const uint32_t acknowledged = 0xfffffff0 + 1;
  const auto piece = [&](size_t from, size_t size) {
    guest.give({.from = 7000,
                .sequence = 1001 + static_cast<uint32_t>(from),
                .acknowledged = acknowledged,
                .flags = kTcpAck,
                .payload = request.substr(from, size)});
  };
  piece(10, 100);  // too early
  piece(0, 6);
  piece(0, 20);
  piece(15, 100);
  guest.take_all();
  EXPECT_THAT(guest.received, EndsWith("ami-1"));
}

TEST_F(MmdsTest, RefusesOtherPortsSilentlyAndOldSegmentsWithReset) {
  GuestClient guest(stack, 7001);
  guest.give({.from = 7001, .to = 81, .flags = kTcpSyn});
  EXPECT_FALSE(guest.take_one());
  EXPECT_EQ(1u, stack.counts().unusual);
  guest.send(kTcpAck, "x");
  ASSERT_TRUE(guest.take_one());
  EXPECT_TRUE(guest.reset);
  std::string torn = guest_frame({.flags = kTcpSyn});
  for (size_t size = virtio::FrameFilter::kStart; size < torn.size(); ++size)
    stack.take(std::as_bytes(std::span(torn)).first(size));
  EXPECT_EQ(torn.size() - virtio::FrameFilter::kStart, stack.counts().malformed);
}

// Through the device: a guest's frames for the service do not reach the TAP, and answers come into its ring.
TEST_F(MmdsTest, StandsBeforeTheTap) {
  using virtio::TestDriver;
  int pair[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
  const Fd host(pair[0]);
  virtio::Net net(Fd(pair[1]), {.receive = {}, .send = {}});
  net.set_filter(std::make_unique<MetadataStack>(data, MetadataStack::kDefaultAddress, 7, Clock::system()));
  TestDriver driver(net);
  const std::string frame = std::string(12, '\0') + guest_frame({.sequence = 5, .flags = kTcpSyn});
  driver.put(TestDriver::kData, frame);
  driver.offer(1, {{TestDriver::kData, static_cast<uint32_t>(frame.size()), false}});
  driver.notify(1);
  EXPECT_EQ(0, driver.wait_completed(1));
  // No buffers yet: nothing is lost, nothing spins.
  EXPECT_FALSE(driver.reactor->turn(0));
  driver.offer(0, {{TestDriver::kData + 0x1000, 2000, true}});
  driver.notify(0);
  const auto size = static_cast<uint64_t>(driver.wait_completed(0));
  ASSERT_EQ(12 + 54 + 4u, size);
  tcphdr tcp{};
  std::memcpy(&tcp, driver.get(TestDriver::kData + 0x1000 + 12 + 34, sizeof tcp).data(), sizeof tcp);
  EXPECT_EQ(kTcpSyn | kTcpAck, tcp.th_flags);
  EXPECT_EQ(6u, ntohl(tcp.ack_seq));
  char buffer[100];
  EXPECT_EQ(-1, ::recv(host.get(), buffer, sizeof buffer, 0));
  driver.transport.reset();
}

}  // namespace
}  // namespace proa::vmm
