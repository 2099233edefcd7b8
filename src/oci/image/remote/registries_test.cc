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
               each.digests_only ? "@" : "");
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

}  // namespace
}  // namespace proa::oci::image::remote
