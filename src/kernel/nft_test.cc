#include "kernel/nft.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/syscall.h>

#include <deque>

#include "kernel/sys.h"

namespace proa::kernel::nft {
namespace {

// Keeps what is sent; what it is given is what there is to read.
class Wire : public Gate {
 public:
  long invoke(const CallShape& shape, const CallArgs& args) noexcept override {
    switch (shape.nr) {
      case SYS_socket: return 1000;
      case SYS_sendto: {
        const auto* data = reinterpret_cast<const std::byte*>(args[1]);
        sent.insert(sent.end(), data, data + args[2]);
        return args[2];
      }
      case SYS_recvfrom: {
        if (answers.empty()) return -EAGAIN;
        std::memcpy(reinterpret_cast<void*>(args[1]), answers.front().data(), answers.front().size());
        const auto size = static_cast<long>(answers.front().size());
        answers.pop_front();
        return size;
      }
      default: return 0;
    }
  }
  std::vector<std::byte> sent;
  std::deque<std::vector<std::byte>> answers;
};

std::vector<std::byte> raw(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

std::string hex(Bytes bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

struct Sent {
  uint16_t type, flags;
  std::string payload;
};

std::vector<Sent> commit(Batch& batch) {
  Wire wire;
  ScopedGate scope(wire);
  Netlink socket = Netlink::open(NETLINK_NETFILTER).value();
  EXPECT_TRUE(batch.commit(socket));
  std::vector<Sent> messages;
  MessageReader reader(wire.sent);
  while (const auto message = reader.next().value())
    messages.push_back({message->type, message->flags, hex(message->payload)});
  return messages;
}

TEST(NftBatch, WrapsItsMessagesInOneTransaction) {
  Batch batch;
  batch.add_table(Family::kIp, "proa");
  const auto sent = commit(batch);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].type, NFNL_MSG_BATCH_BEGIN);
  EXPECT_EQ(sent[0].payload, "0000000a");  // resource: NFNL_SUBSYS_NFTABLES
  EXPECT_EQ(sent[1].type, 0x0a00);         // NFT_MSG_NEWTABLE
  EXPECT_EQ(sent[1].flags, NLM_F_REQUEST | NLM_F_CREATE);
  EXPECT_EQ(sent[1].payload,
            "02000000"
            "0900010070726f6100000000"
            "0800020000000000");
  EXPECT_EQ(sent[2].type, NFNL_MSG_BATCH_END);
}

// The bytes that nft(8) 1.0.6 sends for the same, but for the order of attributes.
TEST(NftBatch, GoldenChainSetAndElements) {
  Batch batch;
  batch.add_chain(Family::kIp, "t", "c", BaseChain{"filter", NF_INET_LOCAL_IN, -1, NF_DROP});
  batch.add_set(Family::kIp, "t", {.name = "p", .key_types = {kInetProto, kInetService}, .data_types = {kVerdict}});
  const Element element{.key = Value().number8(6).port(80), .data = {}, .verdict = NF_ACCEPT};
  batch.add_elements(Family::kIp, "t", "p", {&element, 1});
  const auto sent = commit(batch);
  ASSERT_EQ(sent.size(), 5u);
  EXPECT_EQ(sent[1].payload,
            "02000000"
            "0600010074000000"
            "0600030063000000"
            "14000480"
            "0800010000000001"
            "08000200ffffffff"
            "0800050000000000"
            "0b00070066696c7465720000");
  EXPECT_EQ(sent[2].payload,
            "02000000"
            "0600010074000000"
            "0600020070000000"
            "08000a0000000001"
            "0800030000000008"
            "080004000000030d"
            "0800050000000008"
            "08000600ffffff00");
  EXPECT_EQ(sent[3].payload,
            "02000000"
            "0600010074000000"
            "0600020070000000"
            "28000380"
            "24000180"
            "10000180"
            "0c0001000600000000500000"
            "10000280"
            "0c000280"
            "0800010000000001");
}

TEST(NftBatch, GoldenRule) {
  Batch batch;
  batch.add_rule(Family::kIp, "t", "c",
                 Rule().transport_destination_port(1).map("m", 0, 2).verdict(NFT_JUMP, "x").comment("why"));
  const auto sent = commit(batch);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND);
  const std::string payload =
      "34000180"
      "0c0001007061796c6f616400"
      "24000280"
      "0800010000000009"
      "0800020000000002"
      "0800030000000002"
      "0800040000000002";
  const std::string lookup =
      "2c000180"
      "0b0001006c6f6f6b75700000"
      "1c000280"
      "060001006d000000"
      "0800020000000008"
      "080003000000000a";
  const std::string verdict =
      "30000180"
      "0e000100696d6d6564696174650000"
      "00"
      "1c000280"
      "0800010000000000"
      "14000280"
      "10000280"
      "08000100fffffffd"
      "0600020078000000";
  EXPECT_NE(sent[1].payload.find(payload), std::string::npos) << sent[1].payload;
  EXPECT_NE(sent[1].payload.find(lookup), std::string::npos) << sent[1].payload;
  EXPECT_NE(sent[1].payload.find("0004"
                                 "776879"
                                 "00"),
            std::string::npos)
      << sent[1].payload;
}

TEST(NftBatch, ManyElementsAreSplit) {
  std::vector<Element> many;
  for (int port = 1; port <= 5000; ++port)
    many.push_back({.key = Value().number8(6).port(static_cast<uint16_t>(port)), .data = {}, .verdict = {}});
  Batch batch;
  batch.add_elements(Family::kIp, "t", "p", many);
  const auto sent = commit(batch);
  EXPECT_GT(sent.size(), 4u);
  size_t count = 0;
  for (const Sent& message : sent)
    for (size_t at = message.payload.find("0c000100"
                                          "06000000");
         at != std::string::npos; at = message.payload.find("0c000100"
                                                            "06000000",
                                                            at + 1))
      ++count;
  EXPECT_EQ(count, many.size());
}

TEST(NftBatch, RefusalNamesTheStep) {
  Wire wire;
  ScopedGate scope(wire);
  Netlink socket = Netlink::open(NETLINK_NETFILTER).value();
  Batch batch;
  batch.add_table(Family::kIp, "t").add_chain(Family::kIp, "t", "c").add_rule(Family::kIp, "t", "c", Rule().drop());
  Message refusal(NLMSG_ERROR);
  nlmsgerr error{};
  error.error = -ENOENT;
  refusal.header(error);
  wire.answers.push_back(raw(refusal.finish(4).value()));  // the fourth message: begin, table, chain, rule
  const Result<> done = batch.commit(socket);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ENOENT);
  EXPECT_TRUE(done.error().message().starts_with("nf_tables: add rule to chain c of table t"))
      << done.error().message();
}

