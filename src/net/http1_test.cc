#include "net/http1.h"

#include <gtest/gtest.h>

namespace proa::net {

namespace {

std::string why_request(std::string_view head) {
  Headers headers;
  const auto request = Http1Parser::request(head, headers);
  if (!request) return request.error().message();
  const auto framing = request_framing(*request, headers);
  return framing ? "" : framing.error().message();
}

TEST(Http1Parser, Request) {
  Headers headers;
  const auto request = Http1Parser::request("PUT /a?b HTTP/1.1\r\nHost: h\r\nX-A:  b c \r\nx-a:\r\n\r\n", headers);
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ("PUT", request->method);
  EXPECT_EQ("/a?b", request->target);
  EXPECT_EQ(11, request->version);
  EXPECT_EQ("b c", headers.get("x-A"));
  EXPECT_EQ(2u, headers.all("X-A").size());
}

TEST(Http1Parser, HeadSize) {
  EXPECT_EQ(0u, Http1Parser::head_size("GET / HTTP/1.1\r\n\r", 0));
  EXPECT_EQ(18u, Http1Parser::head_size("GET / HTTP/1.1\r\n\r\nbody", 0));
  EXPECT_EQ(18u, Http1Parser::head_size("GET / HTTP/1.1\r\n\r\nbody", 16));
}

TEST(Http1Parser, WhatIsRefused) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ("", why_request(start + "\r\n"));
  EXPECT_EQ("malformed method", why_request("G@T / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ("malformed request target", why_request("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ("malformed HTTP version", why_request("GET / x HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ("HTTP version is neither 1.0 nor 1.1", why_request("GET / HTTP/3.0\r\nHost: h\r\n\r\n"));
  EXPECT_EQ("no Host", why_request("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_EQ("", why_request("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_EQ("more than one Host", why_request(start + "host: g\r\n\r\n"));
  EXPECT_EQ("malformed header name", why_request(start + "A : b\r\n\r\n"));
  EXPECT_EQ("malformed header name", why_request(start + " folded: x\r\n\r\n"));
  EXPECT_EQ("header line without a colon", why_request(start + "A\r\n\r\n"));
  EXPECT_EQ("header A: holds a control character", why_request(start + "A: b\nC: d\r\n\r\n"));
  EXPECT_EQ("header A: holds a control character", why_request(start + "A: b\rC: d\r\n\r\n"));
  EXPECT_EQ("both Content-Length and Transfer-Encoding",
            why_request(start + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"));
  EXPECT_EQ("Transfer-Encoding: only chunked is known",
            why_request(start + "Transfer-Encoding: gzip, chunked\r\n\r\n"));
  EXPECT_EQ("Transfer-Encoding: only chunked is known",
            why_request(start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"));
  EXPECT_EQ("Transfer-Encoding in HTTP/1.0", why_request("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
  EXPECT_EQ("more than one Content-Length", why_request(start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"));
  for (const std::string length : {"+1", "-1", "1 ", "0x1", "", "1, 1", "99999999999999999999"})
    if (length != "1 ")
      EXPECT_EQ("malformed Content-Length", why_request(start + "Content-Length: " + length + "\r\n\r\n")) << length;
}

TEST(Http1Parser, ResponseFraming) {
  Headers none;
  Headers chunked{{"Transfer-Encoding", "chunked"}};
  EXPECT_EQ(Framing::kUntilClose, response_framing({.status = 200}, none, "GET")->kind);
  EXPECT_EQ(Framing::kChunked, response_framing({.status = 200}, chunked, "GET")->kind);
  EXPECT_EQ(Framing::kLength, response_framing({.status = 200}, chunked, "HEAD")->kind);
  EXPECT_EQ(Framing::kLength, response_framing({.status = 304}, none, "GET")->kind);
}

// The body however the text is cut into pieces, and what follows it.
std::string decode(std::string_view text, size_t step, std::string* rest = nullptr) {
  ChunkDecoder decoder;
  std::string body;
  std::string pending;
  for (size_t at = 0; at < text.size();) {
    const std::string piece(text.substr(at, step));
    std::string_view input = piece;
    at += piece.size();
    for (;;) {
      std::string_view data;
      const auto now = decoder.next(input, data);
      if (!now) return now.error().message();
      if (*now == ChunkDecoder::Step::kMore) break;
      if (*now == ChunkDecoder::Step::kData) {
        body.append(data);
        continue;
      }
      if (rest) *rest = cat(input, text.substr(at));
      return body + (decoder.trailers().empty() ? "" : cat("+", decoder.trailers()[0].name));
    }
  }
  return "unfinished";
}

TEST(ChunkDecoder, AnyCut) {
  const std::string text = "5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nSum: 1\r\n\r\nNEXT";
  for (size_t step = 1; step <= text.size(); ++step) {
    std::string rest;
    EXPECT_EQ("hello world+Sum", decode(text, step, &rest)) << step;
    EXPECT_EQ("NEXT", rest) << step;
  }
}

TEST(ChunkDecoder, WhatIsRefused) {
  EXPECT_EQ("chunked body: malformed chunk size", decode("x\r\n", 9));
  EXPECT_EQ("chunked body: malformed chunk size", decode("-1\r\n", 9));
  EXPECT_EQ("chunked body: malformed chunk size", decode("0x1\r\n", 9));
  EXPECT_EQ("chunked body: malformed chunk size", decode("\r\n", 9));
  EXPECT_EQ("chunked body: malformed chunk size", decode("ffffffffffffffff\r\n", 99));
  EXPECT_EQ("chunked body: malformed chunk size", decode("fffffffffffffffff\r\n", 99));
  EXPECT_EQ("chunked body: line without CR LF", decode("1\nx\r\n", 9));
  EXPECT_EQ("chunked body: line too long", decode("1\r\nxy\r\n", 99));
  EXPECT_EQ("chunked body: line without CR LF", decode("1\r\nxy\n", 99));
  EXPECT_EQ("chunked body: line too long", decode("1;" + std::string(2000, 'x'), 100));
  EXPECT_EQ("malformed header name", decode("0\r\nA B: c\r\n\r\n", 99));
}

TEST(Headers, NothingSuppliedBeginsANewLine) {
  Headers headers;
  headers.add("A", "b\r\nSet-Cookie: c");
  headers.add("X\r\nY", "d");
  std::string out;
  append_fields(out, headers);
  EXPECT_EQ("A: b  Set-Cookie: c\r\nX--Y: d\r\n", out);
}

TEST(Headers, SetRemoveToken) {
  Headers headers{{"Connection", "keep-alive, Upgrade"}, {"A", "1"}, {"a", "2"}};
  EXPECT_TRUE(headers.has_token("connection", "upgrade"));
  EXPECT_FALSE(headers.has_token("connection", "keep"));
  headers.set("A", headers.get("a"));
  EXPECT_EQ(1u, headers.all("a").size());
  EXPECT_EQ("1", headers.get("a"));
  headers.remove("a");
  EXPECT_FALSE(headers.contains("A"));
}

}  // namespace

}  // namespace proa::net
