#include "kube/apiserver/access/pki/cluster_pki.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"
#include "kube/apiserver/access/authenticator.h"
#include "net/client.h"
#include "net/server.h"

namespace proa::kube::api::pki {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;

constexpr int64_t kDay = 86'400;

class ClusterPkiTest : public testing::Test {
 protected:
  ClusterPki open(int64_t now, std::vector<std::string> names = {"web.example", "192.0.2.7"}) {
    auto pki = ClusterPki::open({.folder = folder_ / "pki", .names = std::move(names)}, now);
    EXPECT_TRUE(pki) << pki.error().message();
    return *std::move(pki);
  }
  std::string text(const char* file) { return folder_.read(cat("pki/", file)); }
  Certificate certificate(const char* file) { return *Certificate::parse(text(file)); }

  TempFolder folder_;
  const int64_t now_ = ::time(nullptr);
};

TEST_F(ClusterPkiTest, MakesEverything) {
  const ClusterPki pki = open(now_);
  const Certificate serving = certificate("apiserver.crt");
  EXPECT_THAT(serving.dns_names(),
              IsSupersetOf({"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                            "kubernetes.default.svc.cluster.local", "web.example"}));
  EXPECT_THAT(serving.addresses(), IsSupersetOf({"127.0.0.1", "::1", "10.43.0.1", "192.0.2.7"}));
  EXPECT_TRUE(serving.issued_by(pki.authority().certificate));
  EXPECT_THAT(pki.admin().organizations(), ElementsAre("system:masters"));
  EXPECT_TRUE(pki.admin().is_for(pki.admin_key()));
  EXPECT_TRUE(certificate("front-proxy-client.crt").issued_by(pki.front_proxy().certificate));
  EXPECT_FALSE(certificate("front-proxy-client.crt").issued_by(pki.authority().certificate));
  EXPECT_EQ(pki.token_key().algorithm(), "ES256");
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "pki")) {
    struct stat info{};
    ASSERT_EQ(::stat(file.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600) << file.path();
  }
}

TEST_F(ClusterPkiTest, KeepsWhatIsGood) {
  open(now_);
  const std::string before = text("apiserver.crt") + text("admin.crt") + text("ca.crt") + text("sa.pub");
  EXPECT_THAT(*open(now_ + 30 * kDay).renew(now_ + 31 * kDay), IsEmpty());
  EXPECT_EQ(text("apiserver.crt") + text("admin.crt") + text("ca.crt") + text("sa.pub"), before);
}

TEST_F(ClusterPkiTest, RenewsBeforeTheEnd) {
  ClusterPki pki = open(now_);
  const auto changed = *pki.renew(now_ + 300 * kDay);
  EXPECT_THAT(changed, Contains(pki.path("apiserver.crt")));
  EXPECT_THAT(changed, testing::Not(Contains(pki.path("ca.crt"))));
  EXPECT_GT(certificate("apiserver.crt").not_after(), now_ + 600 * kDay);
}

TEST_F(ClusterPkiTest, RenewsTheAuthorityWithItsKey) {
  const Certificate before = open(now_).admin();
  const ClusterPki later = open(now_ + 3300 * kDay);
  EXPECT_GT(later.authority().certificate.not_after(), now_ + 3700 * kDay);
  EXPECT_TRUE(before.issued_by(later.authority().certificate));
}

TEST_F(ClusterPkiTest, NamesThatComeAreAdded) {
  open(now_);
  open(now_, {"other.example"});
  EXPECT_THAT(certificate("apiserver.crt").dns_names(), Contains("other.example"));
}

TEST_F(ClusterPkiTest, MendsHalfAPair) {
  open(now_);
  folder_.write("pki/apiserver.key", Key::make()->private_pem());
  const ClusterPki pki = open(now_);
  EXPECT_TRUE(certificate("apiserver.crt").is_for(*Key::parse_private(text("apiserver.key"))));
  std::filesystem::remove(folder_ / "pki/ca.crt");
  const ClusterPki again = open(now_);
  EXPECT_TRUE(pki.admin().issued_by(again.authority().certificate));
}

TEST_F(ClusterPkiTest, DoesNotReplaceAnAuthorityWithoutKey) {
  open(now_);
  std::filesystem::remove(folder_ / "pki/ca.key");
  const auto pki = ClusterPki::open({.folder = folder_ / "pki"}, now_);
  ASSERT_FALSE(pki);
  EXPECT_THAT(pki.error().message(), HasSubstr("ca.key: is missing"));
}

TEST_F(ClusterPkiTest, FurtherTokenKeysAreBelieved) {
  open(now_);
  const Key other = *Key::make();
  folder_.write("pki/sa.pub", text("sa.pub") + other.public_pem());
  const ClusterPki pki = open(now_);
  ASSERT_EQ(pki.token_keys().size(), 2U);
  EXPECT_EQ(pki.token_keys()[1].id(), other.id());
}

TEST_F(ClusterPkiTest, SignaturesOfTokens) {
  const Key key = *Key::make();
  const std::string signature = *key.sign("text");
  EXPECT_EQ(signature.size(), 64U);
  const Key reader = Key::parse_public(key.public_pem())->front();
  EXPECT_TRUE(reader.verify("ES256", "text", signature));
  EXPECT_FALSE(reader.verify("ES256", "texts", signature));
  EXPECT_FALSE(reader.verify("ES256", "text", ""));
  EXPECT_EQ(reader.id(), key.id());
}

// Over a real connection: who is told, and who is turned away.
TEST_F(ClusterPkiTest, WhoComesWithWhichCertificate) {
  const ClusterPki pki = open(now_);
  const Key key = *Key::make();
  const CertificateTerms terms{.common_name = "jane",
                               .organizations = {"dev", "ops"},
                               .client = true,
                               .not_before = now_ - 60,
                               .not_after = now_ + 3600};
  folder_.write("jane.crt", issue(terms, key, &pki.authority())->pem());
  folder_.write("jane.key", key.private_pem());
  const Authority stranger{
      *issue({.common_name = "stranger", .authority = true, .not_before = now_ - 60, .not_after = now_ + 60}, key,
             nullptr),
      key};
  folder_.write("stranger.crt", issue(terms, key, &stranger)->pem());

  const auto loops = *net::Loops::start({.threads = 1});
  const auto authenticator = standard_authenticator({});
  net::Server server(*loops, [&](net::Request& request, net::Response& response) -> net::Task<Result<>> {
    const auto user = authenticator->authenticate(request);
    if (!user) co_return co_await response.send(user.error().code, "text/plain", user.error().message);
    std::string text = user->name;
    for (const std::string& group : user->groups) text += cat(" ", group);
    co_return co_await response.send(200, "text/plain", text);
  });
  auto tls = *net::TlsServer::create({.certificate_file = pki.path("apiserver.crt"),
                                      .key_file = pki.path("apiserver.key"),
                                      .client_ca_file = pki.path("ca.crt"),
                                      .client_auth = net::TlsServer::ClientAuth::kJudge,
                                      .allow_tls12 = true});
  const auto where = *server.listen(*net::Endpoint::parse("127.0.0.1:0"), tls);
  const auto ask = [&](const std::string& certificate, const std::string& token) {
    net::Client::Options options;
    options.tls.ca_file = pki.path("ca.crt");
    if (!certificate.empty()) {
      options.tls.certificate_file = folder_ / certificate;
      options.tls.key_file = folder_ / "jane.key";
    }
    net::Client client(*loops, options);
    net::ClientRequest request{.url = *net::Url::parse(cat("https://", where.text(), "/"))};
    if (!token.empty()) request.headers.set("Authorization", cat("Bearer ", token));
    auto response = net::BlockingClient(client).send(std::move(request));
    return response ? cat(response->status(), " ", *response->read_all()) : response.error().message();
  };
  EXPECT_EQ(ask("jane.crt", ""), "200 jane dev ops system:authenticated");
  EXPECT_EQ(ask("", ""), "200 system:anonymous system:unauthenticated");
  EXPECT_EQ(ask("", "nonsense"), "401 Unauthorized");
  EXPECT_EQ(ask("stranger.crt", ""), "401 Unauthorized");
}

}  // namespace
}  // namespace proa::kube::api::pki
