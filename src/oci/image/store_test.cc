#include "oci/image/store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "kernel/file.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::image {
namespace {

class StoreTest : public testing::Test {
 protected:
  StoreTest() : store_(*Store::open({.root = folder_ / "images", .sync = Sync::kNone})) {}

  // A whole image with one layer, under `name` unless that is empty.
  Descriptor image(const Lease& lease, const std::string& layer, const std::string& name) {
    Manifest manifest;
    manifest.media_type = media::kManifest;
    const auto add = [&](std::string_view type, const std::string& text) {
      return Descriptor{.media_type = std::string(type), .digest = *store_.put_blob(lease, text), .size = text.size()};
    };
    ImageConfig config;
    config.diff_ids = {Digest::of(layer)};
    manifest.config = add(media::kConfig, emit(config));
    manifest.layers = {add(media::kLayer, layer)};
    const Descriptor target = add(media::kManifest, emit(manifest));
    if (!name.empty()) EXPECT_TRUE(store_.put_ref(name, target));
    return target;
  }
  size_t files(const std::string& sub) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / ("images/" + sub))) count += entry.exists();
    return count;
  }

  TempFolder folder_;
  Store store_;
};

TEST_F(StoreTest, KeepsWhatIsWritten) {
  const Lease lease = *store_.lease();
  Ingest ingest = *store_.ingest(lease, {});
  ASSERT_TRUE(ingest.write("hello "));
  ASSERT_TRUE(ingest.write("world"));
  const Digest digest = *ingest.commit();
  EXPECT_EQ(digest, Digest::of("hello world"));
  EXPECT_EQ(*store_.read_blob(digest), "hello world");
  EXPECT_EQ(files("ingest"), 0u);
  EXPECT_TRUE(store_.ingest(lease, {.expected = digest})->complete());
}

TEST_F(StoreTest, RefusesWrongContent) {
  const Lease lease = *store_.lease();
  const Digest digest = Digest::of("right");
  {
    Ingest ingest = *store_.ingest(lease, {.expected = digest, .size = 5});
    ASSERT_TRUE(ingest.write("wrong"));
    const auto committed = ingest.commit();
    ASSERT_FALSE(committed);
    EXPECT_NE(committed.error().message().find(digest.text()), std::string::npos);
  }
  EXPECT_FALSE(*store_.has(digest));
  EXPECT_EQ(files("ingest"), 0u);
  Ingest longer = *store_.ingest(lease, {.expected = digest, .size = 5});
  EXPECT_FALSE(longer.write("rights"));
}

TEST_F(StoreTest, ResumesWhatWasInterrupted) {
  const Digest digest = Digest::of("hello world");
  {
    const Lease lease = *store_.lease();
    Ingest ingest = *store_.ingest(lease, {.expected = digest, .size = 11});
    ASSERT_TRUE(ingest.write("hello "));
    EXPECT_FALSE(ingest.commit());
  }
  const Lease lease = *store_.lease();
  Ingest ingest = *store_.ingest(lease, {.expected = digest, .size = 11});
  EXPECT_EQ(ingest.offset(), 6u);
  ASSERT_TRUE(ingest.write("world"));
  ASSERT_TRUE(ingest.commit());
  EXPECT_EQ(*store_.read_blob(digest), "hello world");
}

TEST_F(StoreTest, OneWriterAtATime) {
  const Lease lease = *store_.lease();
  const Digest digest = Digest::of("x");
  Ingest first = *store_.ingest(lease, {.expected = digest});
  EXPECT_EQ(store_.ingest(lease, {.expected = digest, .wait = false}).error().code(), EWOULDBLOCK);
  std::thread second([&] { EXPECT_TRUE(store_.ingest(lease, {.expected = digest})->complete()); });
  ASSERT_TRUE(first.write("x"));
  ASSERT_TRUE(first.commit());
  second.join();
}

TEST_F(StoreTest, FindsDamage) {
  const Lease lease = *store_.lease();
  const Digest digest = *store_.put_blob(lease, "fine");
  folder_.write("images/blobs/sha256/" + std::string(digest.hex()), "foul");
  EXPECT_NE(store_.read_blob(digest).error().message().find("damaged"), std::string::npos);
  EXPECT_EQ(store_.read_blob(Digest::of("none")).error().code(), ENOENT);
}

