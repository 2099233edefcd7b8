// WebSocket's frames (RFC 6455, 5): headers parsed and written, payloads masked. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::net {

enum class Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

struct FrameHeader {
  Opcode opcode = Opcode::kContinuation;
  bool final = true;
  bool masked = false;
  uint8_t mask[4] = {};
  uint64_t size = 0;  // of the payload

  bool control() const { return static_cast<uint8_t>(opcode) >= 8; }
};

// The size of the header that `text` begins with; 0 if it is not complete. Errors have EBADMSG as code.
Result<size_t> parse_frame_header(std::string_view text, FrameHeader& header);
void append_frame_header(std::string& out, const FrameHeader& header);
// Masks or unmasks in place; `at` is the position of `data` in the payload.
void apply_mask(char* data, size_t size, const uint8_t (&mask)[4], uint64_t at);

// The payload of a close frame; 1005 when it is empty.
struct CloseReason {
  uint16_t code = 1005;
  std::string_view text;
};
Result<CloseReason> parse_close(std::string_view payload);

// What goes into Sec-WebSocket-Accept for a key.
std::string websocket_accept(std::string_view key);

}  // namespace proa::net
