#include "oci/image/remote/session.h"

#include <gmock/gmock.h>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"
#include "net/base64.h"
#include "oci/image/remote/fake_registry_test.h"

namespace proa::oci::image::remote {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kText =
    cat(R"({"schemaVersion":2,"mediaType":")", media::kManifest, R"(","config":{"mediaType":")", media::kConfig,
        R"(","digest":"sha256:)", std::string(64, 'a'), R"(","size":2},"layers":[]})");

class SessionTest : public RemoteTest {
 protected:
  std::string read(Result<BlobBody> blob) {
    if (!blob) return blob.error().message();
    auto text = wait(blob->response.read_all());
    return text ? cat(blob->start, ":", *text) : text.error().message();
  }
  std::string error(const std::string& reference = "1") {
    auto got = wait(repository().manifest(reference));
    return got ? "none" : cat(got.error().message(), " | ", got.error().hint());
  }
  // The registry has the manifest as 1.
  void fill() { registry.manifests["1"] = registry.manifests[Digest::of(kText).text()] = kText; }
};

TEST_F(SessionTest, ManifestByTagAndDigest) {
  fill();
  for (const std::string& reference : {std::string("1"), Digest::of(kText).text()}) {
    const auto got = wait(repository().manifest(reference));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(kText, got->text);
    EXPECT_EQ(Digest::of(kText), got->descriptor.digest);
    EXPECT_EQ(kText.size(), got->descriptor.size);
    EXPECT_EQ(media::kManifest, got->descriptor.media_type);
    const auto head = wait(repository().head_manifest(reference));
    ASSERT_TRUE(head && *head);
    EXPECT_EQ(got->descriptor, **head);
  }
  EXPECT_FALSE(*wait(repository().head_manifest("2")));
}

TEST_F(SessionTest, ErrorsNameRegistryRepositoryAndStep) {
  EXPECT_EQ(cat(registry.where(), "/a/b: get manifest 1: manifest unknown (status 404) | "), error());
}

TEST_F(SessionTest, HostileManifests) {
  fill();
  EXPECT_THAT(error("sha256:" + std::string(64, '0')), HasSubstr("status 404"));
  registry.manifests["sha256:" + std::string(64, '0')] = kText;
  EXPECT_THAT(error("sha256:" + std::string(64, '0')), HasSubstr("bytes that arrived have digest"));
  registry.types["1"] = media::kIndex;
  EXPECT_THAT(error(), HasSubstr("was announced as"));
  registry.types["1"] = "text/html";
  registry.manifests["1"] = "<html>";
  EXPECT_THAT(error(), HasSubstr("is no manifest"));
  registry.types["1"] = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  EXPECT_THAT(error(), HasSubstr("schema 1"));
  registry.manifests["1"] = std::string(5u << 20, ' ');
  EXPECT_THAT(error(), HasSubstr("more than"));
}

TEST_F(SessionTest, EndlessManifest) {
  registry.override = [](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.path() == "/v2/") co_return false;
    const std::string piece(64u << 10, ' ');
    for (;;) CO_TRY(co_await response.write(piece));
  };
  EXPECT_THAT(error(), HasSubstr("more than"));
}

TEST_F(SessionTest, BasicCredentials) {
  fill();
  registry.basic = net::basic_authorization("me", "secret");
  EXPECT_THAT(error(), HasSubstr("unauthorized: authentication required"));
  EXPECT_THAT(error(), HasSubstr(cat("log in with 'proa login ", registry.where())));
}

TEST_F(SessionTest, GivenCredentials) {
  fill();
  registry.basic = net::basic_authorization("me", "secret");
  options.credential = Credential{.user = "me", .password = "secret"};
  EXPECT_EQ("none", error());
}

TEST_F(SessionTest, TokenForEverybodyIsFetchedOnce) {
  fill();
  registry.bearer = "abc";
  const Repository in = repository();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(wait(in.manifest("1")));
  EXPECT_EQ(1U, registry.count("GET /token?service=fake&scope=repository%3Aa%2Fb%3Apull"));
  EXPECT_EQ(4U, registry.count("GET /v2/a/b/manifests/1"));
}

