// Answers of rtnetlink: any bytes are taken apart within their bounds.
#include "kernel/netlink.h"

#include <linux/rtnetlink.h>

#include <span>

#include "fuzz.h"
#include "kernel/link.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kernel;
  MessageReader messages(std::as_bytes(std::span(data, size)));
  size_t payload = 0;
  for (;;) {
    const auto message = messages.next();
    if (!message || !*message) break;
    payload += (*message)->payload.size() + sizeof(nlmsghdr);
    FUZZ_CHECK(payload <= size);
    static_cast<void>(parse_link(**message));
    if (const auto address = parse_address(**message)) FUZZ_CHECK(!address->text().empty());
  }
  return 0;
}
