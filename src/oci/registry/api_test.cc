#include "oci/registry/api.h"

#include <gmock/gmock.h>

#include "kernel/temp_folder_test.h"
#include "net/loopback_test.h"
#include "oci/image/types.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {
namespace {

using image::Digest;
using net::BlockingResponse;
using net::ClientRequest;
using testing::HasSubstr;

struct Got {
  int status = 0;
  net::Headers headers;
  std::string body;
};

// A registry in this process, and requests to it.
class Served {
 public:
  Served(net::Loops& loops, const std::string& root, AuthOptions auth = {}, ApiOptions options = {.access_log = false})
      : authenticator_(Authenticator::create(std::move(auth), root + ".key").value()),
        api(Repositories::open(root, image::Sync::kNone).value(), *authenticator_, metrics, options),
        server(loops, [this](net::Request& request, net::Response& response) { return api.handle(request, response); }),
        client_(loops) {
    where = server.listen(net::Endpoint::parse("127.0.0.1:0").value()).value().text();
  }
  ~Served() { server.stop(); }

  Got ask(const std::string& method, const std::string& path, const std::string& body = {}, net::Headers headers = {}) {
    ClientRequest request{.method = method,
                          .url = net::Url::parse(cat("http://", where, path)).value(),
                          .headers = std::move(headers),
                          .body = body};
    auto response = net::BlockingClient(client_).send(std::move(request));
    EXPECT_TRUE(response) << response.error().message();
    return {response->status(), response->headers(), response->read_all().value_or("cut")};
  }
  Digest push(const std::string& name, const std::string& text) {
    const Digest digest = Digest::of(text);
    EXPECT_EQ(201, ask("POST", cat("/v2/", name, "/blobs/uploads/?digest=", digest.text()), text).status);
    return digest;
  }
  Digest push_image(const std::string& name, const std::string& tag, const std::string& layer) {
    const Digest config = push(name, "{}"), blob = push(name, layer);
    const std::string text =
        cat(R"({"schemaVersion":2,"mediaType":")", image::media::kManifest,
            R"(","config":{"mediaType":"c/c","size":2,"digest":")", config.text(),
            R"("},"layers":[{"mediaType":"l/l","size":)", layer.size(), R"(,"digest":")", blob.text(), "\"}]}");
    EXPECT_EQ(
        201,
        ask("PUT", cat("/v2/", name, "/manifests/", tag), text, {{"Content-Type", image::media::kManifest}}).status);
    return Digest::of(text);
  }

  Metrics metrics;

 private:
  std::unique_ptr<Authenticator> authenticator_;

 public:
  Api api;
  net::Server server;
  std::string where;

 private:
  net::Client client_;
};

class ApiTest : public testing::Test {
 protected:
  ApiTest() : loops(*net::Loops::start({.threads = 2, .blocking_threads = 4})) {}
  TempFolder folder;
  std::unique_ptr<net::Loops> loops;
};

TEST_F(ApiTest, PushesAndPulls) {
  Served registry(*loops, folder / "root");
  EXPECT_EQ(200, registry.ask("GET", "/v2/").status);
  const Digest digest = registry.push_image("a/b", "1", std::string(3'000'000, 'x'));
  const Got manifest = registry.ask("GET", "/v2/a/b/manifests/1");
  EXPECT_EQ(200, manifest.status);
  EXPECT_EQ(digest, Digest::of(manifest.body));
  EXPECT_EQ(digest.text(), manifest.headers.get("Docker-Content-Digest"));
  const std::string path = cat("/v2/a/b/blobs/", Digest::of(std::string(3'000'000, 'x')).text());
  EXPECT_EQ(std::string(3'000'000, 'x'), registry.ask("GET", path).body);
  const Got head = registry.ask("HEAD", path);
  EXPECT_EQ("3000000", head.headers.get("Content-Length"));
  EXPECT_EQ("", head.body);
  const Got part = registry.ask("GET", path, {}, {{"Range", "bytes=5-9"}});
  EXPECT_EQ(206, part.status);
  EXPECT_EQ("xxxxx", part.body);
  EXPECT_EQ(304, registry.ask("GET", path, {}, {{"If-None-Match", head.headers.get("ETag")}}).status);
  EXPECT_THAT(registry.ask("GET", "/v2/_catalog").body, HasSubstr("[\"a/b\"]"));
  EXPECT_THAT(registry.ask("GET", "/metrics").body, HasSubstr("route=\"manifest\",method=\"PUT\",code=\"2xx\"} 1\n"));
}

TEST_F(ApiTest, ChunksAndMistakes) {
  Served registry(*loops, folder / "root");
  const Got begun = registry.ask("POST", "/v2/a/blobs/uploads/");
  EXPECT_EQ(202, begun.status);
  const std::string place(begun.headers.get("Location"));
  EXPECT_EQ(202, registry.ask("PATCH", place, "hello", {{"Content-Range", "0-4"}}).status);
  const Got skipped = registry.ask("PATCH", place, "x", {{"Content-Range", "9-9"}});
  EXPECT_EQ(416, skipped.status);
  EXPECT_EQ("0-4", skipped.headers.get("Range"));
  EXPECT_EQ("0-4", registry.ask("GET", place).headers.get("Range"));
  EXPECT_EQ(400, registry.ask("PUT", place, " world").status);  // no digest
  EXPECT_EQ(201, registry.ask("PUT", cat(place, "?digest=", Digest::of("hello world").text()), " world").status);
  EXPECT_THAT(registry.ask("GET", "/v2/A/tags/list").body, HasSubstr("NAME_INVALID"));
  EXPECT_EQ("GET", registry.ask("POST", "/v2/_catalog").headers.get("Allow"));
}

TEST_F(ApiTest, ChallengesAndTokens) {
  folder.write("users", "");
  Served registry(*loops, folder / "root", {.htpasswd = folder / "users", .anonymous_pull = true, .own_tokens = true});
  const Got closed = registry.ask("GET", "/v2/");
  EXPECT_EQ(401, closed.status);
  EXPECT_EQ(cat("Bearer realm=\"http://", registry.where, "/token\",service=\"proa-registry\""),
            closed.headers.get("WWW-Authenticate"));
  EXPECT_EQ(404, registry.ask("GET", "/v2/a/tags/list").status);
  const Got refused = registry.ask("POST", "/v2/a/blobs/uploads/?mount=x&from=b");
  EXPECT_EQ(401, refused.status);
  EXPECT_THAT(refused.headers.get("WWW-Authenticate"), HasSubstr("scope=\"repository:a:pull,push\""));
  const Got token = registry.ask("GET", "/token?scope=repository:a:pull,push");
  EXPECT_EQ(200, token.status);
  EXPECT_THAT(token.body, HasSubstr("\"expires_in\":300"));
  EXPECT_EQ(405, registry.ask("PUT", "/token").status);
  EXPECT_EQ(400, registry.ask("POST", "/token", "grant_type=refresh_token").status);
}

TEST_F(ApiTest, MirrorsAnother) {
  Served upstream(*loops, folder / "upstream"), here(*loops, folder / "here");
  const auto mirror = Mirror::create(*loops, {{.prefix = "up", .url = cat("http://", upstream.where)}},
                                     here.api.repositories(), here.metrics);
  ASSERT_TRUE(mirror) << mirror.error().message();
  here.api.set_mirror(mirror->get());
  const std::string layer(2'000'000, 'y');
  const Digest digest = upstream.push_image("a", "1", layer);
  EXPECT_EQ(digest.text(), here.ask("GET", "/v2/up/a/manifests/1").headers.get("Docker-Content-Digest"));
  const std::string path = cat("/v2/up/a/blobs/", Digest::of(layer).text());
  EXPECT_EQ("2000000", here.ask("HEAD", path).headers.get("Content-Length"));
  EXPECT_EQ("yyy", here.ask("GET", path, {}, {{"Range", "bytes=7-9"}}).body);
  EXPECT_EQ(layer, here.ask("GET", path).body);
  EXPECT_EQ(404, here.ask("GET", "/v2/up/a/manifests/2").status);
  EXPECT_EQ(404, here.ask("GET", "/v2/up/b/blobs/" + digest.text()).status);
  EXPECT_EQ(404, here.ask("GET", "/v2/a/manifests/1").status);
  EXPECT_EQ(405, here.ask("POST", "/v2/up/a/blobs/uploads/").status);
  here.server.stop();
}

TEST_F(ApiTest, AMirrorTellsABlobThatIsNotWhatItShouldBe) {
  Served upstream(*loops, folder / "upstream"), here(*loops, folder / "here");
  const auto mirror =
      Mirror::create(*loops, {{.url = cat("http://", upstream.where)}}, here.api.repositories(), here.metrics);
  here.api.set_mirror(mirror->get());
  const std::string layer(1'000'000, 'z');
  upstream.push_image("a", "1", layer);
  folder.write(cat("upstream/blobs/sha256/", Digest::of(layer).hex()), std::string(1'000'000, 'Z'));
  const Got got = here.ask("GET", cat("/v2/a/blobs/", Digest::of(layer).text()));
  EXPECT_NE(layer.size(), got.body.size());
  EXPECT_FALSE(*here.api.repositories().has_blob("a", Digest::of(layer)));
  here.server.stop();
}

}  // namespace
}  // namespace proa::oci::registry
