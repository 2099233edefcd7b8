// What goes over attach.sock, apart from the sockets themselves (docs/shim.md, "attach.sock").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "shim/record.h"
#include "shim/text.h"

namespace proa::shim {

// Docker's multiplexing header: the stream, three zeros, the payload's size, big-endian.
inline constexpr size_t kFrameHeader = 8;
void write_frame_header(unsigned char* to, Stream stream, uint32_t size);

// How long a client may hold up the container before it is dropped.
inline constexpr int32_t kDefaultPatience = 1000, kMaxPatience = 3'600'000, kForever = -1;

struct Hello {
  bool in = false, out = false, err = false;
  bool raw = false;                     // payload only, no frames
  bool result = false;                  // a last frame with the exit record
  int32_t patience = kDefaultPatience;  // milliseconds, or kForever
};
// attach [stdin] [stdout] [stderr] [exit] [raw] [patience=MS|forever]; no stream named means both outputs.
Result<Hello> parse_hello(std::string_view line);

}  // namespace proa::shim
