#include "kernel/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <utility>

namespace proa::kernel::nft {
namespace {

// What fits one element message's list with room to spare.
constexpr size_t kMaxElementBytes = 48u << 10;
constexpr uint8_t kCommentTag = 0;   // of a rule's user data, as nft(8) writes it
constexpr uint8_t kKeyOrderTag = 0;  // of a set's
constexpr uint32_t kHostOrder = 1, kNetworkOrder = 2;
constexpr size_t kMaxComment = 127;

constexpr uint16_t type_of(uint16_t message) { return (NFNL_SUBSYS_NFTABLES << 8) | message; }
constexpr size_t padded(size_t size) { return (size + 3) & ~size_t{3}; }
constexpr uint32_t reg(unsigned word) { return NFT_REG32_00 + word; }

nfgenmsg head(Family family) {
  return {.nfgen_family = static_cast<uint8_t>(family), .version = NFNETLINK_V0, .res_id = 0};
}

Message& big32(Message& message, uint16_t type, uint32_t value) { return message.add_number(type, htonl(value)); }

template <typename T>
Bytes raw(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::optional<uint32_t> read32(const Attribute& attribute) {
  const auto value = attribute.value<uint32_t>();
  return value ? std::optional(ntohl(*value)) : std::nullopt;
}

void add_verdict(Message& message, int32_t code, std::string_view chain) {
  message.begin_nest(NFTA_DATA_VERDICT);
  big32(message, NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
  if (!chain.empty()) message.add_string(NFTA_VERDICT_CHAIN, chain);
  message.end_nest();
}

void add_element(Message& message, const Element& element) {
  message.begin_nest(NFTA_LIST_ELEM);
  message.begin_nest(NFTA_SET_ELEM_KEY).add(NFTA_DATA_VALUE, element.key.view()).end_nest();
  if (element.interval_end) big32(message, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
  if (element.data) message.begin_nest(NFTA_SET_ELEM_DATA).add(NFTA_DATA_VALUE, element.data->view()).end_nest();
  if (element.verdict) {
    message.begin_nest(NFTA_SET_ELEM_DATA);
    add_verdict(message, *element.verdict, {});
    message.end_nest();
  }
  message.end_nest();
}

uint32_t type_number(std::span<const Type> types) {
  uint32_t number = 0;
  for (const Type& type : types) number = number << 6 | type.number;
  return number;
}

uint32_t total_size(std::span<const Type> types) {
  if (types.size() == 1) return types.front().size;
  size_t size = 0;
  for (const Type& type : types) size += padded(type.size);
  return static_cast<uint32_t>(size);
}

template <typename Visit>
Result<> each_attribute(Bytes attributes, Visit visit) {
  AttributeReader reader(attributes);
  while (const std::optional<Attribute> attribute = TRY(reader.next())) TRY(visit(*attribute));
  return {};
}

Result<Bytes> attributes_of(const MessageView& message, Family* family = nullptr) {
  const auto fixed = message.header<nfgenmsg>();
  if (!fixed) return fail("nf_tables: an answer is too short");
  if (family != nullptr) *family = static_cast<Family>(fixed->nfgen_family);
  return message.attributes(sizeof(nfgenmsg));
}

Result<std::optional<int32_t>> parse_verdict(Bytes attributes) {
  std::optional<int32_t> code;
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_VERDICT_CODE)
      if (const auto value = read32(a)) code = static_cast<int32_t>(*value);
    return {};
  }));
  return code;
}

Result<> parse_data(Bytes attributes, std::optional<Value>& value, std::optional<int32_t>& verdict) {
  return each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_DATA_VALUE) value.emplace().bytes(a.payload);
    if (a.type == NFTA_DATA_VERDICT) verdict = TRY(parse_verdict(a.payload));
    return {};
  });
}

