#include "kernel/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <deque>

#include "kernel/link.h"
#include "kernel/sys.h"

namespace proa::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Stands in for the kernel's end of a netlink socket: keeps what is sent, answers with what was queued.
class FakeNetlink : public Gate {
 public:
  long invoke(const CallShape& shape, const CallArgs& args) noexcept override {
    switch (shape.nr) {
      case SYS_socket: return 1000;
      case SYS_sendto: return send(args);
      case SYS_recvfrom: return receive(args);
      default: calls.emplace_back(shape.name); return 0;
    }
  }

  // Queues one datagram; the sequence numbers of its messages become that of the latest request.
  void answer(std::vector<Message> messages, bool keep_sequence = false) {
    std::vector<std::byte> datagram;
    for (Message& message : messages) {
      const Bytes bytes = message.finish(0).value();
      datagram.insert(datagram.end(), bytes.begin(), bytes.end());
    }
    answers_.push_back({std::move(datagram), keep_sequence});
  }
  void answer_raw(std::vector<std::byte> datagram) { answers_.push_back({std::move(datagram), true}); }

  std::vector<std::vector<std::byte>> sent;
  std::vector<std::string> calls;
  uint32_t sender = 0;
  int interruptions = 0;

 private:
  struct Answer {
    std::vector<std::byte> bytes;
    bool keep_sequence;
  };

  long send(const CallArgs& args) {
    const auto* data = pointer_in<const std::byte>(args[1]);
    sent.emplace_back(data, data + args[2]);
    nlmsghdr header;
    std::memcpy(&header, data, sizeof header);
    sequence_ = header.nlmsg_seq;
    return args[2];
  }

  long receive(const CallArgs& args) {
    if (interruptions > 0) {
      --interruptions;
      return -EINTR;
    }
    if (answers_.empty()) return -ENOBUFS;
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    for (size_t at = 0; !answer.keep_sequence && at + sizeof(nlmsghdr) <= answer.bytes.size();) {
      nlmsghdr header;
      std::memcpy(&header, answer.bytes.data() + at, sizeof header);
      std::memcpy(answer.bytes.data() + at + offsetof(nlmsghdr, nlmsg_seq), &sequence_, sizeof sequence_);
      at += (header.nlmsg_len + 3) & ~3u;
    }
    std::memcpy(pointer_in<void>(args[1]), answer.bytes.data(),
                std::min(answer.bytes.size(), static_cast<size_t>(args[2])));
    pointer_in<sockaddr_nl>(args[4])->nl_pid = sender;
    return static_cast<long>(answer.bytes.size());
  }

  std::deque<Answer> answers_;
  uint32_t sequence_ = 0;
};

Message acknowledgement(int error, std::string_view why = "") {
  Message message(NLMSG_ERROR, why.empty() ? 0 : NLM_F_ACK_TLVS | NLM_F_CAPPED);
  message.header(nlmsgerr{.error = error, .msg = {}});
  if (!why.empty()) message.add_string(NLMSGERR_ATTR_MSG, why);
  return message;
}

Message done(int code = 0, uint16_t flags = 0) {
  Message message(NLMSG_DONE, flags);
  message.header(code);
  return message;
}

Message link(int index, std::string_view name) {
  Message message(RTM_NEWLINK);
  message.header(ifinfomsg{
      .ifi_family = 0, .__ifi_pad = 0, .ifi_type = 0, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = 0});
  message.add_string(IFLA_IFNAME, name).add_number(IFLA_MTU, uint32_t{1500});
  message.begin_nest(IFLA_LINKINFO).add_string(IFLA_INFO_KIND, "dummy").end_nest();
  rtnl_link_stats64 statistics{};
  statistics.rx_bytes = 300;
  statistics.tx_packets = 4;
  message.add(IFLA_STATS64, std::as_bytes(std::span(&statistics, 1)));
  return message;
}

MessageView only_message(Bytes bytes) { return **MessageReader(bytes).next(); }

TEST(NetlinkMessage, IsAlignedAndSized) {
  Message message(RTM_NEWLINK, NLM_F_CREATE);
  message.header(ifinfomsg{}).add_string(IFLA_IFNAME, "eth0");
  const Bytes bytes = message.finish(7).value();
  ASSERT_EQ(bytes.size(), 16u + 16 + 4 + 8);  // "eth0" and its NUL, padded to 8
  const MessageView view = only_message(bytes);
  EXPECT_EQ(view.type, RTM_NEWLINK);
  EXPECT_EQ(view.flags, NLM_F_REQUEST | NLM_F_CREATE);
  EXPECT_EQ(view.sequence, 7u);
  AttributeReader attributes(view.attributes(sizeof(ifinfomsg)));
  const std::optional<Attribute> name = attributes.next().value();
  ASSERT_TRUE(name);
  EXPECT_EQ(name->type, IFLA_IFNAME);
  EXPECT_EQ(name->payload.size(), 5u);
  EXPECT_EQ(name->text(), "eth0");
  EXPECT_EQ(attributes.next().value(), std::nullopt);
}

TEST(NetlinkMessage, RefusesWhatDoesNotFit) {
  const std::vector<std::byte> large(1u << 16);
  EXPECT_FALSE(Message(1).add(1, large).finish(1));
  EXPECT_FALSE(Message(1).begin_nest(1).finish(1));
  EXPECT_FALSE(Message(1).end_nest().finish(1));
}

