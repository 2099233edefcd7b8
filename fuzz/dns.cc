// A container's DNS queries, and what a server sends back.
#include "fabric/dns/message.h"
#include "fabric/dns/names.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::fabric;
  const dns::PacketView packet(data, size);
  static_cast<void>(dns::parse_header(packet));
  const auto query = dns::parse_query(packet);
  if (!query) return 0;
  FUZZ_CHECK(query->question.size() <= size);
  FUZZ_CHECK(query->name.size() <= 4u * 255);
  static_cast<void>(dns::reverse_address(query->name));
  Endpoint endpoint;
  endpoint.container = endpoint.name = "web";
  endpoint.network = endpoint.network_id = "net";
  endpoint.ipv4 = Ip::parse("10.0.0.2").value();
  const dns::Names names({endpoint});
  const dns::Packet answer = names.answer("web", *query).value_or(dns::plain_answer(*query, dns::kServerFailure));
  FUZZ_CHECK(dns::answers_question(answer, query->question));
  FUZZ_CHECK(dns::fitted(answer, *query).size() <= std::max<size_t>(query->udp_size, answer.size()));
  return 0;
}