TEST_F(SessionTest, TokenWithCredentials) {
  fill();
  registry.bearer = "abc";
  registry.token_for = net::basic_authorization("me", "secret");
  options.credential = Credential{.user = "me", .password = "wrong"};
  EXPECT_THAT(error(), HasSubstr("get a token from http://" + registry.where() + ": unauthorized: incorrect username"));
  EXPECT_THAT(error(), Not(HasSubstr("wrong")));
}

TEST_F(SessionTest, IdentityTokenIsPosted) {
  fill();
  registry.bearer = "abc";
  options.credential = Credential{.identity_token = "idt"};
  EXPECT_TRUE(wait(repository().manifest("1")));
  const auto seen = registry.seen();
  const auto post = std::ranges::find(seen, "POST /token", &FakeRegistry::Seen::line);
  ASSERT_NE(seen.end(), post);
  EXPECT_THAT(post->body, HasSubstr("grant_type=refresh_token"));
  EXPECT_THAT(post->body, HasSubstr("refresh_token=idt"));
  EXPECT_EQ("", post->authorization);
}

TEST_F(SessionTest, RegistryTokenIsShownAsItIs) {
  fill();
  registry.bearer = "abc";
  options.credential = Credential{.registry_token = "abc"};
  EXPECT_TRUE(wait(repository().manifest("1")));
  EXPECT_EQ(0U, registry.count("GET /token"));
}

TEST_F(SessionTest, LoginChecks) {
  registry.basic = net::basic_authorization("me", "secret");
  const auto good = wait(remote().login(registry.where(), {.user = "me", .password = "secret"}));
  ASSERT_TRUE(good) << good.error().message();
  EXPECT_EQ("secret", good->password);
  const auto bad = wait(remote().login(registry.where(), {.user = "me", .password = "hush"}));
  ASSERT_FALSE(bad);
  EXPECT_EQ(EACCES, bad.error().code());
  EXPECT_THAT(bad.error().message(), Not(HasSubstr("hush")));
}

TEST_F(SessionTest, RedirectsTakeNoCredentialsAlong) {
  registry.basic = net::basic_authorization("me", "secret");
  options.credential = Credential{.user = "me", .password = "secret"};
  const std::string text = "layer";
  other.blobs[Digest::of(text).text()] = text;
  registry.override = [this](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (!request.target().starts_with("/v2/a/b/blobs/") || request.headers().get("Authorization").empty())
      co_return false;
    response.headers.set("Location", cat("http://", other.where(), request.target()));
    CO_TRY(co_await response.send(307, "", ""));
    co_return true;
  };
  EXPECT_EQ("0:layer", read(wait(repository().blob(Digest::of(text), 0))));
  const auto seen = other.seen();
  ASSERT_EQ(1U, seen.size());
  EXPECT_EQ("", seen.front().authorization);
}

TEST_F(SessionTest, ChallengeOfARedirectsTargetIsNotAnswered) {
  registry.basic = net::basic_authorization("me", "secret");
  options.credential = Credential{.user = "me", .password = "secret"};
  other.basic = "none";
  registry.override = [this](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.headers().get("Authorization").empty()) co_return false;
    response.headers.set("Location", cat("http://", other.where(), request.target()));
    CO_TRY(co_await response.send(307, "", ""));
    co_return true;
  };
  EXPECT_THAT(read(wait(repository().blob(Digest::of("x"), 0))), HasSubstr("unauthorized"));
  for (const auto& each : other.seen()) EXPECT_EQ("", each.authorization);
}

TEST_F(SessionTest, RangesAsFarAsTheServerCan) {
  const std::string text = "0123456789";
  registry.blobs[Digest::of(text).text()] = text;
  EXPECT_EQ("4:456789", read(wait(repository().blob(Digest::of(text), 4))));
  EXPECT_EQ("0:0123456789", read(wait(repository().blob(Digest::of(text), 10))));
  registry.ranges = false;
  EXPECT_EQ("0:0123456789", read(wait(repository().blob(Digest::of(text), 4))));
}

TEST_F(SessionTest, RangeOfAnotherPlaceIsRefused) {
  registry.override = [](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.headers().get("Range").empty()) co_return false;
    response.headers.set("Content-Range", "bytes 3-9/10");
    CO_TRY(co_await response.send(206, "", "3456789"));
    co_return true;
  };
  EXPECT_THAT(read(wait(repository().blob(Digest::of("x"), 4))), HasSubstr("Content-Range"));
}

