#include "net/tls.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "net/certificates_test.h"
#include "net/loopback_test.h"

namespace proa::net {

namespace {

using testing::HasSubstr;

Task<Result<>> who(Request& request, Response& response) {
  const PeerCertificate* certificate = request.peer().certificate.get();
  co_return co_await response.send(
      200, "text/plain",
      certificate
          ? cat(certificate->common_name, "/", certificate->organizations.empty() ? "" : certificate->organizations[0])
          : "nobody");
}

class TlsTest : public NetTest {
 protected:
  std::shared_ptr<TlsServer> server_tls(TlsServer::ClientAuth auth = TlsServer::ClientAuth::kNone) {
    const auto files = authority.issue("server");
    auto tls = TlsServer::create({.certificate_file = files.certificate,
                                  .key_file = files.key,
                                  .client_ca_file = authority.file(),
                                  .client_auth = auth});
    EXPECT_TRUE(tls) << tls.error().message();
    return *tls;
  }
  std::string get_text(const std::string& url) {
    auto response = fetch(get(url));
    return response ? *response->read_all() : response.error().message();
  }
  TestAuthority authority;
};

TEST_F(TlsTest, ServerIsVerified) {
  const std::string where = serve(who, {}, server_tls());
  EXPECT_THAT(get_text(cat("https://", where, "/")), HasSubstr(cat(where, ": ")));
  EXPECT_THAT(get_text(cat("https://", where, "/")), HasSubstr("certificate: "));
  client_options.tls.ca_file = authority.file();
  client.reset();
  EXPECT_EQ("nobody", get_text(cat("https://", where, "/")));
  client_options.tls = {.insecure = true};
  client.reset();
  EXPECT_EQ("nobody", get_text(cat("https://", where, "/")));
}

TEST_F(TlsTest, NameMustMatch) {
  const std::string where = serve(who, {}, server_tls());
  client_options.tls.ca_file = authority.file();
  EXPECT_THAT(get_text(cat("https://other.localhost:", parse_host_port(where)->port, "/")),
              HasSubstr("certificate: hostname mismatch"));
}

TEST_F(TlsTest, ClientIsKnownByItsCertificate) {
  const std::string where = serve(who, {}, server_tls(TlsServer::ClientAuth::kRequest));
  client_options.tls.ca_file = authority.file();
  EXPECT_EQ("nobody", get_text(cat("https://", where, "/")));
  const auto files = authority.issue("alice", "team:a");
  client_options.tls.certificate_file = files.certificate;
  client_options.tls.key_file = files.key;
  client.reset();
  EXPECT_EQ("alice/team:a", get_text(cat("https://", where, "/")));
}

TEST_F(TlsTest, ClientCertificateMayBeRequired) {
  const std::string where = serve(who, {}, server_tls(TlsServer::ClientAuth::kRequire));
  client_options.tls.ca_file = authority.file();
  EXPECT_THAT(get_text(cat("https://", where, "/")), HasSubstr("certificate required"));
}

TEST_F(TlsTest, ReloadedCertificateIsUsed) {
  const auto first = authority.issue("first");
  auto tls = *TlsServer::create({.certificate_file = first.certificate, .key_file = first.key});
  const std::string where = serve(who, {}, tls);
  client_options.tls.ca_file = authority.file();
  const std::string url = cat("https://second.localhost:", parse_host_port(where)->port, "/");
  EXPECT_THAT(get_text(url), HasSubstr("hostname mismatch"));
  const auto second = authority.issue("second.localhost");
  std::filesystem::rename(second.certificate, first.certificate);
  EXPECT_THAT(tls->reload().error().message(), HasSubstr("is not the key of certificate"));
  std::filesystem::rename(second.key, first.key);
  ASSERT_TRUE(tls->reload());
  EXPECT_EQ("nobody", get_text(url));
}

TEST_F(TlsTest, PlainClientIsToldNothing) {
  const std::string where = serve(who, {}, server_tls());
  EXPECT_EQ(std::string::npos, raw(where, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").find("HTTP/1.1 200"));
  EXPECT_THAT(get_text(cat("http://", where, "/")), testing::Not(HasSubstr("nobody")));
}

TEST_F(TlsTest, MissingFilesAreNamed) {
  EXPECT_THAT(TlsServer::create({.certificate_file = "/none.pem", .key_file = "/none.key"}).error().message(),
              HasSubstr("certificate /none.pem"));
  EXPECT_THAT(TlsClient::create({.ca_file = "/none.pem"}).error().message(), HasSubstr("authorities /none.pem"));
}

TEST_F(TlsTest, LargeBodies) {
  const std::string big(5 << 20, 'b');
  const std::string where = serve(
      [&](Request& request, Response& response) -> Task<Result<>> {
        const std::string body = CO_TRY(co_await request.read_all(8 << 20));
        co_return co_await response.send(200, "text/plain", body);
      },
      {}, server_tls());
  client_options.tls.ca_file = authority.file();
  auto response = fetch({.method = "POST", .url = *Url::parse(cat("https://", where, "/")), .body = big});
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_TRUE(big == *response->read_all(8 << 20));
}

}  // namespace

}  // namespace proa::net
