// Answers of nf_tables, conntrack and routes: any bytes are taken apart within their bounds.
#include "kernel/nft.h"

#include "fuzz.h"
#include "kernel/conntrack.h"
#include "kernel/route.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kernel;
  MessageReader messages(std::as_bytes(std::span(data, size)));
  for (;;) {
    const auto message = messages.next();
    if (!message || !*message) return 0;
    static_cast<void>(nft::parse_table(**message));
    static_cast<void>(nft::parse_chain(**message));
    static_cast<void>(nft::parse_rule(**message));
    static_cast<void>(nft::parse_elements(**message));
    static_cast<void>(parse_connection(**message));
    if (const auto route = parse_route(**message)) FUZZ_CHECK(route->prefix_length <= 128);
  }
}