Result<Element> parse_element(Bytes attributes) {
  Element element;
  std::optional<Value> key;
  std::optional<int32_t> none;
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_SET_ELEM_FLAGS) element.interval_end = (read32(a).value_or(0) & NFT_SET_ELEM_INTERVAL_END) != 0;
    if (a.type == NFTA_SET_ELEM_KEY) TRY(parse_data(a.payload, key, none));
    if (a.type == NFTA_SET_ELEM_DATA) TRY(parse_data(a.payload, element.data, element.verdict));
    return {};
  }));
  if (!key) return fail("nf_tables: an element without a key");
  element.key = *std::move(key);
  return element;
}

Result<> parse_hook(Bytes attributes, ChainInfo& chain) {
  return each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_HOOK_HOOKNUM) chain.hook = read32(a).value_or(0);
    if (a.type == NFTA_HOOK_PRIORITY) chain.priority = static_cast<int32_t>(read32(a).value_or(0));
    return {};
  });
}

// The comment among a rule's tagged user data.
std::string comment_of(Bytes data) {
  while (data.size() >= 2) {
    const auto tag = static_cast<uint8_t>(data[0]);
    const auto size = std::min<size_t>(static_cast<uint8_t>(data[1]), data.size() - 2);
    const Attribute text{.type = tag, .payload = data.subspan(2, size)};
    if (tag == kCommentTag) return std::string(text.text());
    data = data.subspan(2 + size);
  }
  return {};
}

template <typename T, typename Parse>
Result<std::vector<T>> list(Netlink& netfilter, Message& query, uint16_t answer, Parse parse) {
  std::vector<T> all;
  const auto visit = [&](const MessageView& message) -> Result<> {
    if (message.type == type_of(answer)) TRY(parse(message, all));
    return {};
  };
  TRY(netfilter.dump(query, visit, [&] { all.clear(); }));
  return all;
}

}  // namespace

Value& Value::bytes(Bytes data) {
  const auto* first = reinterpret_cast<const uint8_t*>(data.data());
  data_.insert(data_.end(), first, first + data.size());
  data_.resize(padded(data_.size()));
  return *this;
}
Value& Value::number8(uint8_t value) { return bytes(raw(value)); }
Value& Value::port(uint16_t value) { return bytes(raw(htons(value))); }
Value& Value::ifname(std::string_view name) {
  char field[IFNAMSIZ] = {};
  name.copy(field, sizeof field - 1);
  return bytes(raw(field));
}

Rule::Rule() : list_(0) {}

template <typename Fill>
Rule& Rule::expression(std::string_view name, Fill fill) {
  list_.begin_nest(NFTA_LIST_ELEM).add_string(NFTA_EXPR_NAME, name).begin_nest(NFTA_EXPR_DATA);
  fill(list_);
  list_.end_nest().end_nest();
  return *this;
}

Rule& Rule::meta(uint32_t key, unsigned word) {
  return expression("meta", [&](Message& m) { big32(big32(m, NFTA_META_DREG, reg(word)), NFTA_META_KEY, key); });
}

Rule& Rule::ct(uint32_t key, unsigned word) {
  return expression("ct", [&](Message& m) { big32(big32(m, NFTA_CT_DREG, reg(word)), NFTA_CT_KEY, key); });
}

Rule& Rule::payload(uint32_t base, uint32_t offset, uint32_t length, unsigned word) {
  return expression("payload", [&](Message& m) {
    big32(m, NFTA_PAYLOAD_DREG, reg(word));
    big32(m, NFTA_PAYLOAD_BASE, base);
    big32(m, NFTA_PAYLOAD_OFFSET, offset);
    big32(m, NFTA_PAYLOAD_LEN, length);
  });
}

