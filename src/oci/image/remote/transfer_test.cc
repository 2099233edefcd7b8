// Pulls and pushes against a registry in this process.
#include <gmock/gmock.h>

#include <filesystem>
#include <thread>

#include "kernel/temp_folder_test.h"
#include "oci/image/remote/fake_registry_test.h"
#include "oci/image/remote/pull.h"
#include "oci/image/remote/push.h"
#include "oci/image/tar_writer.h"
#include "oci/image/text_sink_test.h"

namespace proa::oci::image::remote {
namespace {

using testing::HasSubstr;

class TransferTest : public RemoteTest {
 protected:
  TransferTest() : here(open("here")), there(open("there")) {}

  Images open(const std::string& name) {
    return Images(Store::open({.root = folder_ / name, .sync = Sync::kNone}).value());
  }
  Reference reference(const std::string& rest = "a/b:1") {
    return Reference::parse(cat(registry.where(), "/", rest)).value();
  }
  // A layer of one file.
  static std::string layer(const std::string& file, const std::string& content) {
    Text sink;
    TarWriter tar(sink);
    TarEntry entry;
    entry.type = EntryType::kFile;
    entry.path = file;
    entry.mode = 0644;
    entry.uid = ::geteuid();
    entry.gid = ::getegid();
    entry.size = content.size();
    EXPECT_TRUE(tar.add(entry));
    EXPECT_TRUE(tar.write(std::string_view(content)));
    EXPECT_TRUE(tar.finish());
    return sink.text;
  }
  // An image of three layers in `there`; gives its manifest.
  Manifest make(const std::string& name = "a/b:1", const std::string& architecture = "amd64") {
    std::string base;
    for (int i = 0; i < 3; ++i) {
      const std::string text = layer(cat("file", i), noise(200'000, static_cast<unsigned>(i)) + architecture);
      MemoryReader reader(text);
      CreateOptions how;
      how.base = base;
      how.platform = Platform{.os = "linux", .architecture = architecture};
      how.compression = i == 0 ? Compression::kNone : i == 1 ? Compression::kGzip : Compression::kZstd;
      const auto made = there.create_from_tar(reader, reference(name).text(), how);
      EXPECT_TRUE(made) << made.error().message();
      base = reference(name).text();
    }
    return there.find(base)->manifest;
  }
  static std::string noise(size_t size, unsigned seed) {
    std::string out(size, 0);
    for (char& each : out) each = static_cast<char>((seed = seed * 1'664'525 + 1'013'904'223) >> 24);
    return out;
  }
  // The image is in the registry and in no store.
  Manifest publish() {
    Manifest manifest = make();
    EXPECT_EQ("pushed", push_now());
    return manifest;
  }
  std::string push_now(const PushOptions& how = {}, const std::string& name = "a/b:1") {
    const auto pushed = push(remote(), there, reference(name), how);
    return pushed ? "pushed" : cat(pushed.error().message(), " | ", pushed.error().hint());
  }
  std::string pull_now(const PullOptions& how = {}, const std::string& name = "a/b:1") {
    const auto pulled = pull(remote(), here, reference(name), how);
    return !pulled ? pulled.error().message() : pulled->fresh ? "fresh" : "there";
  }
  size_t parts() const {
    const auto all = std::filesystem::directory_iterator(folder_ / "here/ingest");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }
  // Whether all of the image is in `here`, unpacked and named.
  bool whole() {
    const auto image = here.find(reference().text());
    return image && image->unpacked;
  }
  // The first answers for this blob are given by `act`.
  using Act = std::function<net::Task<Result<>>(net::Response&, const std::string&)>;
  void spoil(const Digest& blob, int times, Act act) {
    registry.override = [this, blob, left = std::make_shared<std::atomic<int>>(times), act](
                            net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
      if (request.method() != "GET" || !request.path().ends_with(blob.text()) || (*left)-- <= 0) co_return false;
      CO_TRY(co_await act(response, registry.blobs[blob.text()]));
      co_return true;
    };
  }

  TempFolder folder_;
  Images here, there;
};

TEST_F(TransferTest, ThereAndBack) {
  const Manifest manifest = publish();
  EXPECT_EQ(4U, registry.blobs.size());
  EXPECT_EQ("fresh", pull_now());
  EXPECT_TRUE(whole());
  EXPECT_EQ(0U, parts());
  EXPECT_EQ("there", pull_now());
  EXPECT_EQ(4U, registry.count("GET /v2/a/b/blobs/"));
  // What is there is not sent again.
  EXPECT_EQ("pushed", push_now());
  EXPECT_EQ(4U, registry.count("POST "));
}

TEST_F(TransferTest, WithCredentialsAllAtOnce) {
  options.credential = Credential{.user = "me", .password = "secret"};
  for (const bool basic : {true, false}) {
    registry.basic = basic ? net::basic_authorization("me", "secret") : "";
    registry.bearer = basic ? "" : "abc";
    registry.token_for = net::basic_authorization("me", "secret");
    registry.blobs.clear();
    make();
    Remote fresh(*loops, registries, credentials, options);
    const auto pushed = push(fresh, there, reference(), {});
    EXPECT_TRUE(pushed) << pushed.error().message();
    Remote another(*loops, registries, credentials, options);
    const auto pulled = pull(another, here, reference(), {});
    EXPECT_TRUE(pulled) << pulled.error().message();
  }
  // One for pushes, one for pulls.
  EXPECT_EQ(2U, registry.count("GET /token"));
}

TEST_F(TransferTest, ByDigest) {
  publish();
  const std::string digest = Digest::of(registry.manifests["1"]).text();
  EXPECT_EQ("fresh", pull_now({}, cat("a/b:other@", digest)));
  EXPECT_TRUE(here.find(cat(registry.where(), "/a/b@", digest)));
  EXPECT_EQ("there", pull_now({}, cat("a/b@", digest)));
}

TEST_F(TransferTest, MissingImagesAreToldOf) {
  EXPECT_EQ(cat(registry.where(), "/a/b: get manifest 1: manifest unknown (status 404)"), pull_now());
  EXPECT_THAT(push_now(), HasSubstr("An image does not exist locally with the tag"));
}

TEST_F(TransferTest, GoesOnAfterABrokenConnection) {
  const Manifest manifest = publish();
  spoil(manifest.layers[1].digest, 1, [](net::Response& response, const std::string& blob) -> net::Task<Result<>> {
    response.headers.set("Content-Length", std::to_string(blob.size()));
    CO_TRY(co_await response.write(std::string_view(blob).substr(0, 100'000)));
    co_return fail("broken");
  });
  EXPECT_EQ("fresh", pull_now());
  EXPECT_TRUE(whole());
  size_t ranges = 0;
  for (const auto& each : registry.seen()) ranges += each.range == "bytes=100000-" ? 1 : 0;
  EXPECT_EQ(1U, ranges);
}

TEST_F(TransferTest, BeginsAnewWhereThereAreNoRanges) {
  const Manifest manifest = publish();
  registry.ranges = false;
  spoil(manifest.layers[1].digest, 1, [](net::Response& response, const std::string& blob) -> net::Task<Result<>> {
    response.headers.set("Content-Length", std::to_string(blob.size()));
    CO_TRY(co_await response.write(std::string_view(blob).substr(0, 100'000)));
    co_return fail("broken");
  });
  EXPECT_EQ("fresh", pull_now());
  EXPECT_TRUE(whole());
}

TEST_F(TransferTest, GoesOnWithWhatAnotherLeft) {
  const Manifest manifest = publish();
  const Digest digest = manifest.layers[2].digest;
  {
    const Lease lease = here.store().lease().value();
    Ingest part = here.store().ingest(lease, {.expected = digest, .size = manifest.layers[2].size}).value();
    ASSERT_TRUE(part.write(std::string_view(registry.blobs[digest.text()]).substr(0, 5000)));
  }
  EXPECT_EQ("fresh", pull_now());
  EXPECT_TRUE(whole());
  size_t ranges = 0;
  for (const auto& each : registry.seen()) ranges += each.range == "bytes=5000-" ? 1 : 0;
  EXPECT_EQ(1U, ranges);
}

TEST_F(TransferTest, APartThatWasWrongIsFetchedAnew) {
  const Manifest manifest = publish();
  {
    const Lease lease = here.store().lease().value();
    Ingest part =
        here.store().ingest(lease, {.expected = manifest.layers[2].digest, .size = manifest.layers[2].size}).value();
    ASSERT_TRUE(part.write("something else"));
  }
  EXPECT_EQ("fresh", pull_now());
  EXPECT_TRUE(whole());
}

TEST_F(TransferTest, WrongContent) {
  const Manifest manifest = publish();
  std::string& blob = registry.blobs[manifest.layers[1].digest.text()];
  blob[blob.size() / 2] ^= 1;
  const std::string error = pull_now();
  EXPECT_THAT(error, HasSubstr(cat(registry.where(), "/a/b")));
  EXPECT_FALSE(whole());
  EXPECT_TRUE(here.list()->empty());
}

TEST_F(TransferTest, AnotherSizeThanTheManifestSays) {
  const Manifest manifest = publish();
  registry.blobs[manifest.layers[1].digest.text()] += "more";
  EXPECT_THAT(pull_now(), HasSubstr("bytes, the manifest says"));
  EXPECT_FALSE(whole());
}

TEST_F(TransferTest, EndlessBlob) {
  const Manifest manifest = publish();
  spoil(manifest.layers[1].digest, 100, [](net::Response& response, const std::string&) -> net::Task<Result<>> {
    const std::string piece(64u << 10, 'x');
    for (;;) CO_TRY(co_await response.write(piece));
  });
  EXPECT_THAT(pull_now(), HasSubstr("more than the"));
  EXPECT_FALSE(whole());
}

TEST_F(TransferTest, MirrorWithWrongContent) {
  const Manifest manifest = publish();
  other.manifests = registry.manifests;
  other.blobs = registry.blobs;
  std::string& blob = other.blobs[manifest.layers[1].digest.text()];
  blob[blob.size() / 2] ^= 1;
  Remote mirrored(*loops,
                  Registries::parse(cat("registries: {\"", registry.where(), "\": {mirrors: [{url: \"http://",
                                        other.where(), "\"}]}}"))
                      .value(),
                  credentials, options);
  const auto pulled = pull(mirrored, here, reference(), {});
  ASSERT_TRUE(pulled) << pulled.error().message();
  EXPECT_TRUE(whole());
  EXPECT_EQ(1U, registry.count("GET /v2/a/b/blobs/"));
}

TEST_F(TransferTest, TwoAtOnceFetchEachBlobOnce) {
  publish();
  std::thread second([&] {
    Remote another(*loops, registries, credentials, options);
    const auto pulled =
        pull(another, Images(Store::open({.root = folder_ / "here", .sync = Sync::kNone}).value()), reference(), {});
    EXPECT_TRUE(pulled) << pulled.error().message();
  });
  const auto pulled = pull(remote(), here, reference(), {});
  EXPECT_TRUE(pulled) << pulled.error().message();
  second.join();
  EXPECT_TRUE(whole());
  EXPECT_EQ(4U, registry.count("GET /v2/a/b/blobs/"));
}

TEST_F(TransferTest, AFailureEndsTheOthers) {
  const Manifest manifest = publish();
  registry.blobs.erase(manifest.layers[1].digest.text());
  // Never ends by itself.
  spoil(manifest.layers[0].digest, 1, [](net::Response& response, const std::string& blob) -> net::Task<Result<>> {
    response.headers.set("Content-Length", std::to_string(blob.size()));
    CO_TRY(co_await response.write(std::string_view(blob).substr(0, 10)));
    for (;;) {
      co_await net::sleep(net::Duration(20));
      CO_TRY(co_await response.flush());
    }
  });
  EXPECT_THAT(pull_now(), HasSubstr("blob unknown to registry"));
}

// --- several platforms

class IndexTest : public TransferTest {
 protected:
  // An index of two images, in `there` and called a/b:1.
  void make_index(bool complete = true) {
    Index index;
    index.media_type = media::kIndex;
    for (const char* architecture : {"amd64", "arm64"}) {
      const std::string name = cat("made/", architecture, ":1");
      make(name, architecture);
      Descriptor each = there.find(reference(name).text())->target;
      each.platform = Platform{.os = "linux", .architecture = architecture};
      index.manifests.push_back(each);
    }
    if (!complete) {
      index.manifests.push_back(index.manifests.front());
      index.manifests.back().digest = Digest::of("nowhere");
      index.manifests.back().platform = Platform{.os = "linux", .architecture = "riscv64"};
    }
    const std::string text = emit(index);
    const Lease lease = there.store().lease().value();
    const Digest digest = there.store().put_blob(lease, text).value();
    EXPECT_TRUE(there.store().put_ref(
        reference().text(), {.media_type = std::string(media::kIndex), .digest = digest, .size = text.size()}));
  }
  PullOptions for_platform(const char* name) { return {.platform = Platform::parse(name).value()}; }
};

TEST_F(IndexTest, OnePlatformOrAll) {
  make_index();
  ASSERT_EQ("pushed", push_now());
  EXPECT_EQ(media::kIndex, registry.types["1"]);
  EXPECT_EQ("fresh", pull_now(for_platform("linux/arm64")));
  EXPECT_EQ(4U, registry.count("GET /v2/a/b/blobs/"));
  EXPECT_EQ("there", pull_now(for_platform("linux/arm64")));
  EXPECT_EQ("fresh", pull_now(for_platform("linux/amd64")));
  EXPECT_EQ("fresh", pull_now({.all_platforms = true}));
  EXPECT_EQ(8U, registry.count("GET /v2/a/b/blobs/"));
  EXPECT_THAT(pull_now(for_platform("linux/s390x")), HasSubstr("has no image for linux/s390x; there are linux/amd64"));
}

TEST_F(IndexTest, WhatIsNotWholeIsPushedInPart) {
  make_index(false);
  EXPECT_THAT(push_now({.all_platforms = true}), HasSubstr("the image for linux/riscv64 is not here"));
  const auto pushed = push(remote(), there, reference(), {});
  ASSERT_TRUE(pushed) << pushed.error().message();
  EXPECT_TRUE(pushed->partial);
  EXPECT_EQ(media::kManifest, registry.types["1"]);
}

// --- pushes

TEST_F(TransferTest, MountsFromOtherRepositories) {
  publish();
  ASSERT_TRUE(there.tag(reference().text(), reference("c/d:1").text()));
  registry.override = [&](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.method() != "HEAD") co_return false;
    CO_TRY(co_await response.send(404, "", ""));  // of the other repository
    co_return true;
  };
  EXPECT_EQ("pushed", push_now({}, "c/d:1"));
  EXPECT_EQ(4U, registry.count("POST /v2/c/d/blobs/uploads/?mount="));
  EXPECT_EQ(0U, registry.count("PUT /v2/c/d/blobs/"));
}

TEST_F(TransferTest, InChunks) {
  make();
  EXPECT_EQ("pushed", push_now({.chunk = 70'000}));
  EXPECT_GE(registry.count("PATCH "), 3U);
  EXPECT_EQ("fresh", pull_now());
}

TEST_F(TransferTest, UploadsThatBreakAreRepeated) {
  make();
  std::atomic<int> left = 2;
  registry.override = [&left](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if ((request.method() != "PUT" && request.method() != "PATCH") || left-- <= 0) co_return false;
    CO_TRY(co_await response.send(503, "text/plain", "busy"));
    co_return true;
  };
  EXPECT_EQ("pushed", push_now());
  left = 2;
  registry.blobs.clear();
  EXPECT_EQ("pushed", push_now({.chunk = 70'000}));
  EXPECT_EQ("fresh", pull_now());
}

TEST_F(TransferTest, DeniedPushSaysHowToLogIn) {
  make();
  registry.bearer = "abc";
  registry.override = [](net::Request& request, net::Response& response) -> net::Task<Result<bool>> {
    if (request.method() != "POST" || request.headers().get("Authorization").empty()) co_return false;
    CO_TRY(co_await response.send(403, "application/json",
                                  R"({"errors":[{"code":"DENIED","message":"requested access is denied"}]})"));
    co_return true;
  };
  EXPECT_THAT(push_now(), HasSubstr(cat("denied: requested access is denied (status 403) | log in with 'proa login ",
                                        registry.where())));
}

}  // namespace
}  // namespace proa::oci::image::remote
