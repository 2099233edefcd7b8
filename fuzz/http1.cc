// HTTP/1: heads and chunked bodies. What is accepted reads back the same once written; the decoder gives the same
// however its input is cut; nothing is both accepted and ambiguous.
#include "net/http1.h"

#include "fuzz.h"

namespace {

using namespace proa;
using namespace proa::net;

void check_fields(const Headers& headers) {
  for (const auto field : headers) {
    FUZZ_CHECK(is_token(field.name));
    FUZZ_CHECK(is_field_value(field.value));
  }
  std::string text;
  append_fields(text, headers);
  Headers again;
  FUZZ_CHECK(Http1Parser::fields(text, again));
  FUZZ_CHECK(again.size() == headers.size());
}

void fuzz_request(std::string_view head) {
  Headers headers;
  const auto request = Http1Parser::request(head, headers);
  if (!request) {
    FUZZ_CHECK(!request.error().message().empty());
    return;
  }
  FUZZ_CHECK(is_token(request->method) && !request->target.empty());
  check_fields(headers);
  const auto framing = request_framing(*request, headers);
  if (framing && headers.contains("Transfer-Encoding"))
    FUZZ_CHECK(framing->kind == Framing::kChunked && !headers.contains("Content-Length"));
  if (framing) FUZZ_CHECK(framing->kind != Framing::kUntilClose);
}

void fuzz_response(std::string_view head) {
  Headers headers;
  const auto response = Http1Parser::response(head, headers);
  if (!response) return;
  FUZZ_CHECK(response->status >= 100 && response->status <= 999);
  check_fields(headers);
  static_cast<void>(response_framing(*response, headers, "GET"));
}

// The body, or "!" for a refusal, "?" when it is not complete.
std::string decode(std::string_view text, size_t step) {
  ChunkDecoder decoder;
  std::string body;
  for (size_t at = 0; at < text.size(); at += step) {
    const std::string piece(text.substr(at, step));
    std::string_view input = piece;
    for (;;) {
      std::string_view data;
      const auto now = decoder.next(input, data);
      if (!now) return "!";
      if (*now == ChunkDecoder::Step::kMore) break;
      if (*now == ChunkDecoder::Step::kEnd) return "=" + body;
      body.append(data);
    }
  }
  return "?";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(data, size);
  if (const size_t head = Http1Parser::head_size(text, 0)) {
    fuzz_request(text.substr(0, head));
    fuzz_response(text.substr(0, head));
    const std::string whole = decode(text.substr(head), text.size());
    FUZZ_CHECK(whole == decode(text.substr(head), 1));
  }
  return 0;
}