MessageView view_of(Message& message) {
  MessageReader reader(message.finish(1).value());
  return *reader.next().value();
}

TEST(NftParse, ReadsBackElements) {
  const Element element{.key = Value().ifname("proa0").ifname("proa1"), .data = {}, .verdict = NF_DROP};
  Wire wire;
  {
    ScopedGate scope(wire);
    Netlink socket = Netlink::open(NETLINK_NETFILTER).value();
    Batch batch;
    batch.add_elements(Family::kIp6, "t", "v", {&element, 1});
    ASSERT_TRUE(batch.commit(socket));
  }
  MessageReader reader(wire.sent);
  static_cast<void>(reader.next());
  const auto elements = parse_elements(*reader.next().value());
  ASSERT_TRUE(elements) << elements.error().message();
  ASSERT_EQ(elements->size(), 1u);
  EXPECT_EQ(elements->front().key, element.key);
  EXPECT_EQ(elements->front().verdict, NF_DROP);
  EXPECT_FALSE(elements->front().data);
}

TEST(NftParse, MalformedAnswersAreErrors) {
  Message brief(NFT_MSG_NEWCHAIN);
  EXPECT_FALSE(parse_chain(view_of(brief)));
  EXPECT_FALSE(parse_table(view_of(brief)));
  Message torn(NFT_MSG_NEWSETELEM);
  torn.header(nfgenmsg{}).begin_nest(NFTA_SET_ELEM_LIST_ELEMENTS).add_number<uint16_t>(7, 3).end_nest();
  EXPECT_FALSE(parse_elements(view_of(torn)));  // an element without a key
}

}  // namespace
}  // namespace proa::kernel::nft
