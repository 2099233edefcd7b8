#include "net/websocket_frame.h"

// The plain SHA-1 functions need none of OpenSSL's set-up.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <cstring>

#include "base/utf8.h"
#include "net/base64.h"

namespace proa::net {

namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::unexpected<Error> bad(std::string_view what) {
  return std::unexpected(Error(cat("WebSocket frame: ", what), EBADMSG));
}

bool known(uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

// May stand in a close frame (RFC 6455, 7.4).
bool valid_close_code(uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace

Result<size_t> parse_frame_header(std::string_view text, FrameHeader& header) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  if (text.size() < 2) return 0;
  if (byte(0) & 0x70) return bad("reserved bits are set");
  if (!known(byte(0) & 0x0f)) return bad("unknown opcode");
  header.opcode = static_cast<Opcode>(byte(0) & 0x0f);
  header.final = byte(0) & 0x80;
  header.masked = byte(1) & 0x80;
  header.size = byte(1) & 0x7f;
  if (header.control() && (!header.final || header.size > 125)) return bad("control frame is fragmented or too long");
  const size_t extended = header.size == 126 ? 2 : header.size == 127 ? 8 : 0;
  const size_t size = 2 + extended + (header.masked ? 4 : 0);
  if (text.size() < size) return 0;
  if (extended) {
    header.size = 0;
    for (size_t i = 0; i < extended; ++i) header.size = header.size << 8 | byte(2 + i);
    if (header.size < (extended == 2 ? 126u : 0x10000u)) return bad("length is not in its shortest form");
    if (header.size >> 63) return bad("length is out of range");
  }
  if (header.masked) std::memcpy(header.mask, text.data() + 2 + extended, 4);
  return size;
}

void append_frame_header(std::string& out, const FrameHeader& header) {
  out += static_cast<char>((header.final ? 0x80 : 0) | static_cast<uint8_t>(header.opcode));
  const int masked = header.masked ? 0x80 : 0;
  const int extended = header.size < 126 ? 0 : header.size < 0x10000 ? 2 : 8;
  out += static_cast<char>(masked | (extended == 0 ? static_cast<int>(header.size) : extended == 2 ? 126 : 127));
  for (int i = extended - 1; i >= 0; --i) out += static_cast<char>(header.size >> (8 * i));
  if (header.masked) out.append(reinterpret_cast<const char*>(header.mask), 4);
}

void apply_mask(char* data, size_t size, const uint8_t (&mask)[4], uint64_t at) {
  // Eight at a time: the mask repeats every four.
  uint8_t turned[8];
  for (size_t i = 0; i < 8; ++i) turned[i] = mask[(at + i) % 4];
  uint64_t wide;
  std::memcpy(&wide, turned, 8);
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    word ^= wide;
    std::memcpy(data + i, &word, 8);
  }
  for (; i < size; ++i) data[i] = static_cast<char>(data[i] ^ turned[i % 8]);
}

Result<CloseReason> parse_close(std::string_view payload) {
  if (payload.empty()) return CloseReason{};
  if (payload.size() == 1) return bad("close code is cut");
  const auto code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
  if (!valid_close_code(code)) return bad("close code is not valid");
  if (!utf8::valid(payload.substr(2))) return bad("close reason is not UTF-8");
  return CloseReason{.code = code, .text = payload.substr(2)};
}

std::string websocket_accept(std::string_view key) {
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA_CTX context;
  SHA1_Init(&context);
  SHA1_Update(&context, key.data(), key.size());
  SHA1_Update(&context, kGuid.data(), kGuid.size());
  SHA1_Final(digest, &context);
  return base64_encode({reinterpret_cast<const char*>(digest), sizeof digest});
}

}  // namespace proa::net
