// HTTP/1.x messages (RFC 9112): heads parsed and written, bodies framed. Strict where leniency lets requests be
// smuggled: line ends are CR LF, no space before a colon, no folded lines, one Content-Length or chunked, never both.
// No I/O here; everything is bounded by what the caller hands in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/headers.h"

namespace proa::net {

struct Http1Request {
  std::string_view method;  // views into the text that was parsed
  std::string_view target;
  int version = 11;  // 10 or 11
};

struct Http1Response {
  int status = 0;
  int version = 11;
};

class Http1Parser {
 public:
  // The size of the head that `text` begins with, its empty line included; 0 if it is not complete. `seen`: how much
  // of it was searched before.
  static size_t head_size(std::string_view text, size_t seen);
  // `head` is a whole head. Errors have EBADMSG as code, or ENOTSUP for a version or coding we do not know.
  static Result<Http1Request> request(std::string_view head, Headers& headers);
  static Result<Http1Response> response(std::string_view head, Headers& headers);
  // Lines "name: value", each with its CR LF.
  static Result<> fields(std::string_view lines, Headers& headers);

  static constexpr size_t kMaxFields = 256;
};

// How a message's body ends (RFC 9112, 6.3).
struct Framing {
  enum Kind : uint8_t { kLength, kChunked, kUntilClose } kind = kLength;
  uint64_t length = 0;
};
Result<Framing> request_framing(const Http1Request& request, const Headers& headers);
Result<Framing> response_framing(const Http1Response& response, const Headers& headers, std::string_view method);
// A Content-Length: digits only.
Result<uint64_t> parse_content_length(std::string_view value);

// Takes chunked coding off (RFC 9112, 7.1).
class ChunkDecoder {
 public:
  enum class Step : uint8_t { kMore, kData, kEnd };
  // Takes from the front of `input`. kData: `data` is a view into it. kMore: input is used up. kEnd: what is
  // left of input follows the body. Errors have EBADMSG as code.
  Result<Step> next(std::string_view& input, std::string_view& data);
  Headers& trailers() { return trailers_; }

 private:
  enum class State : uint8_t { kSize, kData, kDataEnd, kTrailers, kDone };
  Result<bool> take_line(std::string_view& input, size_t limit);
  State state_ = State::kSize;
  uint64_t left_ = 0;
  std::string line_;
  std::string trailer_lines_;
  Headers trailers_;
};

// "Content-Type: text/plain\r\n" of every field.
void append_fields(std::string& out, const Headers& headers);
// "1f\r\n"
void append_chunk_size(std::string& out, size_t size);

// The words that go with a status code; "" for unknown ones.
std::string_view reason_phrase(int status);
bool status_has_body(int status);
// The time as in a Date header (RFC 9110, 5.6.7), of now; valid until this thread calls again.
std::string_view http_date();

}  // namespace proa::net
