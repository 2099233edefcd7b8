// Shared by the tests of this module: loops, a server on a loopback port, and a client.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "net/client.h"
#include "net/server.h"

namespace proa::net {

class NetTest : public testing::Test {
 protected:
  NetTest() : loops(*Loops::start({.threads = 2, .blocking_threads = 4})) {}

  // Starts a server and gives its "host:port".
  std::string serve(Server::Handler handler, const Server::Options& options = {},
                    std::shared_ptr<TlsServer> tls = nullptr) {
    server = std::make_unique<Server>(*loops, std::move(handler), options);
    const auto where = server->listen(*Endpoint::parse("127.0.0.1:0"), std::move(tls));
    EXPECT_TRUE(where) << where.error().message();
    return where->text();
  }
  static ClientRequest get(const std::string& url) { return {.url = Url::parse(url).value()}; }
  Result<BlockingResponse> fetch(ClientRequest request) {
    if (!client) client = std::make_unique<Client>(*loops, client_options);
    return BlockingClient(*client).send(std::move(request));
  }
  // Sends bytes as they are and gives all that comes back until the server closes.
  static std::string raw(const std::string& where, std::string_view bytes, bool half_close = false);

  std::unique_ptr<Loops> loops;
  std::unique_ptr<Server> server;
  Client::Options client_options;
  std::unique_ptr<Client> client;
};

}  // namespace proa::net