Rule& Rule::fib_destination_type(unsigned word) {
  return expression("fib", [&](Message& m) {
    big32(m, NFTA_FIB_DREG, reg(word));
    big32(m, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    big32(m, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
}

Rule& Rule::immediate(unsigned word, Bytes data) {
  return expression("immediate", [&](Message& m) {
    big32(m, NFTA_IMMEDIATE_DREG, reg(word));
    m.begin_nest(NFTA_IMMEDIATE_DATA).add(NFTA_DATA_VALUE, data).end_nest();
  });
}

Rule& Rule::compare(uint32_t operation, unsigned word, Bytes data) {
  return expression("cmp", [&](Message& m) {
    big32(m, NFTA_CMP_SREG, reg(word));
    big32(m, NFTA_CMP_OP, operation);
    m.begin_nest(NFTA_CMP_DATA).add(NFTA_DATA_VALUE, data).end_nest();
  });
}

Rule& Rule::mask(unsigned word, uint32_t bits) {
  const uint32_t zero = 0;
  return expression("bitwise", [&](Message& m) {
    big32(m, NFTA_BITWISE_SREG, reg(word));
    big32(m, NFTA_BITWISE_DREG, reg(word));
    big32(m, NFTA_BITWISE_LEN, sizeof bits);
    m.begin_nest(NFTA_BITWISE_MASK).add(NFTA_DATA_VALUE, raw(bits)).end_nest();
    m.begin_nest(NFTA_BITWISE_XOR).add(NFTA_DATA_VALUE, raw(zero)).end_nest();
  });
}

Rule& Rule::any_bit(unsigned word, uint32_t bits) {
  const uint32_t zero = 0;
  return mask(word, bits).compare(NFT_CMP_NEQ, word, raw(zero));
}

Rule& Rule::input_name(std::string_view name, bool is) {
  const Value value = Value().ifname(name);
  return meta(NFT_META_IIFNAME, 0).compare(is ? NFT_CMP_EQ : NFT_CMP_NEQ, 0, value.view());
}

Rule& Rule::output_name(std::string_view name, bool is) {
  const Value value = Value().ifname(name);
  return meta(NFT_META_OIFNAME, 0).compare(is ? NFT_CMP_EQ : NFT_CMP_NEQ, 0, value.view());
}

Rule& Rule::in_set(std::string_view set, unsigned word, bool is) {
  return expression("lookup", [&](Message& m) {
    m.add_string(NFTA_LOOKUP_SET, set);
    big32(m, NFTA_LOOKUP_SREG, reg(word));
    if (!is) big32(m, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  });
}

Rule& Rule::map(std::string_view name, unsigned key_word, unsigned data_word) {
  return expression("lookup", [&](Message& m) {
    m.add_string(NFTA_LOOKUP_SET, name);
    big32(m, NFTA_LOOKUP_SREG, reg(key_word));
    big32(m, NFTA_LOOKUP_DREG, reg(data_word));
  });
}

Rule& Rule::verdict_map(std::string_view name, unsigned key_word) {
  return expression("lookup", [&](Message& m) {
    m.add_string(NFTA_LOOKUP_SET, name);
    big32(m, NFTA_LOOKUP_SREG, reg(key_word));
    big32(m, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  });
}

Rule& Rule::counter() {
  return expression("counter", [](Message&) {});
}

Rule& Rule::store_payload(uint32_t base, uint32_t offset, uint32_t length, unsigned word, uint32_t checksum_offset) {
  return expression("payload", [&](Message& m) {
    big32(m, NFTA_PAYLOAD_SREG, reg(word));
    big32(m, NFTA_PAYLOAD_BASE, base);
    big32(m, NFTA_PAYLOAD_OFFSET, offset);
    big32(m, NFTA_PAYLOAD_LEN, length);
    big32(m, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
    big32(m, NFTA_PAYLOAD_CSUM_OFFSET, checksum_offset);
  });
}

Rule& Rule::destination_nat(Family family, unsigned address_word, unsigned port_word) {
  return expression("nat", [&](Message& m) {
    big32(m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    big32(m, NFTA_NAT_FAMILY, static_cast<uint32_t>(family));
    big32(m, NFTA_NAT_REG_ADDR_MIN, reg(address_word));
    big32(m, NFTA_NAT_REG_PROTO_MIN, reg(port_word));
  });
}

Rule& Rule::masquerade() {
  return expression("masq", [](Message&) {});
}

Rule& Rule::duplicate(unsigned address_word, unsigned device_word) {
  return expression("dup", [&](Message& m) {
    big32(m, NFTA_DUP_SREG_ADDR, reg(address_word));
    big32(m, NFTA_DUP_SREG_DEV, reg(device_word));
  });
}

Rule& Rule::verdict(int32_t code, std::string_view chain) {
  return expression("immediate", [&](Message& m) {
    big32(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    m.begin_nest(NFTA_IMMEDIATE_DATA);
    add_verdict(m, code, chain);
    m.end_nest();
  });
}

Rule& Rule::comment(std::string_view text) {
  comment_ = text.substr(0, kMaxComment);
  return *this;
}

Batch::Batch() {
  Message& begin = messages_.emplace_back(NFNL_MSG_BATCH_BEGIN);
  begin.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)});
  steps_.emplace_back("begin");
}

Message& Batch::start(uint16_t type, uint16_t flags, Family family, std::string_view step) {
  steps_.emplace_back(step);
  return messages_.emplace_back(type_of(type), flags).header(head(family));
}

Batch& Batch::add_table(Family family, std::string_view table) {
  Message& m = start(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, cat("add table ", table));
  big32(m.add_string(NFTA_TABLE_NAME, table), NFTA_TABLE_FLAGS, 0);
  return *this;
}

Batch& Batch::destroy_table(Family family, std::string_view table) {
  add_table(family, table);  // so that there is one to delete
  start(NFT_MSG_DELTABLE, 0, family, cat("delete table ", table)).add_string(NFTA_TABLE_NAME, table);
  return *this;
}

Batch& Batch::add_chain(Family family, std::string_view table, std::string_view chain,
                        const std::optional<BaseChain>& base) {
  Message& m = start(NFT_MSG_NEWCHAIN, NLM_F_CREATE, family, cat("add chain ", chain, " to table ", table));
  m.add_string(NFTA_CHAIN_TABLE, table).add_string(NFTA_CHAIN_NAME, chain);
  if (!base) return *this;
  m.begin_nest(NFTA_CHAIN_HOOK);
  big32(m, NFTA_HOOK_HOOKNUM, base->hook);
  big32(m, NFTA_HOOK_PRIORITY, static_cast<uint32_t>(base->priority));
  m.end_nest();
  big32(m, NFTA_CHAIN_POLICY, base->policy).add_string(NFTA_CHAIN_TYPE, base->type);
  return *this;
}

Batch& Batch::flush_chain(Family family, std::string_view table, std::string_view chain) {
  start(NFT_MSG_DELRULE, 0, family, cat("flush chain ", chain, " of table ", table))
      .add_string(NFTA_RULE_TABLE, table)
      .add_string(NFTA_RULE_CHAIN, chain);
  return *this;
}

Batch& Batch::add_rule(Family family, std::string_view table, std::string_view chain, const Rule& rule) {
  Message& m = start(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family,
                     cat("add rule to chain ", chain, " of table ", table));
  m.add_string(NFTA_RULE_TABLE, table).add_string(NFTA_RULE_CHAIN, chain);
  Message list = rule.list_;
  const Result<Bytes> bytes = list.finish(0);
  // An expression that does not fit makes this message fail when it is finished, too.
  if (bytes) {
    m.add(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, bytes->subspan(sizeof(nlmsghdr)));
  } else {
    m.end_nest();
  }
  if (!rule.comment_.empty()) {
    std::string data{static_cast<char>(kCommentTag), static_cast<char>(rule.comment_.size() + 1)};
    data.append(rule.comment_.c_str(), rule.comment_.size() + 1);
    m.add(NFTA_RULE_USERDATA, std::as_bytes(std::span(data)));
  }
  return *this;
}

Batch& Batch::add_set(Family family, std::string_view table, const SetSpec& set) {
  Message& m = start(NFT_MSG_NEWSET, NLM_F_CREATE, family, cat("add set ", set.name, " to table ", table));
  m.add_string(NFTA_SET_TABLE, table).add_string(NFTA_SET_NAME, set.name);
  big32(m, NFTA_SET_ID, next_set_++);
  big32(m, NFTA_SET_FLAGS, (set.data_types.empty() ? 0u : NFT_SET_MAP) | (set.intervals ? NFT_SET_INTERVAL : 0u));
  big32(m, NFTA_SET_KEY_TYPE, type_number(set.key_types));
  big32(m, NFTA_SET_KEY_LEN, total_size(set.key_types));
  // What byte order nft(8) is to print a key in; of concatenations it knows.
  if (set.key_types.size() == 1) {
    const uint32_t order = set.key_types.front().number == kIfname.number ? kHostOrder : kNetworkOrder;
    std::vector<std::byte> data{std::byte{kKeyOrderTag}, std::byte{sizeof order}};
    const Bytes bytes = raw(order);
    data.insert(data.end(), bytes.begin(), bytes.end());
    m.add(NFTA_SET_USERDATA, data);
  }
  if (set.data_types.empty()) return *this;
  if (set.data_types.front().number == kVerdict.number) {
    big32(m, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
    return *this;
  }
  big32(m, NFTA_SET_DATA_TYPE, type_number(set.data_types));
  big32(m, NFTA_SET_DATA_LEN, total_size(set.data_types));
  return *this;
}

Batch& Batch::elements(uint16_t type, uint16_t flags, Family family, std::string_view table, std::string_view set,
                       std::span<const Element> all) {
  const std::string step = type == NFT_MSG_NEWSETELEM ? cat("add to set ", set, " of table ", table)
                                                      : cat("delete from set ", set, " of table ", table);
  for (size_t at = 0; at < all.size();) {
    Message& m = start(type, flags, family, step);
    m.add_string(NFTA_SET_ELEM_LIST_TABLE, table).add_string(NFTA_SET_ELEM_LIST_SET, set);
    m.begin_nest(NFTA_SET_ELEM_LIST_ELEMENTS);
    for (; at < all.size() && m.size() < kMaxElementBytes; ++at) add_element(m, all[at]);
    m.end_nest();
  }
  return *this;
}

Batch& Batch::add_elements(Family family, std::string_view table, std::string_view set, std::span<const Element> all) {
  return elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, family, table, set, all);
}

Batch& Batch::add_new_elements(Family family, std::string_view table, std::string_view set,
                               std::span<const Element> all) {
  return elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, family, table, set, all);
}

Batch& Batch::delete_elements(Family family, std::string_view table, std::string_view set,
                              std::span<const Element> all) {
  return elements(NFT_MSG_DELSETELEM, 0, family, table, set, all);
}

Result<> Batch::commit(Netlink& netfilter) {
  Message& end = messages_.emplace_back(NFNL_MSG_BATCH_END);
  end.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)});
  steps_.emplace_back("commit");
  size_t failed = 0;
  Result<> done = netfilter.batch(messages_, &failed);
  if (!done) done.error().context(cat("nf_tables: ", failed < steps_.size() ? steps_[failed] : "send"));
  return done;
}

Result<TableInfo> parse_table(const MessageView& message) {
  TableInfo table;
  const Bytes attributes = TRY(attributes_of(message, &table.family));
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_TABLE_NAME) table.name = a.text();
    return {};
  }));
  return table;
}

