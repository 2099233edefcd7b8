#include "net/websocket.h"

#include <gmock/gmock.h>

#include "net/loopback_test.h"

namespace proa::net {

namespace {

using testing::HasSubstr;
using testing::StartsWith;

Task<Result<>> echo_messages(Request& request, Response& response) {
  const auto socket =
      CO_TRY(co_await WebSocket::accept(request, response, {.subprotocols = {"b", "a"}, .max_message = 1 << 20}));
  if (!socket) co_return Result<>();
  for (;;) {
    const auto message = CO_TRY(co_await socket->read());
    if (!message) co_return Result<>();
    if (message->data == "close me") co_return co_await socket->close(4001, "as asked");
    CO_TRY(co_await socket->write(message->kind, message->data));
  }
}

class WebSocketTest : public NetTest {
 protected:
  WebSocketTest() { client = std::make_unique<Client>(*loops); }
  // Runs `talk` on a socket to the server, on the client's loop.
  template <typename Talk>
  std::string with_socket(Talk talk, WebSocket::Options options = {}) {
    const std::string where = serve(echo_messages);
    const Result<std::string> said =
        Loops::wait(client->loop(),
                    [](Client& via, std::string url, WebSocket::Options opts, Talk& t) -> Task<Result<std::string>> {
                      auto socket = CO_TRY(co_await WebSocket::connect(via, {.url = *Url::parse(url)}, opts));
                      co_return co_await t(*socket);
                    }(*client, cat("ws://", where, "/"), options, talk));
    return said ? *said : said.error().message();
  }
  static std::string handshake(std::string_view extra = "") {
    return cat(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
        "13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        extra, "\r\n");
  }
};

TEST_F(WebSocketTest, Echo) {
  EXPECT_EQ("hello|3|65536|200000", with_socket([](WebSocket& socket) -> Task<Result<std::string>> {
              CO_TRY(co_await socket.write(WebSocket::Kind::kText, "hello"));
              std::string said = (*CO_TRY(co_await socket.read())).data;
              for (const size_t size : {size_t{3}, size_t{65536}, size_t{200'000}}) {
                std::string data(size, '\0');
                for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 31);
                CO_TRY(co_await socket.write(WebSocket::Kind::kBinary, data));
                const auto back = CO_TRY(co_await socket.read());
                said += cat("|", back && back->data == data && back->kind == WebSocket::Kind::kBinary ? size : 0);
              }
              CO_TRY(co_await socket.close());
              co_return said;
            }));
}

TEST_F(WebSocketTest, SubprotocolIsTheClientsFirstThatTheServerHas) {
  EXPECT_EQ("a", with_socket([](WebSocket& socket) -> Task<Result<std::string>> { co_return socket.subprotocol(); },
                             {.subprotocols = {"x", "a", "b"}}));
}

TEST_F(WebSocketTest, CloseFromTheOtherSide) {
  EXPECT_EQ("4001 as asked", with_socket([](WebSocket& socket) -> Task<Result<std::string>> {
              CO_TRY(co_await socket.write(WebSocket::Kind::kText, "close me"));
              const auto message = CO_TRY(co_await socket.read());
              if (message) co_return fail("a message");
              co_return cat(socket.close_code(), " ", socket.close_reason());
            }));
}

TEST_F(WebSocketTest, TooLongMessageEndsWith1009) {
  EXPECT_EQ("1009", with_socket([](WebSocket& socket) -> Task<Result<std::string>> {
              static_cast<void>(co_await socket.write(WebSocket::Kind::kBinary, std::string((1 << 20) + 1, 'x')));
              const auto message = co_await socket.read();
              co_return cat(socket.close_code());
            }));
}

TEST_F(WebSocketTest, HandshakeOfTheRfc) {
  const std::string answer = raw(serve(echo_messages), handshake(), true);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_THAT(answer, HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
}

TEST_F(WebSocketTest, FragmentsAndPingsBetweenThem) {
  // "Hel" "lo" with a ping between, masked with zeros; then close.
  const std::string zero(4, '\0');
  const std::string frames =
      cat("\x01\x83", zero, "Hel", "\x89\x82", zero, "hi", "\x80\x82", zero, "lo", "\x88\x80", zero);
  const std::string answer = raw(serve(echo_messages), handshake() + frames);
  EXPECT_THAT(answer, HasSubstr("\x8a\x02hi"));
  EXPECT_THAT(answer, HasSubstr("\x81\x05Hello"));
}

TEST_F(WebSocketTest, BreachesCloseWith1002) {
  const std::string zero(4, '\0');
  const std::string close_1002 = "\x03\xea";
  for (const std::string& frames :
       {std::string("\x81\x02hi"), cat("\x80\x81", zero, "x"), cat("\xc1\x81", zero, "x"), cat("\x83\x81", zero, "x"),
        cat("\x09\x80", zero), cat("\x81\xfe", std::string("\0\x01", 2), zero, "x")})
    EXPECT_THAT(raw(serve(echo_messages), handshake() + frames), HasSubstr(close_1002));
  EXPECT_THAT(raw(serve(echo_messages), handshake() + cat("\x81\x81", zero, "\xff")), HasSubstr("\x03\xef"));  // 1007
}

TEST_F(WebSocketTest, OtherRequestsAreRefused) {
  const std::string where = serve(echo_messages);
  EXPECT_EQ(400, fetch(get(cat("http://", where, "/")))->status());
  EXPECT_THAT(
      raw(where,
          "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
          true),
      HasSubstr("Sec-WebSocket-Version: 13\r\n"));
}

TEST(WebSocketFrame, HeadersReadBackAsWritten) {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{125}, uint64_t{126}, uint64_t{65535}, uint64_t{65536}, uint64_t{1} << 40}) {
    for (const bool masked : {false, true}) {
      std::string text;
      append_frame_header(
          text, {.opcode = Opcode::kBinary, .final = false, .masked = masked, .mask = {1, 2, 3, 4}, .size = size});
      FrameHeader header;
      EXPECT_EQ(0u, *parse_frame_header(std::string_view(text).substr(0, text.size() - 1), header));
      EXPECT_EQ(text.size(), *parse_frame_header(text, header));
      EXPECT_EQ(size, header.size);
      EXPECT_EQ(masked, header.masked);
      EXPECT_FALSE(header.final);
    }
  }
}

TEST(WebSocketFrame, MaskDependsOnThePosition) {
  std::string whole(1000, 'a');
  std::string parts = whole;
  const uint8_t mask[4] = {9, 8, 7, 6};
  apply_mask(whole.data(), whole.size(), mask, 0);
  for (size_t at = 0, step = 1; at < parts.size(); at += step++)
    apply_mask(parts.data() + at, std::min(step, parts.size() - at), mask, at);
  EXPECT_EQ(whole, parts);
}

}  // namespace

}  // namespace proa::net
