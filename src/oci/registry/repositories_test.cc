#include "oci/registry/repositories.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"
#include "oci/image/types.h"
#include "oci/registry/collect.h"
#include "oci/registry/evict.h"
#include "oci/registry/manifest.h"
#include "oci/registry/uploads.h"

namespace proa::oci::registry {
namespace {

using image::Digest;
using image::Hasher;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class RepositoriesTest : public testing::Test {
 protected:
  RepositoriesTest() : repositories(*Repositories::open(folder / "root", image::Sync::kNone)), uploads(repositories) {}

  Digest push(const std::string& name, std::string_view text) {
    const std::string id = uploads.start(name, Hasher::Algorithm::kSha256).value();
    auto upload = uploads.take(name, id);
    EXPECT_TRUE(upload && upload->write(text));
    EXPECT_TRUE(upload->finish(Digest::of(text)));
    return Digest::of(text);
  }
  static std::string manifest(std::string_view layer, std::string_view more = "") {
    const auto descriptor = [](std::string_view type, std::string_view text) {
      return cat(R"({"mediaType":")", type, R"(","digest":")", Digest::of(text).text(), R"(","size":)", text.size(),
                 "}");
    };
    return cat(R"({"schemaVersion":2,"mediaType":")", image::media::kManifest, R"(","config":)",
               descriptor(image::media::kConfig, "{}"), R"(,"layers":[)", descriptor(image::media::kLayer, layer), "]",
               more, "}");
  }
  Result<PutManifest> put(const std::string& name, const std::string& text, std::vector<std::string> tags = {}) {
    const auto details = read_details(text, image::media::kManifest);
    EXPECT_TRUE(details);
    NewManifest fresh{.digest = Digest::of(text),
                      .media_type = details->media_type,
                      .tags = std::move(tags),
                      .needs = details->needs,
                      .subject = details->subject};
    if (!fresh.subject.empty()) fresh.descriptor = referrer_descriptor(text, *details, fresh.digest);
    const auto lease = repositories.store().lease();
    EXPECT_TRUE(repositories.store().put_blob(*lease, text));
    return repositories.put_manifest(name, fresh);
  }
  Digest image(const std::string& name, std::string_view layer, std::vector<std::string> tags = {},
               std::string_view more = "") {
    push(name, "{}");
    push(name, layer);
    const std::string text = manifest(layer, more);
    const auto done = put(name, text, std::move(tags));
    EXPECT_TRUE(done && done->missing.empty());
    return Digest::of(text);
  }
  void make_old(const std::string& path) {
    const timespec old[2] = {{.tv_sec = 1'000'000, .tv_nsec = 0}, {.tv_sec = 1'000'000, .tv_nsec = 0}};
    ASSERT_EQ(0, ::utimensat(repositories.root_fd(), path.c_str(), old, 0)) << path;
  }
  bool has(const std::string& name, const Digest& digest) { return repositories.has_blob(name, digest).value(); }
  bool stored(const Digest& digest) { return repositories.store().has(digest).value(); }

  TempFolder folder;
  Repositories repositories;
  Uploads uploads;
};

TEST_F(RepositoriesTest, BlobsAreSeenWhereTheyAre) {
  const Digest digest = push("a/b", "text");
  EXPECT_TRUE(has("a/b", digest));
  EXPECT_FALSE(has("a", digest));
  EXPECT_EQ(4u, repositories.open_blob("a/b", digest).value()->size);
  EXPECT_FALSE(repositories.open_blob("a", digest).value());
  EXPECT_TRUE(*repositories.mount_blob("c", "a/b", digest));
  EXPECT_FALSE(*repositories.mount_blob("d", "nowhere", digest));
  EXPECT_TRUE(has("c", digest));
  EXPECT_TRUE(*repositories.remove_blob("a/b", digest));
  EXPECT_FALSE(*repositories.remove_blob("a/b", digest));
  EXPECT_TRUE(has("c", digest));
  EXPECT_FALSE(*repositories.exists("d"));
}

TEST_F(RepositoriesTest, ManifestsNeedTheirParts) {
  push("a", "{}");
  const auto done = put("a", manifest("layer"), {"1"});
  ASSERT_TRUE(done);
  EXPECT_THAT(done->missing, ElementsAre(Digest::of("layer")));
  EXPECT_FALSE(*repositories.find_tag("a", "1"));
  EXPECT_FALSE(*repositories.manifest_type("a", Digest::of(manifest("layer"))));
}

TEST_F(RepositoriesTest, TagsComeAndGoWithManifests) {
  const Digest one = image("a", "one", {"1", "latest"}), two = image("a", "two", {"2"});
  EXPECT_THAT(*repositories.tags("a"), ElementsAre("1", "2", "latest"));
  EXPECT_EQ(one, *repositories.find_tag("a", "latest"));
  EXPECT_TRUE(*repositories.remove_tag("a", "2"));
  EXPECT_TRUE(*repositories.manifest_type("a", two));
  EXPECT_TRUE(*repositories.remove_manifest("a", one));
  EXPECT_THAT(*repositories.tags("a"), ElementsAre());
  EXPECT_FALSE(*repositories.remove_manifest("a", one));
  EXPECT_THAT(*repositories.names(), ElementsAre("a"));
  EXPECT_TRUE(*repositories.remove_manifest("a", two));
  EXPECT_THAT(*repositories.names(), ElementsAre());
}

TEST_F(RepositoriesTest, ReferrersAreListed) {
  const Digest subject = Digest::of("nobody has it");
  const Digest digest =
      image("a", "x", {},
            cat(R"(,"artifactType":"t/x","annotations":{"k":"v"},"subject":{"mediaType":"m","size":1,"digest":")",
                subject.text(), "\"}"));
  const auto list = repositories.referrers("a", subject);
  ASSERT_TRUE(list && list->size() == 1);
  const auto descriptor = image::parse_descriptor(list->front());
  EXPECT_EQ(digest, descriptor->digest);
  EXPECT_EQ("t/x", descriptor->artifact_type);
  EXPECT_EQ("v", descriptor->annotations.at("k"));
  EXPECT_TRUE(*repositories.remove_manifest("a", digest));
  EXPECT_TRUE(repositories.referrers("a", subject)->empty());
}

TEST_F(RepositoriesTest, UploadsGoOnAndEnd) {
  const std::string id = uploads.start("a", Hasher::Algorithm::kSha256).value();
  {
    auto upload = uploads.take("a", id);
    ASSERT_TRUE(upload);
    ASSERT_TRUE(upload->write("he"));
    EXPECT_EQ(409, uploads.take("a", id).error().status);
  }
  EXPECT_EQ(Code::kBlobUploadUnknown, uploads.take("b", id).error().code);
  EXPECT_EQ(Code::kBlobUploadUnknown, uploads.take("a", "../../etc/passwd").error().code);
  // Another server on the same folder adds some, and then the first goes on.
  Uploads others(repositories);
  {
    auto upload = others.take("a", id);
    ASSERT_TRUE(upload);
    EXPECT_EQ(2u, upload->offset());
    ASSERT_TRUE(upload->write("ll"));
  }
  auto upload = uploads.take("a", id);
  ASSERT_TRUE(upload);
  EXPECT_EQ(4u, upload->offset());
  ASSERT_TRUE(upload->write("o"));
  // By another algorithm than was announced.
  Hasher hasher(Hasher::Algorithm::kSha512);
  hasher.update("hello");
  const Digest digest = hasher.finish();
  EXPECT_TRUE(upload->finish(digest));
  EXPECT_TRUE(has("a", digest));
  EXPECT_EQ(Code::kBlobUploadUnknown, uploads.take("a", id).error().code);
}

TEST_F(RepositoriesTest, AWrongUploadIsGone) {
  const std::string id = uploads.start("a", Hasher::Algorithm::kSha256).value();
  auto upload = uploads.take("a", id);
  ASSERT_TRUE(upload->write("wrong"));
  EXPECT_EQ(Code::kDigestInvalid, upload->finish(Digest::of("right")).error().code);
  EXPECT_EQ(Code::kBlobUploadUnknown, uploads.take("a", id).error().code);
  EXPECT_TRUE(kernel::names_in(folder / "root/ingest")->empty());
}

TEST_F(RepositoriesTest, CollectsWhatNothingNeeds) {
  image("a", "kept", {"1"});
  const Digest gone = image("a", "gone", {"2"});
  const Digest fresh = push("a", "on its way"), old = push("a", "forgotten");
  make_old(repository_path("a", "_blobs", old.text()));
  make_old(repository_path("a", "_blobs", Digest::of("gone").text()));
  make_old(repository_path("a", "_blobs", Digest::of("kept").text()));
  ASSERT_TRUE(*repositories.remove_manifest("a", gone));
  auto report = collect(repositories, {.dry_run = true});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(2u, report->links);
  EXPECT_EQ(3u, report->blobs);
  EXPECT_TRUE(stored(old));
  report = collect(repositories, {});
  ASSERT_TRUE(report);
  EXPECT_EQ(2u, report->links);
  EXPECT_EQ(3u, report->blobs);
  EXPECT_FALSE(stored(old));
  EXPECT_FALSE(stored(gone));
  EXPECT_FALSE(stored(Digest::of("gone")));
  EXPECT_TRUE(stored(fresh));
  EXPECT_TRUE(stored(Digest::of("kept")));
}

TEST_F(RepositoriesTest, AskingForABlobKeepsIt) {
  const Digest digest = push("a", "asked for");
  make_old(repository_path("a", "_blobs", digest.text()));
  EXPECT_EQ(9u, *repositories.renew_blob("a", digest).value());
  EXPECT_EQ(0u, collect(repositories, {})->blobs);
  EXPECT_TRUE(stored(digest));
}

TEST_F(RepositoriesTest, EmptyRepositoriesGo) {
  const Digest digest = image("a/b", "x", {"1"});
  image("a", "y", {"1"});
  ASSERT_TRUE(*repositories.remove_manifest("a/b", digest));
  const auto report = collect(repositories, {.grace = seconds(0)});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(1u, report->repositories);
  EXPECT_THAT(*repositories.all_names(), ElementsAre("a"));
  EXPECT_FALSE(*repositories.exists("a/b"));
}

TEST_F(RepositoriesTest, ForgottenUploadsGo) {
  const std::string id = uploads.start("a", Hasher::Algorithm::kSha256).value();
  ASSERT_TRUE(uploads.take("a", id)->write("part"));
  uploads.close_idle(seconds(-1));
  EXPECT_EQ(0u, collect(repositories, {})->uploads);
  make_old("ingest/session-" + id);
  make_old("uploads/" + id);
  EXPECT_EQ(2u, collect(repositories, {})->uploads);
  EXPECT_EQ(Code::kBlobUploadUnknown, uploads.take("a", id).error().code);
}

TEST_F(RepositoriesTest, ADamagedManifestStopsItsRepositorysCollection) {
  const Digest digest = image("a", "layer", {"1"});
  make_old(repository_path("a", "_blobs", Digest::of("layer").text()));
  folder.write("root/blobs/sha256/" + std::string(digest.hex()), "nonsense");
  std::string said;
  const auto report = collect(repositories, {.grace = seconds(0), .warn = [&](std::string_view text) { said = text; }});
  ASSERT_TRUE(report);
  EXPECT_EQ(0u, report->blobs);
  EXPECT_THAT(said, HasSubstr("cannot be read"));
}

TEST(ManifestDetails, TellWhatIsNeeded) {
  const std::string d(64, 'a');
  const std::string layer = cat(
      R"({"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","size":1,"digest":"sha256:)", d, "\"}");
  const auto details = read_details(cat(R"({"schemaVersion":2,"config":{"mediaType":"c/d","size":1,"digest":"sha256:)",
                                        d, R"("},"layers":[)", layer, "]}"),
                                    "");
  ASSERT_TRUE(details) << details.error().message();
  EXPECT_EQ(image::media::kManifest, details->media_type);
  EXPECT_EQ(1u, details->needs.size());
  for (const auto& [text, type] : std::initializer_list<std::pair<std::string, std::string_view>>{
           {"{}", image::media::kManifest},
           {"{}", "text/plain"},
           {"[]", ""},
           {R"({"schemaVersion":1})", ""},
           {R"({"schemaVersion":2,"manifests":[]})", image::media::kManifest},
           {cat(R"({"schemaVersion":2,"mediaType":")", image::media::kIndex, R"(","manifests":[]})"),
            image::media::kDockerList}})
    EXPECT_FALSE(read_details(text, type)) << text;
}

