// WebSocket: frame headers read back as written, masks undo themselves.
#include <algorithm>

#include "fuzz.h"
#include "net/websocket_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa;
  using namespace proa::net;
  std::string_view text = as_text(data, size);
  while (!text.empty()) {
    FrameHeader header;
    const auto taken = parse_frame_header(text, header);
    if (!taken || *taken == 0) return 0;
    FUZZ_CHECK(*taken >= 2 && *taken <= 14);
    FUZZ_CHECK(!header.control() || (header.final && header.size <= 125));
    std::string again;
    append_frame_header(again, header);
    FUZZ_CHECK(again == text.substr(0, *taken));
    text.remove_prefix(*taken);
    std::string payload(text.substr(0, header.size));
    text.remove_prefix(payload.size());
    if (header.masked) {
      const std::string before = payload;
      const size_t half = payload.size() / 3;
      apply_mask(payload.data(), half, header.mask, 0);
      apply_mask(payload.data() + half, payload.size() - half, header.mask, half);
      std::string whole = before;
      apply_mask(whole.data(), whole.size(), header.mask, 0);
      FUZZ_CHECK(whole == payload);
      apply_mask(whole.data(), whole.size(), header.mask, 0);
      FUZZ_CHECK(whole == before);
    }
    if (header.opcode == Opcode::kClose) static_cast<void>(parse_close(payload));
  }
  return 0;
}