TEST_F(SessionTest, BusyServersAreAskedAgain) {
  fill();
  std::atomic<int> left = 3;
  registry.override = [&left](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.path() == "/v2/" || left-- <= 0) co_return false;
    response.headers.set("Retry-After", "0");
    CO_TRY(co_await response.send(left == 1 ? 503 : 429, "text/plain", "busy"));
    co_return true;
  };
  EXPECT_EQ("none", error());
  EXPECT_EQ(4U, registry.count("GET /v2/a/b/manifests/1"));
}

TEST_F(SessionTest, TooLongAWaitIsAnError) {
  registry.override = [](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.path() == "/v2/") co_return false;
    response.headers.set("Retry-After", "3600");
    CO_TRY(co_await response.send(429, "application/json",
                                  R"({"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]})"));
    co_return true;
  };
  EXPECT_THAT(error(), HasSubstr("toomanyrequests: pull rate limit (status 429) | the registry limits"));
}

TEST_F(SessionTest, MirrorsFirst) {
  fill();
  registries = Registries::parse(cat("registries: {\"", registry.where(), "\": {mirrors: [{url: \"http://",
                                     other.where(), "/cache\"}]}}"))
                   .value();
  const Repository in = repository();
  EXPECT_TRUE(wait(in.manifest("1")));  // the mirror lacks it
  EXPECT_EQ(1U, other.count(cat("GET /cache/v2/a/b/manifests/1?ns=")));
  other.manifests["1"] = kText;
  EXPECT_TRUE(wait(in.manifest("1")));
  EXPECT_EQ(1U, registry.count("GET /v2/a/b/manifests/1"));
}

TEST_F(SessionTest, MirrorsThatAreNotThere) {
  fill();
  registries = Registries::parse(cat("registries: {\"", registry.where(), "\": {mirrors: [",
                                     "{url: \"http://127.0.0.1:1\"}, {url: \"http://", other.where(),
                                     "\", digests-only: true}]}}"))
                   .value();
  EXPECT_EQ("none", error("1"));
  EXPECT_EQ(0U, other.count(""));
  EXPECT_EQ("none", error(Digest::of(kText).text()));
  EXPECT_EQ(1U, other.count("GET"));
}

TEST_F(SessionTest, ServersOfHostsToml) {
  fill();
  const TempFolder folder;
  const std::string home = cat(folder.path(), "/", registry.where());
  ASSERT_TRUE(kernel::make_dirs(home, 0755));
  const auto write = [&](std::string_view text) {
    ASSERT_TRUE(kernel::replace_file(home + "/hosts.toml", text, 0644));
  };
  registries.set_hosts_folders({folder.path()});
  other.manifests["1"] = kText;
  std::string team;
  other.override = [&](net::Request& request, net::Response&) -> net::Task<Result<bool>> {
    team = request.headers().get("x-team");
    co_return false;
  };
  // A mirror that may say what tags mean, and take pushes; the registry itself is asked for neither.
  write(cat("capabilities = ['pull']\n[host.'http://", other.where(), "/cache']\n[host.'http://", other.where(),
            "/cache'.header]\nx-team = 'web'\n"));
  const Repository in = repository();
  EXPECT_TRUE(wait(in.manifest("1")));
  EXPECT_EQ("web", team);
  EXPECT_EQ(0U, registry.count("GET"));
  EXPECT_TRUE(wait(in.for_writing().value().put_manifest("2", std::string(media::kManifest), kText)));
  EXPECT_EQ(1U, other.count("PUT /cache/v2/a/b/manifests/2?ns="));
}

TEST_F(SessionTest, CapabilitiesThatNobodyHas) {
  fill();
  const TempFolder folder;
  const std::string home = cat(folder.path(), "/", registry.where());
  ASSERT_TRUE(kernel::make_dirs(home, 0755));
  ASSERT_TRUE(kernel::replace_file(home + "/hosts.toml", "capabilities = ['pull']", 0644));
  registries.set_hosts_folders({folder.path()});
  EXPECT_EQ("none", error(Digest::of(kText).text()));
  EXPECT_THAT(error("1"), HasSubstr("no server has the capability resolve"));
  EXPECT_THAT(repository().for_writing().error().message(), HasSubstr("no server has the capability push"));
}

