// A hostile guest and the metadata service: whole frames from the input, and well-formed segments of one connection
// between them. Whatever comes, what is kept is bounded and the service goes on.
#include <boost/json.hpp>

#include "base/json.h"
#include "virtio.h"
#include "vmm/mmds/guest_test.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  proa::FakeClock clock;
  const auto metadata = std::make_shared<Metadata>("fuzz", 51200, clock);
  FUZZ_CHECK(metadata->put(proa::json::parse(R"({"latest":{"a":"b","c":{"d":[1,"e"]}}})").value()).has_value());
  MetadataStack stack(metadata, MetadataStack::kDefaultAddress, 1, clock);
  Input input(data, size);
  metadata->configure((input.take<uint8_t>() & 1) != 0 ? Metadata::Version::kV2 : Metadata::Version::kV1, false);
  GuestClient guest(stack, 40000);
  guest.connect();
  for (int steps = 0; !input.empty() && steps < 300; ++steps) {
    const auto operation = input.take<uint8_t>();
    const auto count = input.take<uint8_t>();
    std::string bytes;
    for (unsigned i = 0; i < count && !input.empty(); ++i) bytes += static_cast<char>(input.take<uint8_t>());
    switch (operation % 5) {
      case 0: stack.take(std::as_bytes(std::span(bytes))); break;
      case 1: guest.send(kTcpAck | kTcpPush, bytes); break;
      case 2:
        guest.give({.from = static_cast<uint16_t>(40000 + operation / 64),
                    .sequence = 1000u + input.take<uint16_t>(),
                    .acknowledged = input.take<uint16_t>(),
                    .flags = input.take<uint8_t>(),
                    .window = input.take<uint16_t>(),
                    .payload = bytes});
        break;
      case 3: guest.take_all(static_cast<uint16_t>(count * 16)); break;
      default: clock.advance(std::chrono::milliseconds(100 * count));
    }
    FUZZ_CHECK(stack.connections() <= TcpServer::kMostConnections);
  }
  // Every client that is well behaved gets its answer.
  for (int i = 0; i < 100 && !stack.next().empty();) ++i;
  GuestClient next(stack, 50000);
  next.connect();
  FUZZ_CHECK(next.ask("GET /latest/a HTTP/1.1\r\nHost: m\r\n\r\n").starts_with("HTTP/1.1 "));
  return 0;
}