TEST_F(RepositoriesTest, EvictionTakesWhatNobodyAskedForLongest) {
  const auto put = [&](const std::string& name, const std::string& text, time_t used) {
    const image::Lease lease = repositories.store().lease().value();
    const Digest digest = repositories.store().put_blob(lease, text).value();
    EXPECT_TRUE(repositories.link_blob(name, digest));
    const timespec times[2] = {{.tv_sec = used, .tv_nsec = 0}, {.tv_sec = used, .tv_nsec = 0}};
    ::utimensat(repositories.root_fd(), repository_path(name, "_blobs", digest.text()).c_str(), times, 0);
    return digest;
  };
  const Digest old = put("m/a", std::string(100, 'a'), 1000), fresh = put("m/a", std::string(100, 'b'), 3000),
               twice = put("m/a", std::string(100, 'c'), 500), other = put("own", std::string(500, 'd'), 1);
  put("m/b", std::string(100, 'c'), 4000);
  const CacheLimit limit{.holds = [](std::string_view name) { return name.starts_with("m/"); }, .max_bytes = 300};
  EXPECT_EQ(0u, evict(repositories, limit)->blobs);
  put("m/b", std::string(50, 'e'), 5000);
  const auto report = evict(repositories, limit);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(1u, report->blobs);
  EXPECT_EQ(100u, report->freed);
  EXPECT_EQ(250u, report->kept);
  EXPECT_FALSE(repositories.has_blob("m/a", old).value());
  EXPECT_TRUE(repositories.has_blob("m/a", fresh).value());
  EXPECT_TRUE(repositories.has_blob("m/a", twice).value());
  EXPECT_TRUE(repositories.has_blob("own", other).value());
  // The sweep heeds leases.
  const image::Lease lease = repositories.store().lease().value();
  ASSERT_TRUE(repositories.store().keep(lease, old).value());
  ASSERT_TRUE(collect(repositories, {.sweep_only = true}));
  EXPECT_TRUE(repositories.store().has(old).value());
  ASSERT_TRUE(repositories.link_blob("m/a", old));
  EXPECT_EQ(100u, repositories.open_blob("m/a", old).value()->size);
}

}  // namespace
}  // namespace proa::oci::registry