TEST(NetlinkReader, NamesMalformedMessages) {
  const std::vector<std::byte> stray(5);
  EXPECT_THAT(MessageReader(stray).next().error().message(), HasSubstr("5 stray bytes"));
  Message message(1);
  const Bytes whole = message.finish(1).value();
  std::vector<std::byte> bytes(whole.begin(), whole.end());
  bytes[0] = std::byte{200};
  EXPECT_THAT(MessageReader(bytes).next().error().message(), HasSubstr("200 bytes where 16 are left"));
  bytes[0] = std::byte{4};
  EXPECT_FALSE(MessageReader(bytes).next());
}

TEST(NetlinkReader, NamesMalformedAttributes) {
  const nlattr attributes[] = {{.nla_len = 12, .nla_type = 1}};
  EXPECT_THAT(AttributeReader(std::as_bytes(std::span(attributes))).next().error().message(),
              HasSubstr("12 bytes where 4 are left"));
  const nlattr short_one[] = {{.nla_len = 3, .nla_type = 1}};
  EXPECT_FALSE(AttributeReader(std::as_bytes(std::span(short_one))).next());
}

TEST(Netlink, RequestIsSentOnceAndAcknowledged) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.interruptions = 2;
  kernel.answer({acknowledgement(0)});
  EXPECT_TRUE(set_link_up(route, 4));
  ASSERT_EQ(kernel.sent.size(), 1u);
  const MessageView sent = only_message(kernel.sent[0]);
  EXPECT_EQ(sent.flags, NLM_F_REQUEST | NLM_F_ACK);
  const ifinfomsg fixed = *sent.header<ifinfomsg>();
  EXPECT_EQ(fixed.ifi_index, 4);
  EXPECT_EQ(fixed.ifi_flags & fixed.ifi_change, static_cast<unsigned>(IFF_UP));
}

TEST(Netlink, ErrorCarriesTheKernelsExplanation) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.answer({acknowledgement(-EOPNOTSUPP, "device is wired down")});
  Result<> result = set_link_up(route, 4);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), EOPNOTSUPP);
  EXPECT_EQ(result.error().message(), "bring up device 4: device is wired down: operation not supported");
  kernel.answer({acknowledgement(-ENODEV)});
  result = set_link_up(route, 4);
  EXPECT_EQ(result.error().message(), "bring up device 4: no such device");
}

TEST(Netlink, AnswersToEarlierRequestsAreSkipped) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.answer({acknowledgement(-EPERM)}, /*keep_sequence=*/true);
  kernel.answer({acknowledgement(0)});
  EXPECT_TRUE(set_link_up(route, 4));
}

TEST(Netlink, DumpSpansDatagrams) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.answer({link(1, "lo"), link(2, "eth0")});
  kernel.answer({link(3, "eth1")});
  kernel.answer({done()});
  const std::vector<Link> links = list_links(route).value();
  ASSERT_EQ(links.size(), 3u);
  EXPECT_EQ(links[1].name, "eth0");
  EXPECT_EQ(links[1].kind, "dummy");
  EXPECT_EQ(links[1].mtu, 1500u);
  EXPECT_TRUE(links[1].up());
  EXPECT_EQ(links[1].statistics.rx_bytes, 300u);
  EXPECT_EQ(links[1].statistics.tx_packets, 4u);
}

TEST(Netlink, TornDumpIsAskedForAgain) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.answer({link(1, "lo"), done(0, NLM_F_DUMP_INTR)});
  kernel.answer({link(1, "lo"), link(2, "eth0"), done()});
  EXPECT_EQ(list_links(route).value().size(), 2u);
  EXPECT_EQ(kernel.sent.size(), 2u);
}

TEST(Netlink, FailedDumpIsAnError) {
  FakeNetlink kernel;
  ScopedGate scope(kernel);
  Netlink route = Netlink::open(NETLINK_ROUTE).value();
  kernel.answer({link(1, "lo"), done(-ENOMEM)});
  EXPECT_EQ(list_links(route).error().code(), ENOMEM);
  kernel.answer_raw(std::vector<std::byte>(40u << 10));
  EXPECT_THAT(list_links(route).error().message(), HasSubstr("cut off"));
}

TEST(Netlink, ShortAddressIsAnError) {
  Message message(RTM_NEWADDR);
  message.header(
      ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_flags = 0, .ifa_scope = 0, .ifa_index = 1});
  message.add_number(IFA_ADDRESS, uint32_t{1});
  EXPECT_FALSE(parse_address(only_message(message.finish(1).value())));
}

TEST(Loopback, TakesOneIoctl) {
  RecordingGate gate;
  ScopedGate scope(gate);
  ASSERT_TRUE(loopback_up());
  EXPECT_THAT(gate.calls(), ElementsAre("socket(1, 0x80002, 0)", "ioctl(1000, 0x8914, ptr)"));
}

TEST(LinkName, IsTheKernelsRule) {
  for (const char* name : {"eth0", "a", "eth%d", "fifteen-letters"}) EXPECT_TRUE(valid_link_name(name)) << name;
  for (const char* name : {"", ".", "..", "a/b", "a b", "a:1", "sixteen-letters-", "a%", "%s", "%d%d"})
    EXPECT_FALSE(valid_link_name(name)) << name;
}

}  // namespace
}  // namespace proa::kernel
