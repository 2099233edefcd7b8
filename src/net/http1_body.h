// Reading the body of an HTTP/1 message from its stream, piece by piece as it is asked for.
#pragma once

#include <memory>

#include "net/http1.h"
#include "net/stream.h"

namespace proa::net {

class Http1Body {
 public:
  Http1Body() = default;
  explicit Http1Body(const Framing& framing) : framing_(framing), left_(framing.length) {
    done_ = framing.kind == Framing::kLength && framing.length == 0;
  }
  bool done() const { return done_; }
  // "" at the end; valid until the next call. What follows the body stays unread on the stream.
  Task<Result<std::string_view>> read(Stream& stream, Duration timeout);
  const Headers& trailers() { return decoder_ ? decoder_->trailers() : none_; }

 private:
  Result<std::string_view> take(Stream& stream, size_t got);
  Result<std::string_view> decode(Stream& stream, bool& again);

  Framing framing_;
  uint64_t left_ = 0;
  bool done_ = true;
  std::unique_ptr<char[]> buffer_;
  std::string_view rest_;  // of buffer_, not decoded yet
  std::unique_ptr<ChunkDecoder> decoder_;
  Headers none_;
};

}  // namespace proa::net