Result<ChainInfo> parse_chain(const MessageView& message) {
  ChainInfo chain;
  const Bytes attributes = TRY(attributes_of(message, &chain.family));
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    switch (a.type) {
      case NFTA_CHAIN_TABLE: chain.table = a.text(); break;
      case NFTA_CHAIN_NAME: chain.name = a.text(); break;
      case NFTA_CHAIN_TYPE: chain.type = a.text(); break;
      case NFTA_CHAIN_POLICY: chain.policy = read32(a).value_or(NF_ACCEPT); break;
      case NFTA_CHAIN_HOOK: chain.base = true; return parse_hook(a.payload, chain);
      default: break;
    }
    return {};
  }));
  return chain;
}

Result<RuleInfo> parse_rule(const MessageView& message) {
  RuleInfo rule;
  const auto expression = [&](const Attribute& a) -> Result<> {
    if (a.type == NFTA_EXPR_NAME) rule.expressions.emplace_back(a.text());
    return {};
  };
  const Bytes attributes = TRY(attributes_of(message));
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    switch (a.type) {
      case NFTA_RULE_TABLE: rule.table = a.text(); break;
      case NFTA_RULE_CHAIN: rule.chain = a.text(); break;
      case NFTA_RULE_HANDLE: rule.handle = be64toh(a.value<uint64_t>().value_or(0)); break;
      case NFTA_RULE_USERDATA: rule.comment = comment_of(a.payload); break;
      case NFTA_RULE_EXPRESSIONS:
        return each_attribute(a.payload,
                              [&](const Attribute& item) { return each_attribute(item.payload, expression); });
      default: break;
    }
    return {};
  }));
  return rule;
}

