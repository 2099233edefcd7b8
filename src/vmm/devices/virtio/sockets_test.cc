// The network, socket and console devices, with sockets in place of TAPs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/socket.h"
#include "vmm/devices/virtio/console.h"
#include "vmm/devices/virtio/driver_test.h"
#include "vmm/devices/virtio/net.h"
#include "vmm/devices/virtio/vsock.h"

namespace proa::vmm::virtio {

namespace {

constexpr GuestAddress kData = TestDriver::kData;

class NetTest : public testing::Test {
 protected:
  NetTest() {
    int pair[2];
    EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    host = Fd(pair[0]);
    net.emplace(Fd(pair[1]),
                NetOptions{.mac = {2, 0, 0, 0, 0, 7},
                           .mtu = 1400,
                           .receive = {},
                           .send = {.bandwidth = {}, .operations = {.size = 2, .one_time_burst = 0, .refill_ms = 1}}},
                clock);
    driver.emplace(*net);
  }
  ~NetTest() override { driver->transport.reset(); }
  void from_host(std::string_view frame) {
    const std::string whole = std::string(12, '\0') + std::string(frame);
    EXPECT_EQ(static_cast<ssize_t>(whole.size()), ::send(host.get(), whole.data(), whole.size(), 0));
    driver->reactor->turn(100);
  }
  std::string at_host() {
    std::string frame(70000, '\0');
    const ssize_t got = ::recv(host.get(), frame.data(), frame.size(), 0);
    frame.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return frame.empty() ? frame : frame.substr(12);
  }
  FakeClock clock;
  Fd host;
  std::optional<Net> net;
  std::optional<TestDriver> driver;
};

TEST_F(NetTest, FramesGoBothWays) {
  EXPECT_EQ(7u, driver->transport->read(0x105, 1));
  EXPECT_EQ(1400u, driver->transport->read(0x10a, 2));
  driver->put(kData + 12, "to the host");
  driver->offer(1, {{kData, 12, false}, {kData + 12, 11, false}});
  driver->notify(1);
  EXPECT_EQ(0, driver->completed(1));
  EXPECT_EQ("to the host", at_host());
  driver->offer(0, {{kData, 2000, true}});
  driver->notify(0);
  from_host("to the guest");
  EXPECT_EQ(24, driver->completed(0));
  EXPECT_EQ("to the guest", driver->get(kData + 12, 12));
  EXPECT_EQ(1, driver->memory->load<uint16_t>(kData + 10));
}

TEST_F(NetTest, BigFramesFillSeveralBuffers) {
  for (uint16_t i = 0; i < 4; ++i) driver->offer(0, {{kData + 0x1000ULL * i, 1000, true}}, i);
  driver->notify(0);
  from_host(std::string(2500, 'x'));
  EXPECT_EQ(1000, driver->completed(0));
  EXPECT_EQ(1000, driver->completed(0));
  EXPECT_EQ(512, driver->completed(0));
  EXPECT_EQ(-1, driver->completed(0));
  EXPECT_EQ(3, driver->memory->load<uint16_t>(kData + 10));
  from_host("small");
  EXPECT_EQ(17, driver->completed(0));
}

TEST_F(NetTest, FramesWaitForBuffers) {
  from_host("early");
  EXPECT_EQ(-1, driver->completed(0));
  driver->offer(0, {{kData, 2000, true}});
  driver->notify(0);
  EXPECT_EQ(17, driver->wait_completed(0));
}

// A driver that gives up (FAILED, 2.1) and begins anew finds a device without a trace of the past.
TEST_F(NetTest, BeginsAnewAfterADriverThatGaveUp) {
  testing::internal::CaptureStderr();
  driver->write(0x70, 0x8f);
  driver->set_up();
  EXPECT_EQ("", testing::internal::GetCapturedStderr());
  driver->offer(0, {{kData, 2000, true}});
  driver->notify(0);
  from_host("again");
  EXPECT_EQ(17, driver->wait_completed(0));
}

TEST_F(NetTest, SendingIsLimited) {
  for (uint16_t i = 0; i < 3; ++i) driver->offer(1, {{kData, 60, false}}, i);
  driver->notify(1);
  EXPECT_EQ(0, driver->completed(1));
  EXPECT_EQ(0, driver->completed(1));
  EXPECT_EQ(-1, driver->completed(1));
  clock.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(0, driver->wait_completed(1));
}

TEST_F(NetTest, DropsWhatIsNoFrame) {
  driver->offer(1, {{kData, 12, false}});
  driver->offer(1, {{kData, 70000, false}}, 1);
  driver->notify(1);
  EXPECT_EQ(0, driver->completed(1));
  EXPECT_EQ(2u, net->counts().dropped);
  driver->offer(0, {{kData, 8, true}});
  driver->notify(0);
  EXPECT_TRUE(driver->needs_reset());
}

class VsockTest : public testing::Test {
 protected:
  VsockTest() {
    char name[] = "/tmp/proa-vsock-XXXXXX";
    EXPECT_NE(nullptr, ::mkdtemp(name));
    folder = name;
    reactor = Reactor::create().value();
    device = Vsock::listen({.guest_cid = 7, .path = folder + "/v"}, *reactor).value();
    driver.emplace(*device);
    driver->reactor.swap(reactor);
    driver->transport =
        std::make_unique<Transport>(*device, *driver->memory, *driver->reactor, Line{&driver->board, 5});
    driver->set_up();
    for (uint16_t i = 0; i < 8; ++i) driver->offer(0, {{kData + 0x2000ULL * i, 0x2000, true}}, i);
    driver->notify(0);
  }
  ~VsockTest() override {
    driver->transport.reset();
    device.reset();
    for (const char* file : {"/v_5", ""}) ::remove((folder + file).c_str());
  }
  VsockHeader make(uint16_t operation, uint32_t host_port, uint32_t length = 0) {
    VsockHeader h;
    h.source_cid = 7;
    h.destination_cid = 2;
    h.source_port = 1000;
    h.destination_port = host_port;
    h.length = length;
    h.operation = operation;
    h.buffer_size = 4096;
    h.forwarded = forwarded;
    return h;
  }
  void send(const VsockHeader& h, std::string_view data = {}) {
    driver->memory->store(kData + 0x40000, h);
    driver->put(kData + 0x40000 + sizeof h, data);
    driver->offer(1, {{kData + 0x40000, sizeof h, false},
                      {kData + 0x40000 + sizeof h, static_cast<uint32_t>(data.size()), false}});
    driver->notify(1);
  }
  // The next packet for the guest.
  VsockHeader receive(std::string* data = nullptr) {
    for (int i = 0; i < 50; ++i) {
      const int64_t written = driver->completed(0);
      if (written < 0) {
        driver->reactor->turn(100);
        continue;
      }
      const GuestAddress at = kData + 0x2000ULL * (next_buffer++ % 8);
      const auto h = *driver->memory->load<VsockHeader>(at);
      if (data != nullptr) *data = driver->get(at + sizeof h, h.length);
      return h;
    }
    ADD_FAILURE() << "no packet came";
    return {};
  }
  std::string folder;
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Vsock> device;
  std::optional<TestDriver> driver;
  uint64_t next_buffer = 0;
  uint32_t forwarded = 0;
};

TEST_F(VsockTest, TheHostCallsTheGuest) {
  const Fd caller = net::connect_unix_stream(folder + "/v").value();
  ASSERT_EQ(16, ::write(caller.get(), "CONNECT 1000\nhey", 16));
  const VsockHeader request = receive();
  EXPECT_EQ(kVsockRequest, request.operation);
  EXPECT_EQ(1000u, request.destination_port);
  EXPECT_EQ(7u, request.destination_cid);
  send(make(kVsockResponse, request.source_port));
  char answer[64] = {};
  ASSERT_GT(::read(caller.get(), answer, sizeof answer), 0);
  EXPECT_EQ(cat("OK ", request.source_port, "\n"), answer);
  std::string data;
  EXPECT_EQ(kVsockData, receive(&data).operation);
  EXPECT_EQ("hey", data);
  send(make(kVsockData, request.source_port, 2), "yo");
  ASSERT_EQ(2, ::read(caller.get(), answer, sizeof answer));
  EXPECT_EQ("yo", std::string_view(answer, 2));
  ::shutdown(caller.get(), SHUT_WR);
  const VsockHeader shut = receive();
  EXPECT_EQ(kVsockShutdown, shut.operation);
  EXPECT_EQ(2u, shut.flags);
  VsockHeader both = make(kVsockShutdown, request.source_port);
  both.flags = 3;
  send(both);
  EXPECT_EQ(kVsockReset, receive().operation);
  EXPECT_EQ(0u, device->connections());
  EXPECT_EQ(0, ::read(caller.get(), answer, 1));
}

TEST_F(VsockTest, TheGuestCallsTheHost) {
  net::Endpoint endpoint;
  endpoint.path = folder + "/v_5";
  const Fd listener = net::listen_on(endpoint).value();
  send(make(kVsockRequest, 5));
  EXPECT_EQ(kVsockResponse, receive().operation);
  const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  send(make(kVsockData, 5, 5), "hello");
  char text[8] = {};
  ASSERT_EQ(5, ::read(accepted.get(), text, sizeof text));
  EXPECT_STREQ("hello", text);
  // More than the guest's buffer waits for credit.
  const std::string big(6000, 'z');
  ASSERT_EQ(6000, ::write(accepted.get(), big.data(), big.size()));
  std::string data;
  EXPECT_EQ(4096u, receive(&data).length);
  forwarded = 4096;
  send(make(kVsockCreditUpdate, 5));
  EXPECT_EQ(6000u - 4096, receive(&data).length);
  send(make(kVsockCreditRequest, 5));
  EXPECT_EQ(5u, receive().forwarded);
}

// The guest drops all connections when it handles the event: one made before that would be lost.
TEST_F(VsockTest, AfterARestorationCallersWaitUntilTheGuestHasDroppedItsConnections) {
  const auto event = [&](uint16_t i) { driver->offer(2, {{kData + 0x30000 + 16ULL * i, 16, true}}, i); };
  event(0), event(1);
  driver->transport->pause();
  StateStream saving;
  driver->transport->transfer(saving);
  const std::string saved = saving.finish().value();
  StateStream loading(saved);
  driver->transport->transfer(loading);
  driver->transport->resume();
  ASSERT_TRUE(loading.finish());
  EXPECT_EQ(4, driver->completed(2));
  const Fd caller = net::connect_unix_stream(folder + "/v").value();
  ASSERT_EQ(13, ::write(caller.get(), "CONNECT 1000\n", 13));
  driver->notify(2);
  for (int i = 0; i < 3; ++i) driver->reactor->turn(10);
  EXPECT_EQ(-1, driver->completed(0));
  event(0);
  driver->notify(2);
  EXPECT_EQ(kVsockRequest, receive().operation);
}

TEST_F(VsockTest, NobodyListensAndNonsenseAreResets) {
  send(make(kVsockRequest, 99));
  EXPECT_EQ(kVsockReset, receive().operation);
  send(make(kVsockData, 98, 1), "x");
  EXPECT_EQ(kVsockReset, receive().operation);
  VsockHeader foreign = make(kVsockRequest, 5);
  foreign.source_cid = 9;
  send(foreign);
  EXPECT_EQ(kVsockReset, receive().operation);
  const Fd caller = net::connect_unix_stream(folder + "/v").value();
  ASSERT_EQ(6, ::write(caller.get(), "HELLO\n", 6));
  for (int i = 0; i < 4; ++i) driver->reactor->turn(10);
  char byte = 0;
  EXPECT_EQ(0, ::read(caller.get(), &byte, 1));
  send(make(kVsockData, 5, 100), "short");  // says more than it has
  EXPECT_TRUE(driver->needs_reset());
}

TEST(ConsoleTest, CarriesTextBothWays) {
  std::string said;
  Console console([&](std::string_view text) { said += text; });
  TestDriver driver(console);
  driver.put(kData, "hello");
  driver.offer(1, {{kData, 5, false}});
  driver.notify(1);
  EXPECT_EQ("hello", said);
  EXPECT_EQ(3u, console.input("abc"));
  driver.offer(0, {{kData, 2, true}});
  driver.offer(0, {{kData + 8, 2, true}}, 1);
  driver.notify(0);
  EXPECT_EQ(2, driver.completed(0));
  EXPECT_EQ(1, driver.completed(0));
  EXPECT_EQ("ab", driver.get(kData, 2));
  console.resize(132, 50);
  EXPECT_EQ(132u, driver.transport->read(0x100, 2));
  EXPECT_NE(0u, driver.read(0x60) & 2);
}

}  // namespace
}  // namespace proa::vmm::virtio