TEST_F(SessionTest, Blocked) {
  registries = Registries::parse(cat("registries: {\"", registry.where(), "\": {blocked: true}}")).value();
  const auto none = remote().repository(registry.where(), "a/b");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("is blocked"));
}

UploadBody body_of(const std::string& text) {
  return {.source =
              [&text] {
                return net::blocking_source([&text, sent = false]() mutable -> Result<std::string_view> {
                  return std::exchange(sent, true) ? std::string_view() : std::string_view(text);
                });
              },
          .size = text.size()};
}

TEST_F(SessionTest, Uploads) {
  const Repository to = repository();
  const std::string text = "0123456789";
  auto upload = wait(to.begin_upload());
  ASSERT_TRUE(upload && *upload);
  ASSERT_TRUE(wait(to.finish_upload(**upload, Digest::of(text), body_of(text))));
  EXPECT_EQ(text, registry.blobs[Digest::of(text).text()]);
  EXPECT_EQ(10U, **wait(to.head_blob(Digest::of(text))));
  // From another repository.
  const auto mounted = wait(to.begin_upload(Digest::of(text), "c/d"));
  ASSERT_TRUE(mounted);
  EXPECT_FALSE(*mounted);
}

TEST_F(SessionTest, UploadInChunks) {
  const Repository to = repository();
  const std::string first = "01234", second = "56789", whole = first + second;
  auto upload = wait(to.begin_upload());
  ASSERT_TRUE(upload && *upload);
  ASSERT_TRUE(wait(to.upload_chunk(**upload, body_of(first))));
  EXPECT_EQ(5U, (*upload)->offset);
  (*upload)->offset = 0;
  ASSERT_TRUE(wait(to.refresh_upload(**upload)));
  EXPECT_EQ(5U, (*upload)->offset);
  ASSERT_TRUE(wait(to.upload_chunk(**upload, body_of(second))));
  ASSERT_TRUE(wait(to.finish_upload(**upload, Digest::of(whole))));
  EXPECT_EQ(whole, registry.blobs[Digest::of(whole).text()]);
}

TEST_F(SessionTest, ManifestsArePut) {
  const auto put = wait(repository().put_manifest("1", std::string(media::kManifest), kText));
  ASSERT_TRUE(put) << put.error().message();
  EXPECT_EQ(Digest::of(kText), put->digest);
  EXPECT_EQ(kText, registry.manifests["1"]);
}

TEST_F(SessionTest, TagsPageByPage) {
  registry.override = [](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.path() != "/v2/a/b/tags/list") co_return false;
    const bool first = request.query().empty();
    if (first) response.headers.set("Link", "</v2/a/b/tags/list?last=2>; rel=\"next\"");
    CO_TRY(co_await response.send(200, "application/json",
                                  first ? R"({"name":"a/b","tags":["1","2"]})" : R"({"name":"a/b","tags":["3"]})"));
    co_return true;
  };
  EXPECT_EQ((std::vector<std::string>{"1", "2", "3"}), wait(repository().all_tags()).value());
}

TEST_F(SessionTest, ReferrersByTheFallbackTag) {
  const std::string index = cat(
      R"({"schemaVersion":2,"mediaType":")", media::kIndex, R"(","manifests":[)", R"({"mediaType":")", media::kManifest,
      R"(","digest":"sha256:)", std::string(64, 'b'), R"(","size":3,"artifactType":"a/x"},{"mediaType":")",
      media::kManifest, R"(","digest":"sha256:)", std::string(64, 'c'), R"(","size":3,"artifactType":"a/y"}]})");
  const Digest subject = Digest::of(kText);
  registry.manifests[cat("sha256-", subject.hex())] = index;
  registry.types[cat("sha256-", subject.hex())] = media::kIndex;
  EXPECT_EQ(2U, wait(repository().referrers(subject)).value().index.manifests.size());
  EXPECT_EQ(1U, wait(repository().referrers(subject, "a/y")).value().index.manifests.size());
  EXPECT_EQ(0U, wait(repository().referrers(Digest::of("other"))).value().index.manifests.size());
}

TEST_F(SessionTest, NobodyListens) {
  const auto got = wait(remote().repository("127.0.0.1:1", "a").value().manifest("1"));
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message(), StartsWith("127.0.0.1:1/a: get manifest 1: "));
  EXPECT_EQ(ECONNREFUSED, got.error().code());
}

}  // namespace
}  // namespace proa::oci::image::remote
