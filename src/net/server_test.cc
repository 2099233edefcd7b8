#include "net/server.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "net/loopback_test.h"

namespace proa::net {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string NetTest::raw(const std::string& where, std::string_view bytes, bool half_close) {
  const auto place = parse_host_port(where);
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(place->port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(0, ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  EXPECT_EQ(static_cast<ssize_t>(bytes.size()), ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  if (half_close) ::shutdown(socket.get(), SHUT_WR);
  std::string all;
  char buffer[4096];
  for (ssize_t got; (got = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
    all.append(buffer, static_cast<size_t>(got));
  return all;
}

namespace {

Task<Result<>> echo(Request& request, Response& response) {
  const std::string body = CO_TRY(co_await request.read_all(1 << 20));
  response.headers.set("X-Method", request.method());
  response.headers.set("X-Target", request.target());
  co_return co_await response.send(200, "text/plain", body);
}

TEST_F(NetTest, AnswersARequest) {
  const std::string where = serve(echo);
  ClientRequest request{.method = "POST", .url = *Url::parse(cat("http://", where, "/a/b?c=d")), .body = "hello"};
  auto response = fetch(std::move(request));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(200, response->status());
  EXPECT_EQ("POST", response->headers().get("x-method"));
  EXPECT_EQ("/a/b?c=d", response->headers().get("x-target"));
  EXPECT_EQ("5", response->headers().get("content-length"));
  EXPECT_EQ("hello", *response->read_all());
}

TEST_F(NetTest, KeepsConnections) {
  const std::string where = serve(echo);
  for (int i = 0; i < 5; ++i) {
    auto response = fetch(get(cat("http://", where, "/")));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ("", *response->read_all());
  }
  EXPECT_EQ(1u, server->connections());
}

TEST_F(NetTest, StreamsAnUpload) {
  const std::string where = serve(
      [](Request& request, Response& response) -> Task<Result<>> {
        size_t size = 0;
        for (;;) {
          const std::string_view piece = CO_TRY(co_await request.read());
          if (piece.empty()) break;
          size += piece.size();
        }
        co_return co_await response.send(200, "text/plain", cat(size));
      },
      {.max_body_bytes = 0});
  for (const bool known : {true, false}) {
    ClientRequest request{.method = "PUT", .url = *Url::parse(cat("http://", where, "/"))};
    if (known) request.content_length = 6'400'000;
    request.source = [left = 64, piece = std::string(100'000, 'x')]() mutable -> Task<Result<std::string_view>> {
      if (left-- == 0) co_return std::string_view();
      co_return piece;
    };
    auto response = fetch(std::move(request));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ("6400000", *response->read_all());
  }
}

TEST_F(NetTest, StreamsADownloadAtTheClientsPace) {
  std::atomic<size_t> written = 0;
  const std::string where = serve([&](Request&, Response& response) -> Task<Result<>> {
    const std::string piece(64 << 10, 'y');
    for (int i = 0; i < 1024; ++i) {
      CO_TRY(co_await response.write(piece));
      written += piece.size();
    }
    response.trailers.set("X-End", "yes");
    co_return Result<>();
  });
  auto response = fetch(get(cat("http://", where, "/")));
  ASSERT_TRUE(response) << response.error().message();
  ASSERT_TRUE(response->read());
  size_t size = 0;
  // What is in flight is the sockets' buffers, never the whole.
  EXPECT_LT(written, 48u << 20);
  for (;;) {
    const auto piece = response->read();
    ASSERT_TRUE(piece) << piece.error().message();
    if (piece->empty()) break;
    size += piece->size();
  }
  EXPECT_GT(size, 63u << 20);
}

TEST_F(NetTest, HandlersMayBlockElsewhere) {
  const std::string where = serve([](Request&, Response& response) -> Task<Result<>> {
    const auto thread = CO_TRY(co_await blocking([]() -> Result<pid_t> { return ::gettid(); }));
    co_return co_await response.send(200, "text/plain", thread == ::gettid() ? "same" : "other");
  });
  EXPECT_EQ("other", *fetch(get(cat("http://", where, "/")))->read_all());
}

TEST_F(NetTest, ErrorsBecomeAnswers) {
  const std::string where = serve([](Request& request, Response&) -> Task<Result<>> {
    if (request.path() == "/throw") throw std::runtime_error("no");
    if (request.path() == "/body") CO_TRY(co_await request.read_all(3));
    co_return fail("secret");
  });
  EXPECT_EQ(500, fetch(get(cat("http://", where, "/")))->status());
  EXPECT_EQ("internal error\n", *fetch(get(cat("http://", where, "/")))->read_all());
  EXPECT_EQ(500, fetch(get(cat("http://", where, "/throw")))->status());
  EXPECT_EQ(413,
            fetch({.method = "POST", .url = *Url::parse(cat("http://", where, "/body")), .body = "long"})->status());
}

TEST_F(NetTest, StopsWhileStreamsAreOpen) {
  std::atomic<int> told = 0;
  const std::string where = serve([&](Request& request, Response& response) -> Task<Result<>> {
    Event event;
    request.on_close([&] {
      ++told;
      event.notify();
    });
    CO_TRY(co_await response.write("start\n"));
    co_await event.wait();
    co_return co_await response.write("end\n");
  });
  auto response = fetch(get(cat("http://", where, "/")));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ("start\n", *response->read());
  server->stop(Duration(20'000));
  EXPECT_EQ(1, told);
  EXPECT_EQ("end\n", *response->read());
  EXPECT_EQ("", *response->read());
}

TEST_F(NetTest, HandlersLearnThatTheClientHasGone) {
  std::atomic<bool> told = false;
  const std::string where = serve([&](Request& request, Response& response) -> Task<Result<>> {
    Event event;
    request.on_close([&] { event.notify(); });
    CO_TRY(co_await response.flush());
    co_await event.wait();
    told = true;
    co_return Result<>();
  });
  {
    auto response = fetch(get(cat("http://", where, "/")));
  }
  client.reset();
  while (!told) std::this_thread::yield();
}

TEST_F(NetTest, RefusesAmbiguousFraming) {
  const std::string where = serve(echo);
  const std::string both =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x "
      "HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string answer = raw(where, both);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(answer, EndsWith("both Content-Length and Transfer-Encoding\n"));
}

TEST_F(NetTest, PipelinedRequestsAreAnsweredInOrder) {
  const std::string where = serve(echo);
  const std::string answers = raw(where,
                                  "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                                  "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answers, HasSubstr("X-Target: /1\r\n"));
  EXPECT_THAT(answers, HasSubstr("X-Target: /2\r\n"));
  EXPECT_THAT(answers, HasSubstr("abc"));
  EXPECT_THAT(answers, HasSubstr("X-Target: /3\r\n"));
}

}  // namespace

}  // namespace proa::net
