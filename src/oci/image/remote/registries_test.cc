#include "oci/image/remote/registries.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::image::remote {
namespace {

using testing::HasSubstr;

std::string bases(const Registries& registries, const std::string& domain) {
  std::string out;
  const auto endpoints = registries.endpoints(domain);
  if (!endpoints) return endpoints.error().message();
  for (const Endpoint& each : *endpoints)
    out += cat(out.empty() ? "" : " ", each.base.origin(), each.base.path, each.open_scheme ? "?" : "",
               each.capabilities.resolve ? "" : "@");
  return out;
}

std::string error_of(std::string_view text) {
  const auto parsed = Registries::parse(text);
  return parsed ? "none" : parsed.error().message();
}

TEST(RegistriesTest, WithoutSettings) {
  const Registries none;
  EXPECT_EQ("https://registry-1.docker.io/v2", bases(none, "docker.io"));
  EXPECT_EQ("https://quay.io/v2", bases(none, "quay.io"));
  EXPECT_EQ("https://localhost:5000/v2?", bases(none, "localhost:5000"));
  EXPECT_EQ("https://127.9.0.1:5000/v2?", bases(none, "127.9.0.1:5000"));
  EXPECT_EQ("https://[::1]:5000/v2?", bases(none, "[::1]:5000"));
  EXPECT_EQ("https://127.0.0.1.example:5000/v2", bases(none, "127.0.0.1.example:5000"));
}

TEST(RegistriesTest, Settings) {
  const auto parsed = Registries::parse(R"(
registries:
  docker.io:
    mirrors:
    - url: https://mirror.example/
    - {url: "http://cache.example:5000/v2/hub", digests-only: true}
  registry.example:5000:
    insecure: true
  bad.example: {blocked: true}
)");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ("https://mirror.example/v2 http://cache.example:5000/v2/hub@ https://registry-1.docker.io/v2",
            bases(*parsed, "docker.io"));
  EXPECT_EQ("https://registry.example:5000/v2?", bases(*parsed, "registry.example:5000"));
  EXPECT_THAT(bases(*parsed, "bad.example"), HasSubstr("registry bad.example: is blocked"));
}

TEST(RegistriesTest, JsonWillDoToo) {
  EXPECT_EQ("none", error_of(R"({"registries": {"a.example": {"insecure": true}}})"));
  EXPECT_EQ("none", error_of(""));
  EXPECT_EQ("none", error_of("registries:\n"));
}

TEST(RegistriesTest, ErrorsNameTheField) {
  EXPECT_EQ("mirrors: no such setting", error_of("mirrors: []"));
  EXPECT_EQ("registries.a.insecur: no such setting", error_of("registries: {a: {insecur: true}}"));
  EXPECT_EQ("registries.a.insecure: must be true or false", error_of("registries: {a: {insecure: maybe}}"));
  EXPECT_THAT(error_of("registries: {a: {mirrors: [{url: nowhere}]}}"), HasSubstr("registries.a.mirrors[0].url"));
  EXPECT_THAT(error_of("registries: {a: {mirrors: [{url: \"ftp://x\"}]}}"), HasSubstr("must begin with https"));
  EXPECT_THAT(error_of("registries: {a: {mirrors: [{url: \"https://u:p@x\"}]}}"),
              HasSubstr("must not hold a password"));
  EXPECT_THAT(error_of("registries: {a: {client-key: x}}"), HasSubstr("must be given together"));
  EXPECT_THAT(error_of("registries: {\"a/b\": {}}"), HasSubstr("is no HOST[:PORT]"));
  EXPECT_THAT(error_of(std::string(2u << 20, ' ')), HasSubstr("more than"));
}

TEST(RegistriesTest, CertificatesOfDocker) {
  const TempFolder folder;
  const std::string host = cat(folder.path(), "/registry.example:5000");
  ASSERT_TRUE(kernel::make_dirs(host, 0755));
  for (const char* name : {"a.crt", "b.crt", "me.cert", "me.key"})
    ASSERT_TRUE(kernel::replace_file(cat(host, "/", name), name, 0644));
  Registries registries;
  registries.set_certificate_folders({folder.path()});
  const auto settings = registries.settings("registry.example:5000");
  ASSERT_TRUE(settings) << settings.error().message();
  EXPECT_EQ("a.crt\nb.crt\n", settings->ca_pem);
  EXPECT_EQ(host + "/me.cert", settings->certificate_file);
  EXPECT_EQ(host + "/me.key", settings->key_file);
  EXPECT_EQ("", registries.settings("registry.example")->ca_pem);
  ::unlink((host + "/me.key").c_str());
  EXPECT_THAT(registries.settings("registry.example:5000").error().message(), HasSubstr("has no"));
}

class HostsFileTest : public testing::Test {
 protected:
  HostsFileTest() { registries.set_hosts_folders({folder.path() + "/missing", folder.path()}); }
  void write(const std::string& host, std::string_view text) const {
    ASSERT_TRUE(kernel::make_dirs(cat(folder.path(), "/", host), 0755));
    ASSERT_TRUE(kernel::replace_file(cat(folder.path(), "/", host, "/hosts.toml"), text, 0644));
  }
  TempFolder folder;
  Registries registries;
};