Result<std::vector<Element>> parse_elements(const MessageView& message) {
  std::vector<Element> all;
  const auto item = [&](const Attribute& a) -> Result<> {
    all.push_back(TRY(parse_element(a.payload)));
    return {};
  };
  const Bytes attributes = TRY(attributes_of(message));
  TRY(each_attribute(attributes, [&](const Attribute& a) -> Result<> {
    return a.type == NFTA_SET_ELEM_LIST_ELEMENTS ? each_attribute(a.payload, item) : Result<>{};
  }));
  return all;
}

Result<bool> has_chain(Netlink& netfilter, Family family, std::string_view table, std::string_view chain) {
  Message query(type_of(NFT_MSG_GETCHAIN));
  query.header(head(family)).add_string(NFTA_CHAIN_TABLE, table).add_string(NFTA_CHAIN_NAME, chain);
  Result<> asked = netfilter.query(query, [](const MessageView&) -> Result<> { return {}; });
  if (!asked && asked.error().code() == ENOENT) return false;
  TRY_CTX(std::move(asked), "nf_tables: look for chain ", chain, " of table ", table);
  return true;
}

Result<std::vector<TableInfo>> list_tables(Netlink& netfilter) {
  Message query(type_of(NFT_MSG_GETTABLE));
  query.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0});
  return list<TableInfo>(netfilter, query, NFT_MSG_NEWTABLE, [](const MessageView& message, auto& all) -> Result<> {
    all.push_back(TRY(parse_table(message)));
    return {};
  });
}

