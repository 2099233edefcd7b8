// nf_tables over netlink: one atomic transaction at a time, and lists of what is there. Nothing is
// spawned and nothing is parsed as text; `nft list ruleset` shows the result.
//
//   nft::Batch batch;
//   batch.add_table(kIp, "proa");
//   batch.add_set(kIp, "proa", {.name = "ports", .key_types = {nft::kInetProto, nft::kInetService}});
//   batch.add_chain(kIp, "proa", {.name = "input", .hook = nft::BaseChain{"filter", NF_INET_LOCAL_IN, 0}});
//   batch.add_rule(kIp, "proa", "input", nft::Rule().meta(NFT_META_L4PROTO, 0)
//                     .transport_destination_port(1).in_set("ports", 0).drop());
//   Netlink netfilter = TRY(Netlink::open(NETLINK_NETFILTER));
//   TRY(batch.commit(netfilter));                     // all of it or nothing
//
// Registers are numbered in words of four bytes, 0 to 15; addresses of IPv6 take four, names of
// interfaces four. Numbers are given in host order and stored as the kernel wants them.
#pragma once

#include <arpa/inet.h>  // before the kernel headers, whose own it replaces
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/netlink.h"

namespace proa::kernel::nft {

enum class Family : uint8_t { kInet = NFPROTO_INET, kIp = NFPROTO_IPV4, kIp6 = NFPROTO_IPV6, kBridge = NFPROTO_BRIDGE };

// Types of a set's key or data, by the numbers that `nft` gives them: they make its listing readable.
struct Type {
  uint32_t number;
  uint32_t size;  // bytes
};
inline constexpr Type kVerdict{1, 4}, kIpv4Addr{7, 4}, kIpv6Addr{8, 16}, kInetProto{12, 1}, kInetService{13, 2},
    kIfname{41, 16};

// A key or datum being put together: each part begins at a word of four bytes.
class Value {
 public:
  Value& bytes(Bytes raw);
  Value& number8(uint8_t value);
  Value& port(uint16_t value);  // in network order
  Value& ifname(std::string_view name);
  Bytes view() const { return std::as_bytes(std::span(data_)); }
  bool operator==(const Value&) const = default;
  auto operator<=>(const Value&) const = default;

 private:
  std::vector<uint8_t> data_;
};

// One rule: expressions in order.
class Rule {
 public:
  Rule();
  // Loads.
  Rule& meta(uint32_t key, unsigned word);
  Rule& ct(uint32_t key, unsigned word);
  Rule& payload(uint32_t base, uint32_t offset, uint32_t length, unsigned word);
  Rule& transport_destination_port(unsigned word) { return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, word); }
  // The kind of the destination address (RTN_LOCAL, ...).
  Rule& fib_destination_type(unsigned word);
  Rule& immediate(unsigned word, Bytes data);
  // Tests: the rule ends when they do not hold.
  Rule& compare(uint32_t operation, unsigned word, Bytes data);  // NFT_CMP_*
  Rule& equal(unsigned word, Bytes data) { return compare(NFT_CMP_EQ, word, data); }
  template <typename T>
    requires std::is_integral_v<T>
  Rule& equal_number(unsigned word, T value) {
    return equal(word, std::as_bytes(std::span(&value, 1)));
  }
  Rule& mask(unsigned word, uint32_t mask);  // word &= mask
  // Some bit of `bits` is set in the word.
  Rule& any_bit(unsigned word, uint32_t bits);
  Rule& input_name(std::string_view name, bool is = true);
  Rule& output_name(std::string_view name, bool is = true);
  Rule& in_set(std::string_view set, unsigned word, bool is = true);
  // Looks the key at `key_word` up in a map and puts the datum at `data_word`.
  Rule& map(std::string_view map, unsigned key_word, unsigned data_word);
  // ... in a verdict map, and follows the verdict.
  Rule& verdict_map(std::string_view map, unsigned key_word);
  // Actions.
  Rule& counter();
  Rule& store_payload(uint32_t base, uint32_t offset, uint32_t length, unsigned word, uint32_t checksum_offset);
  Rule& destination_nat(Family family, unsigned address_word, unsigned port_word);
  Rule& masquerade();
  // A copy of the packet leaves through `device_word`'s interface, untracked (families ip and ip6 only).
  Rule& duplicate(unsigned address_word, unsigned device_word);
  Rule& verdict(int32_t code, std::string_view chain = {});  // NF_ACCEPT, NF_DROP, NFT_JUMP, ...
  Rule& accept() { return verdict(NF_ACCEPT); }
  Rule& drop() { return verdict(NF_DROP); }
  Rule& jump(std::string_view chain) { return verdict(NFT_JUMP, chain); }
  // Shown by `nft list`; at most 127 bytes.
  Rule& comment(std::string_view text);