TEST_F(HostsFileTest, MirrorsInTheFilesOrderThenTheServer) {
  write("docker.io", R"(
server = "https://hub.example"
[host."https://z.example"]
  capabilities = ["pull"]
[host."http://a.example:5000/v2/hub"]
  override_path = true
[host."m.example/cache"]
  capabilities = ["pull", "resolve"]
)");
  EXPECT_EQ("https://z.example/v2@ http://a.example:5000/v2/hub https://m.example/cache/v2 https://hub.example/v2",
            bases(registries, "docker.io"));
  const auto endpoints = registries.endpoints("docker.io").value();
  EXPECT_FALSE(endpoints[0].capabilities.push);
  EXPECT_TRUE(endpoints[1].capabilities.push);
  EXPECT_TRUE(endpoints[3].foreign);
  EXPECT_FALSE(endpoints[3].mirror);
}

TEST_F(HostsFileTest, FoldersAreFoundByEachOfTheirNames) {
  write("registry.example_5000_", "[host.'https://a']");
  EXPECT_EQ("https://a/v2 https://registry.example:5000/v2", bases(registries, "registry.example:5000"));
  write("_default", "[host.'https://b']");
  EXPECT_EQ("https://a/v2 https://registry.example:5000/v2", bases(registries, "registry.example:5000"));
  EXPECT_EQ("https://b/v2 https://quay.io/v2", bases(registries, "quay.io"));
  EXPECT_EQ("https://b/v2 https://localhost:5000/v2?", bases(registries, "localhost:5000"));
  EXPECT_EQ(std::vector<std::string>{}, hosts_folder_names("../x"));
}

TEST_F(HostsFileTest, OurOwnFileGoesBefore) {
  const std::string folders = folder.path();
  registries = Registries::parse("registries: {a.example: {insecure: true}}").value();
  registries.set_hosts_folders({folders});
  write("_default", "[host.'https://mirror.example']");
  EXPECT_EQ("https://a.example/v2?", bases(registries, "a.example"));
  registries.make_insecure("b.example");
  EXPECT_EQ("https://mirror.example/v2 https://b.example/v2?", bases(registries, "b.example"));
}

TEST_F(HostsFileTest, HowAServerIsSpokenTo) {
  write("a.example", R"(
skip_verify = true
[host."https://m.example"]
  ca = ["ca.pem", "more.pem"]
  client = [["me.pem", "me.key"]]
  dial_timeout = "1.5s"
  header = { x-team = "web", x-list = ["a", "b"] }
)");
  const std::string home = folder.path() + "/a.example";
  for (const char* name : {"ca.pem", "more.pem"}) ASSERT_TRUE(kernel::replace_file(cat(home, "/", name), name, 0644));
  const auto endpoints = registries.endpoints("a.example");
  ASSERT_TRUE(endpoints) << endpoints.error().message();
  const HostSettings mirror = registries.settings(endpoints->front()).value();
  EXPECT_EQ("ca.pem\nmore.pem\n", mirror.ca_pem);
  EXPECT_EQ(home + "/me.pem", mirror.certificate_file);
  EXPECT_EQ(home + "/me.key", mirror.key_file);
  EXPECT_EQ(1500, mirror.connect_timeout_ms);
  EXPECT_FALSE(mirror.insecure);
  EXPECT_EQ(3u, endpoints->front().own->headers.size());
  EXPECT_TRUE(registries.settings(endpoints->back()).value().insecure);
  ::unlink((home + "/ca.pem").c_str());
  EXPECT_THAT(bases(registries, "a.example"), HasSubstr("registry a.example: https://m.example: ca: "));
}

TEST_F(HostsFileTest, ErrorsNameFileAndField) {
  const auto error = [&](std::string_view text) {
    write("a.example", text);
    return bases(registries, "a.example");
  };
  EXPECT_THAT(error("server = 5"), HasSubstr("a.example/hosts.toml: server: must be"));
  EXPECT_THAT(error("host = 1"), HasSubstr("host"));
  EXPECT_THAT(error("[host.'https://u:p@m']"), HasSubstr("must not hold a password"));
  EXPECT_THAT(error("[host.'ftp://m']"), HasSubstr("must begin with https"));
  EXPECT_THAT(error("capabilities = ['eat']"), HasSubstr("capabilities: \"eat\" is none of"));
  EXPECT_THAT(error("dial_timeout = 'soon'"), HasSubstr("dial_timeout: \"soon\" is no time"));
  EXPECT_THAT(error("client = [['a','b'],['c','d']]"), HasSubstr("client: more than one"));
  EXPECT_THAT(error("client = [['a','b','c']]"), HasSubstr("client: must be"));
  EXPECT_THAT(error("[header]\n'a b' = 'c'"), HasSubstr("is no name of a header"));
  EXPECT_THAT(error("[header]\na = \"b\\nc\""), HasSubstr("header.a: must be one line"));
  EXPECT_THAT(error("a ="), HasSubstr("line 1, column"));
}

}  // namespace
}  // namespace proa::oci::image::remote