TEST_F(StoreTest, NamesMoveAndLeaveUnnamedImages) {
  const Lease lease = *store_.lease();
  const Descriptor a = image(lease, "a", "docker.io/library/x:1");
  const Descriptor b = image(lease, "b", "docker.io/library/x:1");
  auto refs = *store_.refs();
  ASSERT_EQ(refs.size(), 2u);
  EXPECT_EQ(refs[0].name, "@" + a.digest.text());
  EXPECT_EQ(refs[1].target, b);
  ASSERT_TRUE(store_.put_ref("docker.io/library/y:1", a));
  EXPECT_EQ(store_.refs()->size(), 2u);
  EXPECT_TRUE(*store_.remove_ref("docker.io/library/x:1"));
  EXPECT_FALSE(*store_.remove_ref("docker.io/library/x:1"));
  EXPECT_EQ(parse_index(folder_.read("images/index.json"))->manifests.at(0).annotations.begin()->second,
            "docker.io/library/y:1");
  EXPECT_FALSE(store_.put_ref("z", Descriptor{.digest = Digest::of("absent")}));
}

TEST_F(StoreTest, CollectionsSetTheIndexRight) {
  const Lease lease = *store_.lease();
  image(lease, "layer", "docker.io/library/a:1");
  const std::string path = folder_ / "images/index.json";
  const std::string right = *kernel::read_file(path.c_str());
  ASSERT_TRUE(kernel::replace_file(path, "{\"manifests\":[]}", 0644));  // as a killed command leaves it: an earlier one
  ASSERT_TRUE(store_.collect({.dry_run = true}));
  EXPECT_NE(*kernel::read_file(path.c_str()), right);
  ASSERT_TRUE(store_.collect());
  EXPECT_EQ(*kernel::read_file(path.c_str()), right);
}

TEST_F(StoreTest, CollectsWhatNothingReaches) {
  std::optional<Lease> lease = *store_.lease();
  const Descriptor named = image(*lease, "a", "x");
  const Descriptor leased = image(*lease, "b", "");
  EXPECT_TRUE(store_.collect()->blobs.empty());
  lease.reset();
  EXPECT_EQ(store_.collect({.dry_run = true})->blobs.size(), 3u);
  EXPECT_TRUE(*store_.has(leased.digest));
  EXPECT_EQ(store_.collect()->blobs.size(), 3u);
  EXPECT_FALSE(*store_.has(leased.digest));
  EXPECT_EQ(files("blobs/sha256"), 3u);
  ASSERT_TRUE(store_.remove_ref("x"));
  EXPECT_EQ(store_.collect()->blobs.size(), 3u);
  EXPECT_EQ(files("trash"), 0u);
  EXPECT_FALSE(*store_.has(named.digest));
}

TEST_F(StoreTest, CollectsOldParts) {
  {
    const Lease lease = *store_.lease();
    Ingest ingest = *store_.ingest(lease, {.expected = Digest::of("hello")});
    ASSERT_TRUE(ingest.write("he"));
    EXPECT_EQ(store_.collect({.partial_age = std::chrono::seconds(-1)})->parts, 0u) << "its writer lives";
  }
  EXPECT_EQ(store_.collect()->parts, 0u) << "young";
  EXPECT_EQ(store_.collect({.partial_age = std::chrono::seconds(-1)})->parts, 1u);
}

// Writers add and name images while collections run: none may lose anything.
TEST_F(StoreTest, CollectsBesideWriters) {
  std::atomic<bool> stop = false;
  std::thread collector([&] {
    while (!stop) ASSERT_TRUE(store_.collect());
  });
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 3; ++writer)
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 40; ++i) {
        const Lease lease = *store_.lease();
        image(lease, cat(i % 7), cat("image-", writer, "-", i % 5));
      }
    });
  for (auto& writer : writers) writer.join();
  stop = true;
  collector.join();
  size_t named = 0;
  for (const Ref& ref : *store_.refs()) {
    size_t blobs = 0;
    ASSERT_TRUE(visit_closure(store_, ref.target, [&](const Descriptor&) -> Result<> {
      ++blobs;
      return {};
    }));
    EXPECT_EQ(blobs, 3u) << ref.name;
    named += !ref.unnamed();
  }
  EXPECT_EQ(named, 15u);
}

}  // namespace
}  // namespace proa::oci::image
