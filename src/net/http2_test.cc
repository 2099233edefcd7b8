#include "net/http2.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "net/certificates_test.h"
#include "net/loopback_test.h"

namespace proa::net {

namespace {

using testing::HasSubstr;

// Over cleartext with prior knowledge.
class Http2Test : public NetTest {
 protected:
  Http2Test() { client_options.http2_prior_knowledge = true; }
  std::string url(const std::string& where, std::string_view path = "/") { return cat("http://", where, path); }
};

Task<Result<>> echo(Request& request, Response& response) {
  const std::string body = CO_TRY(co_await request.read_all(64 << 20));
  response.headers.set("X-Target", request.target());
  response.headers.set("X-Version", cat(request.version()));
  response.headers.set("X-Host", request.host());
  co_return co_await response.send(200, "text/plain", body);
}

TEST_F(Http2Test, AnswersARequest) {
  const std::string where = serve(echo);
  auto response = fetch({.method = "POST", .url = *Url::parse(url(where, "/a?b")), .body = "hello"});
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(200, response->status());
  EXPECT_EQ("20", response->headers().get("x-version"));
  EXPECT_EQ("/a?b", response->headers().get("x-target"));
  EXPECT_EQ(where, response->headers().get("x-host"));
  EXPECT_EQ("hello", *response->read_all());
}

TEST_F(Http2Test, AlpnChoosesIt) {
  TestAuthority authority;
  const auto files = authority.issue("server");
  client_options.http2_prior_knowledge = false;
  client_options.tls.ca_file = authority.file();
  const std::string where =
      serve(echo, {}, *TlsServer::create({.certificate_file = files.certificate, .key_file = files.key}));
  EXPECT_EQ("20", fetch(get(cat("https://", where, "/")))->headers().get("x-version"));
  client_options.http2 = false;
  client.reset();
  EXPECT_EQ("11", fetch(get(cat("https://", where, "/")))->headers().get("x-version"));
}

TEST_F(Http2Test, LargeBodiesBothWays) {
  const std::string where = serve(echo, {.max_body_bytes = 0});
  std::string big(9 << 20, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 7 + (i >> 12));
  auto response = fetch({.method = "PUT", .url = *Url::parse(url(where)), .body = big});
  ASSERT_TRUE(response) << response.error().message();
  const auto body = response->read_all(16 << 20);
  ASSERT_TRUE(body) << body.error().message();
  EXPECT_TRUE(big == *body);
}

TEST_F(Http2Test, ManyStreamsShareOneConnection) {
  const std::string where = serve(echo);
  ASSERT_TRUE(fetch(get(url(where))));
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string text(static_cast<size_t>(i * 997), static_cast<char>('a' + t));
        auto response = fetch({.method = "POST", .url = *Url::parse(url(where)), .body = text});
        if (response && *response->read_all() == text) ++good;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(200, good);
  EXPECT_EQ(1u, server->connections());
}

TEST_F(Http2Test, FilesAndTrailers) {
  const Fd file(memfd_create("body", MFD_CLOEXEC));
  const std::string content(300'000, 'f');
  ASSERT_EQ(static_cast<ssize_t>(content.size()), ::write(file.get(), content.data(), content.size()));
  const std::string where = serve([&](Request& request, Response& response) -> Task<Result<>> {
    if (request.path() == "/file") co_return co_await response.send_file(file.get(), 100, 200'000);
    response.trailers.set("X-Sum", "7");
    co_return co_await response.write("body");
  });
  auto response = fetch(get(url(where, "/file")));
  EXPECT_EQ("200000", response->headers().get("content-length"));
  EXPECT_EQ(std::string(200'000, 'f'), *response->read_all());
  auto trailed = Loops::wait(client->loop(), [](Client& via, ClientRequest request) -> Task<Result<std::string>> {
    ClientResponse answer = CO_TRY(co_await via.send(std::move(request)));
    const std::string body = CO_TRY(co_await answer.read_all());
    co_return cat(body, "/", answer.trailers().get("x-sum"));
  }(*client, get(url(where, "/"))));
  EXPECT_EQ("body/7", *trailed);
}

TEST_F(Http2Test, DownloadIsSlowedToTheClientsPace) {
  std::atomic<size_t> written = 0;
  const std::string where = serve([&](Request&, Response& response) -> Task<Result<>> {
    const std::string piece(64 << 10, 'y');
    for (int i = 0; i < 1024; ++i) {
      CO_TRY(co_await response.write(piece));
      written += piece.size();
    }
    co_return Result<>();
  });
  auto response = fetch(get(url(where)));
  size_t size = response->read()->size();
  EXPECT_LT(written, 32u << 20);
  const auto rest = response->read_all(128 << 20);
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(64u << 20, size + rest->size());
}

TEST_F(Http2Test, AbandonedStreamsAreReset) {
  std::atomic<bool> failed = false;
  const std::string where = serve([&](Request& request, Response& response) -> Task<Result<>> {
    Event event;
    request.on_close([&] { event.notify(); });
    CO_TRY(co_await response.write("start"));
    co_await event.wait();
    failed = !(co_await response.write("more"));
    co_return Result<>();
  });
  {
    auto response = fetch(get(url(where)));
    EXPECT_EQ("start", *response->read());
  }
  while (!failed) std::this_thread::yield();
  EXPECT_EQ(1u, server->connections());
}

TEST_F(Http2Test, StopEndsStreamsAndConnection) {
  const std::string where = serve([&](Request& request, Response& response) -> Task<Result<>> {
    Event event;
    request.on_close([&] { event.notify(); });
    CO_TRY(co_await response.write("start"));
    co_await event.wait();
    co_return co_await response.write(request.stopping() ? "stopping" : "gone");
  });
  auto response = fetch(get(url(where)));
  EXPECT_EQ("start", *response->read());
  server->stop(Duration(20'000));
  EXPECT_EQ("stopping", *response->read());
  EXPECT_EQ("", *response->read());
}

TEST_F(Http2Test, FailureAfterTheAnswerBeganIsSeen) {
  const std::string where = serve([&](Request&, Response& response) -> Task<Result<>> {
    CO_TRY(co_await response.write("half"));
    co_return fail("broken");
  });
  auto response = fetch(get(url(where)));
  if (response) EXPECT_FALSE(response->read_all());
}

TEST_F(Http2Test, TooLargeHeadersAndBodies) {
  const std::string where = serve(echo, {.max_header_bytes = 8 << 10, .max_body_bytes = 1000});
  ClientRequest request = get(url(where));
  request.headers.set("X-Big", std::string(9 << 10, 'x'));
  auto refused = fetch(std::move(request));
  EXPECT_TRUE(!refused || refused->status() == 431);
  EXPECT_EQ(413, fetch({.method = "POST", .url = *Url::parse(url(where)), .body = std::string(1001, 'x')})->status());
  EXPECT_EQ(200, fetch({.method = "POST", .url = *Url::parse(url(where)), .body = std::string(1000, 'x')})->status());
}

}  // namespace

}  // namespace proa::net