Result<std::vector<ChainInfo>> list_chains(Netlink& netfilter) {
  Message query(type_of(NFT_MSG_GETCHAIN));
  query.header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0});
  return list<ChainInfo>(netfilter, query, NFT_MSG_NEWCHAIN, [](const MessageView& message, auto& all) -> Result<> {
    all.push_back(TRY(parse_chain(message)));
    return {};
  });
}

Result<std::vector<RuleInfo>> list_rules(Netlink& netfilter, Family family, std::string_view table) {
  Message query(type_of(NFT_MSG_GETRULE));
  query.header(head(family)).add_string(NFTA_RULE_TABLE, table);
  return list<RuleInfo>(netfilter, query, NFT_MSG_NEWRULE, [](const MessageView& message, auto& all) -> Result<> {
    all.push_back(TRY(parse_rule(message)));
    return {};
  });
}

Result<std::vector<Element>> list_elements(Netlink& netfilter, Family family, std::string_view table,
                                           std::string_view set) {
  Message query(type_of(NFT_MSG_GETSETELEM));
  query.header(head(family)).add_string(NFTA_SET_ELEM_LIST_TABLE, table).add_string(NFTA_SET_ELEM_LIST_SET, set);
  return list<Element>(netfilter, query, NFT_MSG_NEWSETELEM, [](const MessageView& message, auto& all) -> Result<> {
    for (Element& element : TRY(parse_elements(message))) all.push_back(std::move(element));
    return {};
  });
}

}  // namespace proa::kernel::nft
