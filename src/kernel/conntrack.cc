#include "kernel/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace proa::kernel {
namespace {

constexpr uint16_t type_of(uint16_t message) { return (NFNL_SUBSYS_CTNETLINK << 8) | message; }

std::vector<uint8_t> to_vector(Bytes bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

uint16_t port(const Attribute& attribute) { return ntohs(attribute.value<uint16_t>().value_or(0)); }

Result<> parse_addresses(Bytes attributes, ConnectionTuple& tuple) {
  AttributeReader reader(attributes);
  while (const std::optional<Attribute> a = TRY(reader.next())) {
    if (a->type == CTA_IP_V4_SRC || a->type == CTA_IP_V6_SRC) tuple.source = to_vector(a->payload);
    if (a->type == CTA_IP_V4_DST || a->type == CTA_IP_V6_DST) tuple.destination = to_vector(a->payload);
  }
  return {};
}

Result<> parse_protocol(Bytes attributes, ConnectionTuple& tuple) {
  AttributeReader reader(attributes);
  while (const std::optional<Attribute> a = TRY(reader.next())) {
    if (a->type == CTA_PROTO_NUM) tuple.protocol = a->value<uint8_t>().value_or(0);
    if (a->type == CTA_PROTO_SRC_PORT) tuple.source_port = port(*a);
    if (a->type == CTA_PROTO_DST_PORT) tuple.destination_port = port(*a);
  }
  return {};
}

Result<> parse_tuple(Bytes attributes, ConnectionTuple& tuple) {
  AttributeReader reader(attributes);
  while (const std::optional<Attribute> a = TRY(reader.next())) {
    if (a->type == CTA_TUPLE_IP) TRY(parse_addresses(a->payload, tuple));
    if (a->type == CTA_TUPLE_PROTO) TRY(parse_protocol(a->payload, tuple));
  }
  return {};
}

// The kernel finds the connection by its original direction, given back as it came.
Result<Message> delete_message(const MessageView& connection, uint8_t family) {
  Message message(type_of(IPCTNL_MSG_CT_DELETE));
  message.header(nfgenmsg{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0});
  AttributeReader reader(connection.attributes(sizeof(nfgenmsg)));
  while (const std::optional<Attribute> a = TRY(reader.next()))
    if (a->type == CTA_TUPLE_ORIG || a->type == CTA_ZONE || a->type == CTA_ID)
      message.add(a->type == CTA_TUPLE_ORIG ? a->type | NLA_F_NESTED : a->type, a->payload);
  return message;
}

}  // namespace

Result<Connection> parse_connection(const MessageView& message) {
  const auto fixed = message.header<nfgenmsg>();
  if (!fixed) return fail("conntrack: an answer is too short");
  Connection connection{.family = fixed->nfgen_family, .original = {}, .reply = {}};
  AttributeReader reader(message.attributes(sizeof(nfgenmsg)));
  while (const std::optional<Attribute> a = TRY(reader.next())) {
    if (a->type == CTA_TUPLE_ORIG) TRY(parse_tuple(a->payload, connection.original));
    if (a->type == CTA_TUPLE_REPLY) TRY(parse_tuple(a->payload, connection.reply));
  }
  return connection;
}

Result<size_t> forget_connections(Netlink& netfilter, uint8_t family,
                                  const std::function<bool(const Connection&)>& chosen) {
  std::vector<Message> doomed;
  Message query(type_of(IPCTNL_MSG_CT_GET));
  query.header(nfgenmsg{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0});
  const auto visit = [&](const MessageView& message) -> Result<> {
    if (message.type != type_of(IPCTNL_MSG_CT_NEW)) return {};
    if (chosen(TRY(parse_connection(message)))) doomed.push_back(TRY(delete_message(message, family)));
    return {};
  };
  TRY_CTX(netfilter.dump(query, visit, [&] { doomed.clear(); }), "list connections");
  size_t count = 0;
  for (Message& message : doomed) {
    const Result<> done = netfilter.request(message);
    if (!done && done.error().code() != ENOENT) return std::unexpected(done.error());
    if (done) ++count;
  }
  return count;
}

}  // namespace proa::kernel
