#include "net/grpc.h"

#include "net/loopback_test.h"

namespace proa::net {
namespace {

std::string frame(std::string_view message) {
  return std::string(4, '\0') + static_cast<char>(message.size()) + std::string(message);
}

class GrpcTest : public NetTest {
 protected:
  // A server's answer: `body` with a status in the trailers.
  void answer(std::string body, std::string status, std::string message = {}) {
    where = serve([=](Request& request, Response& response) -> Task<Result<>> {
      EXPECT_EQ(request.path(), "/test.Service/Method");
      EXPECT_EQ(request.headers().get("content-type"), "application/grpc");
      EXPECT_EQ(request.headers().get("te"), "trailers");
      EXPECT_EQ(CO_TRY(co_await request.read_all()), frame("question"));
      response.headers.set("content-type", "application/grpc");
      response.trailers.set("grpc-status", status);
      if (!message.empty()) response.trailers.set("grpc-message", message);
      CO_TRY(co_await response.write(body));
      co_return Result<>();
    });
  }
  GrpcRequest request(std::string message) {
    return {.server = Url::parse("http://" + where).value(),
            .method = "/test.Service/Method",
            .message = std::move(message),
            .headers = {},
            .sent = &sent};
  }
  Result<GrpcAnswer> call() {
    client_options.http2_prior_knowledge = true;
    client = std::make_unique<Client>(*loops, client_options);
    return Loops::wait(client->loop(), grpc_call(*client, request("question")));
  }

  std::string where;
  bool sent = false;
};

TEST_F(GrpcTest, OneMessageThereAndOneBack) {
  answer(frame("answer"), "0");
  const auto got = call();
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(got->status.ok());
  EXPECT_EQ(got->message, "answer");
  EXPECT_TRUE(sent);
}

TEST_F(GrpcTest, AStatusIsNoError) {
  answer("", "5", "not%20there");
  const auto got = call();
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->status.code, GrpcCode::kNotFound);
  EXPECT_EQ(got->status.message, "not there");
}

TEST_F(GrpcTest, WhatIsNoMessageIsAnError) {
  for (const std::string& body : {frame("answer") + "x", frame("answer").substr(0, 9), std::string("\1\0\0\0\0", 5),
                                  std::string("\0\xff\xff\xff\xff", 5), std::string()}) {
    answer(body, "0");
    EXPECT_FALSE(call());
  }
}

TEST_F(GrpcTest, WhatWasNotSentIsKnown) {
  where = "127.0.0.1:1";
  EXPECT_FALSE(call());
  EXPECT_FALSE(sent);
}

TEST_F(GrpcTest, AStreamGoesBothWays) {
  where = serve([](Request& request, Response& response) -> Task<Result<>> {
    response.headers.set("content-type", "application/grpc");
    response.trailers.set("grpc-status", "0");
    for (;;) {
      const std::string_view piece = CO_TRY(co_await request.read());
      if (piece.empty() || piece.find("end") != std::string_view::npos) break;
      CO_TRY(co_await response.write(piece));
    }
    co_return Result<>();
  });
  client_options.http2_prior_knowledge = true;
  client = std::make_unique<Client>(*loops, client_options);
  const auto talk = [](Client& by, GrpcRequest first) -> Task<Result<std::string>> {
    const auto stream = CO_TRY(co_await GrpcStream::open(by, std::move(first)));
    std::string heard(CO_TRY(co_await stream->read()).value_or("nothing"));
    for (const char* word : {"b", "c"}) {
      CO_TRY(co_await stream->write(word));
      heard += CO_TRY(co_await stream->read()).value_or("nothing");
    }
    CO_TRY(co_await stream->write("end"));
    if (CO_TRY(co_await stream->read())) co_return fail("more than was said");
    co_return heard + (stream->status().ok() ? " ok" : " failed");
  };
  const auto heard = Loops::wait(client->loop(), talk(*client, request("a")));
  ASSERT_TRUE(heard) << heard.error().message();
  EXPECT_EQ(*heard, "abc ok");
}

TEST_F(GrpcTest, CancellingEndsARead) {
  where = serve([](Request& request, Response& response) -> Task<Result<>> {
    response.headers.set("content-type", "application/grpc");
    CO_TRY(co_await response.flush());
    while (!CO_TRY(co_await request.read()).empty()) continue;
    co_return Result<>();
  });
  client_options.http2_prior_knowledge = true;
  client = std::make_unique<Client>(*loops, client_options);
  const auto listen = [](Client& by, GrpcRequest first) -> Task<bool> {
    auto stream = co_await GrpcStream::open(by, std::move(first));
    if (!stream) co_return false;
    by.loop().post([&] { (*stream)->cancel(); });
    co_return !co_await (*stream)->read();
  };
  EXPECT_TRUE(Loops::wait(client->loop(), listen(*client, request("a"))));
}

}  // namespace
}  // namespace proa::net
