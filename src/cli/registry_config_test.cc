#include "cli/registry_config.h"

#include <gmock/gmock.h>

namespace proa::cli {
namespace {

using oci::registry::ServeSettings;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(RegistryConfig, ReadsEverything) {
  ServeSettings s;
  const auto done = read_registry_config(R"(
root: /srv/registry
listen: ["*:5000", "unix:///run/registry.sock"]
drain: 5s
tls: {certificate: c, key: k, client_ca: a, client_required: true, tls12: true}
auth:
  realm: r
  htpasswd: h
  policy: p
  anonymous_pull: true
  client_certificates: true
  token: {own: true, key: tk, lifetime: 10m, realm: tr, service: s, issuer: i, certificates: b, jwks: j}
storage: {read_only: true, delete: false, automatic_mount: false, sparse: true, max_blob: 5g, max_manifest: 1048576, upload_expiry: 2h}
gc: {interval: 24h, grace: 600, untagged: true}
limits: {requests: 7}
metrics: {listen: "127.0.0.1:9000"}
log: {access: false}
mirrors:
- {prefix: hub, url: "https://registry.example", user: u, password: w, password_file: f, ca: x, insecure: true, tag_ttl: 1m, max_size: 2g}
)",
                                         s);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ("/srv/registry", s.root);
  EXPECT_THAT(s.listen, ElementsAre("*:5000", "unix:///run/registry.sock"));
  EXPECT_EQ(seconds(5), s.drain);
  EXPECT_TRUE(s.tls.certificate == "c" && s.tls.key == "k" && s.tls.client_ca == "a" && s.tls.client_required &&
              s.tls.allow_tls12);
  EXPECT_TRUE(s.auth.realm == "r" && s.auth.htpasswd == "h" && s.auth.policy == "p" && s.auth.anonymous_pull &&
              s.auth.client_certificates);
  EXPECT_TRUE(s.auth.own_tokens && s.auth.token_key == "tk" && s.auth.token_realm == "tr" && s.auth.service == "s");
  EXPECT_TRUE(s.auth.issuer == "i" && s.auth.certificates == "b" && s.auth.jwks == "j" &&
              s.auth.token_lifetime == seconds(600));
  EXPECT_TRUE(s.read_only && !s.deletes && !s.automatic_mount && s.sparse);
  EXPECT_EQ(5ull << 30, s.max_blob_bytes);
  EXPECT_EQ(1u << 20, s.max_manifest_bytes);
  EXPECT_EQ(seconds(7200), s.gc.upload_expiry);
  EXPECT_TRUE(s.gc_interval == seconds(86400) && s.gc.grace == seconds(600) && s.gc.untagged);
  EXPECT_TRUE(s.max_requests == 7 && s.metrics_listen == "127.0.0.1:9000" && !s.access_log);
  ASSERT_EQ(1u, s.mirrors.size());
  EXPECT_TRUE(s.mirrors[0].prefix == "hub" && s.mirrors[0].url == "https://registry.example" &&
              s.mirrors[0].user == "u");
  EXPECT_TRUE(s.mirrors[0].password_file == "f" && s.mirrors[0].ca_file == "x" && s.mirrors[0].insecure &&
              s.mirrors[0].tag_ttl == seconds(60) && s.mirrors[0].max_bytes == 2ull << 30);
}

TEST(RegistryConfig, MistakesAreNamed) {
  for (const auto& [text, said] : std::initializer_list<std::pair<const char*, const char*>>{
           {"a: 1", "a: there is no such field"},
           {"tls: {cert: x}", "tls.cert: there is no such field"},
           {"auth: {token: {own: 1}}", "auth.token.own: must be true or false"},
           {"storage: {max_blob: -1}", "storage.max_blob: must not be negative"},
           {"gc: {grace: soon}", "gc.grace: "},
           {"mirrors: [{}]", "mirrors[0].url: missing"},
           {"mirrors: 5", "mirrors"},
           {"root: [x]", "root: must be a string"},
           {"root: a\nroot: b", "root"}}) {
    ServeSettings settings;
    const auto done = read_registry_config(text, settings);
    ASSERT_FALSE(done) << text;
    EXPECT_THAT(done.error().message(), HasSubstr(said));
  }
}

}  // namespace
}  // namespace proa::cli