 private:
  friend class Batch;
  template <typename Fill>
  Rule& expression(std::string_view name, Fill fill);

  Message list_;  // the expressions as attributes
  std::string comment_;
};

struct BaseChain {
  std::string_view type;  // "filter", "nat", "route"
  uint32_t hook = 0;      // NF_INET_*
  int32_t priority = 0;
  uint32_t policy = NF_ACCEPT;
};

struct SetSpec {
  std::string_view name;
  std::vector<Type> key_types;   // several: a concatenation
  std::vector<Type> data_types;  // none: a set; kVerdict: a verdict map; else a map
  bool intervals = false;        // elements come in pairs: a first key, and the first key beyond
};

struct Element {
  Value key;
  std::optional<Value> data;
  std::optional<int32_t> verdict;
  bool interval_end = false;
};

class Batch {
 public:
  Batch();
  // Nothing happens when it is there already.
  Batch& add_table(Family family, std::string_view table);
  // Nothing happens when it is not there.
  Batch& destroy_table(Family family, std::string_view table);
  Batch& add_chain(Family family, std::string_view table, std::string_view chain,
                   const std::optional<BaseChain>& base = {});
  Batch& flush_chain(Family family, std::string_view table, std::string_view chain);
  Batch& add_rule(Family family, std::string_view table, std::string_view chain, const Rule& rule);
  Batch& add_set(Family family, std::string_view table, const SetSpec& set);
  // Deleting what is not there fails with ENOENT.
  Batch& add_elements(Family family, std::string_view table, std::string_view set, std::span<const Element> elements);
  // ... and what is there already fails with EEXIST.
  Batch& add_new_elements(Family family, std::string_view table, std::string_view set,
                          std::span<const Element> elements);
  Batch& delete_elements(Family family, std::string_view table, std::string_view set,
                         std::span<const Element> elements);
  bool empty() const { return messages_.size() <= 1; }
  // Once. The error names the step that the kernel refused.
  Result<> commit(Netlink& netfilter);

 private:
  Message& start(uint16_t type, uint16_t flags, Family family, std::string_view step);
  Batch& elements(uint16_t type, uint16_t flags, Family family, std::string_view table, std::string_view set,
                  std::span<const Element> elements);

  std::vector<Message> messages_;
  std::vector<std::string> steps_;
  uint32_t next_set_ = 1;
};

struct TableInfo {
  Family family{};
  std::string name;
};
struct ChainInfo {
  Family family{};
  std::string table, name, type;
  bool base = false;
  uint32_t hook = 0, policy = NF_ACCEPT;
  int32_t priority = 0;
};
struct RuleInfo {
  std::string table, chain, comment;
  uint64_t handle = 0;
  std::vector<std::string> expressions;  // their names
};

Result<bool> has_chain(Netlink& netfilter, Family family, std::string_view table, std::string_view chain);
Result<std::vector<TableInfo>> list_tables(Netlink& netfilter);
Result<std::vector<ChainInfo>> list_chains(Netlink& netfilter);
Result<std::vector<RuleInfo>> list_rules(Netlink& netfilter, Family family, std::string_view table);
// ENOENT when there is no such set.
Result<std::vector<Element>> list_elements(Netlink& netfilter, Family family, std::string_view table,
                                           std::string_view set);

// One message of an answer. Errors on malformed bytes; what is unknown is passed over.
Result<TableInfo> parse_table(const MessageView& message);
Result<ChainInfo> parse_chain(const MessageView& message);
Result<RuleInfo> parse_rule(const MessageView& message);
Result<std::vector<Element>> parse_elements(const MessageView& message);

}  // namespace proa::kernel::nft
