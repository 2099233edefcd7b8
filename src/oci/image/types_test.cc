#include "oci/image/types.h"

#include <gtest/gtest.h>

namespace proa::oci::image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, '1');

std::string descriptor(std::string_view type) {
  return cat(R"({"mediaType":")", type, R"(","digest":")", kDigest, R"(","size":7})");
}

TEST(ImageManifest, ReadsBothKindsAndWritesThemBack) {
  for (const std::string_view type : {media::kManifest, media::kDockerManifest}) {
    const std::string text = cat(R"({"schemaVersion":2,"mediaType":")", type, R"(","config":)", descriptor("c"),
                                 R"(,"layers":[)", descriptor("l"), "]}");
    const auto manifest = parse_manifest(text);
    ASSERT_TRUE(manifest) << manifest.error().message();
    EXPECT_EQ(manifest->layers.at(0).size, 7u);
    EXPECT_EQ(emit(*manifest), text);
  }
}

TEST(ImageManifest, NamesTheFieldThatIsWrong) {
  const auto message = [](const std::string& text) { return parse_manifest(text).error().message(); };
  EXPECT_NE(message(R"({"schemaVersion":2,"layers":[]})").find("config"), std::string::npos);
  EXPECT_NE(message(R"({"schemaVersion":1})").find("schema 1"), std::string::npos);
  EXPECT_NE(message(cat(R"({"schemaVersion":2,"config":)", descriptor("c"), R"(,"layers":[{"digest":"x"}]})"))
                .find("layers[0].digest"),
            std::string::npos);
  EXPECT_NE(message(cat(R"({"schemaVersion":2,"config":)", descriptor("c"), R"(,"layers":[],"manifests":[]})"))
                .find("manifests"),
            std::string::npos);
  EXPECT_NE(message("[]").find("object"), std::string::npos);
}

TEST(ImageConfigDocument, RoundTrips) {
  ImageConfig config;
  config.created = "2026-01-02T03:04:05Z";
  config.platform = {"linux", "arm64", "v8", "", {}};
  config.config.env = {"PATH=/bin"};
  config.config.exposed_ports = {"53/udp", "80/tcp"};
  config.config.labels = {{"a", "b"}};
  config.config.healthcheck = HealthCheck{.test = {"CMD", "true"}, .interval = 5'000'000'000, .retries = 3};
  config.config.stop_timeout = 0;
  config.diff_ids = {Digest::of("x")};
  config.history = {{"2026-01-02T03:04:05Z", "RUN x", "", "", true}};
  const auto read = parse_config(emit(config));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(emit(*read), emit(config));
  EXPECT_EQ(read->platform, config.platform);
  EXPECT_EQ(read->config.stop_timeout, 0);
}

TEST(ImageConfigDocument, NamesTheFieldThatIsWrong) {
  EXPECT_NE(parse_config(R"({"config":{"Env":[1]}})").error().message().find("config.Env[0]"), std::string::npos);
  EXPECT_NE(parse_config(R"({"rootfs":{"type":"zip"}})").error().message().find("rootfs.type"), std::string::npos);
}

TEST(ChainIds, FollowTheSpecification) {
  const std::vector<Digest> ids{Digest::of("a"), Digest::of("b"), Digest::of("c")};
  const auto chain = chain_ids(ids);
  EXPECT_EQ(chain[0], ids[0]);
  EXPECT_EQ(chain[1], Digest::of(ids[0].text() + " " + ids[1].text()));
  EXPECT_EQ(chain[2], Digest::of(chain[1].text() + " " + ids[2].text()));
}

TEST(ImagePlatform, MatchesVariants) {
  const auto rank = [](std::string_view wanted, std::string_view offered) {
    return match(*Platform::parse(wanted), *Platform::parse(offered));
  };
  EXPECT_GT(rank("linux/arm/v7", "linux/arm/v7"), rank("linux/arm/v7", "linux/arm/v6"));
  EXPECT_GT(rank("linux/arm/v7", "linux/arm/v6"), rank("linux/arm/v7", "linux/arm/v5"));
  EXPECT_EQ(rank("linux/arm/v6", "linux/arm/v7"), 0);
  EXPECT_EQ(rank("linux/arm64", "linux/arm64/v8"), rank("linux/aarch64", "linux/arm64"));
  EXPECT_GT(rank("linux/arm64", "linux/arm/v7"), 0);
  EXPECT_GT(rank("linux/amd64/v3", "linux/amd64"), 0);
  EXPECT_EQ(rank("linux/amd64", "linux/amd64/v3"), 0);
  EXPECT_EQ(rank("linux/amd64", "windows/amd64"), 0);
  EXPECT_GT(rank("linux/amd64", "linux/386"), 0);
  Platform windows = *Platform::parse("windows/amd64"), newer = windows;
  windows.os_version = "10.0.17763.1234";
  newer.os_version = "10.0.20348.1";
  EXPECT_EQ(match(windows, newer), 0);
  newer.os_version = "10.0.17763.9";
  EXPECT_GT(match(windows, newer), 0);
  EXPECT_FALSE(Platform::parse("a/b/c/d"));
}

}  // namespace
}  // namespace proa::oci::image
