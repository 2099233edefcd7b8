#include "net/client.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "net/certificates_test.h"
#include "net/loopback_test.h"

namespace proa::net {

namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A listening socket that this test answers by hand.
class HandServer {
 public:
  HandServer() : listener_(*listen_on({.host = "127.0.0.1"})) {}
  std::string where() const { return local_endpoint(listener_.get()).text(); }
  // Takes one connection and answers one request on it. Closes it, unless told to keep it and give it back.
  void answer(std::string_view text) { static_cast<void>(keep(text)); }
  Fd keep(std::string_view text) {
    Fd connection;
    while (!connection) connection = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    reply(connection, text);
    return connection;
  }
  void reply(const Fd& connection, std::string_view text) {
    received.clear();
    char buffer[4096];
    while (received.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection.get(), buffer, sizeof buffer, 0);
      if (got <= 0) break;
      received.append(buffer, static_cast<size_t>(got));
    }
    EXPECT_EQ(static_cast<ssize_t>(text.size()), ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  std::string received;

 private:
  Fd listener_;
};

class ClientTest : public NetTest {
 protected:
  std::string text(Result<BlockingResponse> response) {
    if (!response) return response.error().message();
    auto body = response->read_all();
    return body ? cat(response->status(), " ", *body) : body.error().message();
  }
  HandServer hand;
};

TEST_F(ClientTest, WhatIsSent) {
  std::thread server([&] { hand.answer("HTTP/1.1 204 No Content\r\n\r\n"); });
  ClientRequest request{.method = "POST",
                        .url = *Url::parse(cat("http://", hand.where(), "/a?b")),
                        .headers = {{"X-A", "b"}},
                        .body = "text"};
  EXPECT_EQ("204 ", text(fetch(std::move(request))));
  server.join();
  EXPECT_EQ(cat("POST /a?b HTTP/1.1\r\nHost: ", hand.where(),
                "\r\nX-A: b\r\nUser-Agent: proa\r\nContent-Length: 4\r\n\r\ntext"),
            hand.received);
}

TEST_F(ClientTest, BodiesOfEveryFraming) {
  for (const std::string answer :
       {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        "HTTP/1.1 200\r\n\r\nbody", "HTTP/1.0 200 OK\r\n\r\nbody"}) {
    std::thread server([&] { hand.answer(answer); });
    EXPECT_EQ("200 body", text(fetch(get(cat("http://", hand.where(), "/"))))) << answer;
    server.join();
  }
}

TEST_F(ClientTest, BrokenAnswersAreErrorsThatNameTheHost) {
  for (const auto& [answer, what] : std::initializer_list<std::pair<std::string, std::string>>{
           {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "cut short"},
           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "cut short"},
           {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "more than one Content-Length"},
           {"HTTP/1.1 abc\r\n\r\n", "malformed status line"},
           {"SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP version"},
           {"", "wait for an answer"}}) {
    std::thread server([&, &reply = answer] { hand.answer(reply); });
    const std::string said = text(fetch(get(cat("http://", hand.where(), "/"))));
    EXPECT_THAT(said, HasSubstr(what));
    EXPECT_THAT(said, HasSubstr(hand.where()));
    server.join();
  }
}

TEST_F(ClientTest, ConnectionClosedWhileKeptIsReplaced) {
  std::thread server([&] {
    hand.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    // Kept by the client, closed by the server only when the next request has arrived.
    Fd second = hand.keep("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
    hand.reply(second, "");
    second.reset();
    hand.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
  });
  for (const std::string expected : {"200 1", "200 2", "200 3"})
    EXPECT_EQ(expected, text(fetch(get(cat("http://", hand.where(), "/")))));
  server.join();
}

TEST_F(ClientTest, PostIsNotRepeated) {
  std::thread server([&] {
    Fd connection = hand.keep("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    hand.reply(connection, "");
  });
  EXPECT_EQ("200 1", text(fetch(get(cat("http://", hand.where(), "/")))));
  EXPECT_THAT(text(fetch({.method = "POST", .url = *Url::parse(cat("http://", hand.where(), "/"))})),
              HasSubstr("connection reset"));
  server.join();
}

TEST_F(ClientTest, Timeouts) {
  client_options.body_timeout = Duration(50);
  Fd held;
  std::thread server([&] { held = hand.keep(""); });
  ClientRequest unanswered = get(cat("http://", hand.where(), "/"));
  unanswered.response_timeout = Duration(50);
  const auto none = fetch(std::move(unanswered));
  ASSERT_FALSE(none);
  EXPECT_EQ(ETIMEDOUT, none.error().code());
  EXPECT_THAT(none.error().message(), HasSubstr("wait for an answer from"));
  server.join();
  std::thread stalling([&] { held = hand.keep("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"); });
  auto half = fetch(get(cat("http://", hand.where(), "/")));
  ASSERT_TRUE(half);
  EXPECT_EQ(ETIMEDOUT, half->read_all().error().code());
  stalling.join();
}

TEST_F(ClientTest, NobodyListens) {
  const std::string where = HandServer().where();
  const auto refused = fetch(get(cat("http://", where, "/")));
  ASSERT_FALSE(refused);
  EXPECT_EQ(ECONNREFUSED, refused.error().code());
  EXPECT_EQ(cat("connect to ", where, ": connection refused"), refused.error().message());
  EXPECT_THAT(fetch(get("http://no-such-host.invalid/")).error().message(),
              StartsWith("resolve no-such-host.invalid: "));
}

TEST_F(ClientTest, UnixSockets) {
  const std::string path = cat("/tmp/proa-net-test-", ::getpid(), ".sock");
  server = std::make_unique<Server>(*loops, [](Request& request, Response& response) -> Task<Result<>> {
    co_return co_await response.send(200, "text/plain",
                                     cat(request.target(), request.peer().uid == ::getuid() ? " own" : " other"));
  });
  ASSERT_TRUE(server->listen(*Endpoint::parse(cat("unix://", path))));
  EXPECT_FALSE(server->listen(*Endpoint::parse(cat("unix://", path))));
  ClientRequest request{.url = *Url::parse(cat("unix://", path))};
  request.target = "/v1/info?x";
  EXPECT_EQ("200 /v1/info?x own", text(fetch(std::move(request))));
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ClientTest, HijackedConnection) {
  const std::string where = serve([](Request&, Response& response) -> Task<Result<>> {
    response.headers.set("Content-Type", "application/vnd.docker.raw-stream");
    auto stream = CO_TRY(co_await response.hijack());
    char buffer[16];
    const size_t got = CO_TRY(co_await stream->read(buffer));
    CO_TRY(co_await stream->write(cat("<", std::string_view(buffer, got), ">")));
    co_return co_await stream->shutdown_write();
  });
  client = std::make_unique<Client>(*loops);
  const auto said = Loops::wait(client->loop(), [](Client& via, ClientRequest request) -> Task<Result<std::string>> {
    ClientResponse response = CO_TRY(co_await via.send(std::move(request)));
    const auto stream = CO_TRY(response.take_stream());
    CO_TRY(co_await stream->write("hi"));
    std::string all(response.headers.get("Content-Type"));
    char buffer[16];
    for (;;) {
      const size_t got = CO_TRY(co_await stream->read(buffer));
      if (got == 0) co_return all;
      all.append(buffer, got);
    }
  }(*client, get(cat("http://", where, "/attach"))));
  EXPECT_EQ("application/vnd.docker.raw-stream<hi>", *said);
}

Task<> relay(Stream& from, Stream& to, Event& done) {
  char buffer[4096];
  for (;;) {
    const auto got = co_await from.read(buffer);
    if (!got || *got == 0 || !co_await to.write({buffer, *got})) break;
  }
  to.abort(Error("the other side has ended"));
  done.notify();
}

TEST_F(ClientTest, ProxyTunnel) {
  TestAuthority authority;
  const auto files = authority.issue("server.test");
  Server origin(*loops, [](Request& request, Response& response) -> Task<Result<>> {
    co_return co_await response.send(200, "text/plain", cat(request.host(), request.version()));
  });
  const auto there = origin.listen(*Endpoint::parse("127.0.0.1:0"),
                                   *TlsServer::create({.certificate_file = files.certificate, .key_file = files.key}));
  std::string asked;
  const std::string proxy = serve([&](Request& request, Response& response) -> Task<Result<>> {
    asked = cat(request.method(), " ", request.target(), " ", request.headers().get("Proxy-Authorization"));
    Fd socket = CO_TRY(co_await connect_tcp("127.0.0.1", there->port, Duration(5'000)));
    auto stream = CO_TRY(co_await response.hijack());
    Stream upstream(stream->loop(), std::move(socket), "origin");
    Event one, other;
    Loop::start(relay(*stream, upstream, one));
    co_await relay(upstream, *stream, other);
    co_await one.wait();
    co_return Result<>();
  });
  ::setenv("https_proxy", cat("http://us:er@", proxy).c_str(), 1);
  client_options.tls.ca_file = authority.file();
  EXPECT_EQ("200 server.test:844320", text(fetch(get("https://server.test:8443/"))));
  ::unsetenv("https_proxy");
  EXPECT_EQ("CONNECT server.test:8443 Basic dXM6ZXI=", asked);
  client.reset();
  origin.stop();
}

TEST_F(ClientTest, Redirects) {
  const Url from = *Url::parse("https://a.example/v2/x");
  const auto to = redirect_target(from, 307, {{"Location", "/y?z"}});
  EXPECT_EQ("https://a.example/y?z", (*to)->url.text());
  EXPECT_TRUE((*to)->same_origin);
  EXPECT_FALSE((*redirect_target(from, 302, {{"Location", "https://b.example/"}}))->same_origin);
  EXPECT_TRUE((*redirect_target(from, 303, {{"Location", "/"}}))->as_get);
  EXPECT_FALSE(*redirect_target(from, 200, {}));
  EXPECT_FALSE(redirect_target(from, 307, {}));
  EXPECT_FALSE(redirect_target(from, 307, {{"Location", "http://a.example/"}}));
  EXPECT_FALSE(redirect_target(from, 307, {{"Location", "file:///etc/passwd"}}));
}

}  // namespace

}  // namespace proa::net
