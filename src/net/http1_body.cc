#include "net/http1_body.h"

#include <algorithm>

namespace proa::net {

namespace {
constexpr size_t kPiece = 64 << 10;
}

Task<Result<std::string_view>> Http1Body::read(Stream& stream, Duration timeout) {
  if (framing_.kind == Framing::kChunked && !decoder_) decoder_ = std::make_unique<ChunkDecoder>();
  for (;;) {
    if (!done_ && !rest_.empty()) {
      bool again = false;
      const std::string_view piece = CO_TRY_CTX(decode(stream, again), "body from ", stream.peer());
      if (!again) co_return piece;
    }
    if (done_) {
      buffer_.reset();
      co_return std::string_view();
    }
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kPiece);
    const size_t want = framing_.kind == Framing::kLength ? std::min<uint64_t>(left_, kPiece) : kPiece;
    if (timeout.count() > 0) stream.set_read_deadline(timeout, "read a body from");
    const size_t got = CO_TRY(co_await stream.read({buffer_.get(), want}));
    stream.clear_read_deadline();
    if (framing_.kind == Framing::kChunked && got > 0) {
      rest_ = {buffer_.get(), got};
      continue;
    }
    co_return take(stream, got);
  }
}

Result<std::string_view> Http1Body::take(Stream& stream, size_t got) {
  if (got == 0) {
    if (framing_.kind != Framing::kUntilClose)
      return fail_errno(ECONNRESET, "body from ", stream.peer(), ": cut short");
    done_ = true;
    return std::string_view();
  }
  if (framing_.kind == Framing::kLength) {
    left_ -= got;
    done_ = left_ == 0;
  }
  return std::string_view(buffer_.get(), got);
}

Result<std::string_view> Http1Body::decode(Stream& stream, bool& again) {
  std::string_view data;
  switch (TRY(decoder_->next(rest_, data))) {
    case ChunkDecoder::Step::kData: return data;
    case ChunkDecoder::Step::kMore: again = true; return data;
    case ChunkDecoder::Step::kEnd: break;
  }
  done_ = true;
  if (!rest_.empty()) stream.unread(rest_);
  rest_ = {};
  again = true;
  return data;
}

}  // namespace proa::net
