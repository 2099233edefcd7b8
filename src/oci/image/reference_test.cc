#include "oci/image/reference.h"

#include <gtest/gtest.h>

namespace proa::oci::image {
namespace {

TEST(ImageReference, NormalisesAsDocker) {
  const std::pair<const char*, const char*> cases[] = {
      {"alpine", "docker.io/library/alpine:latest"},
      {"alpine:3.20", "docker.io/library/alpine:3.20"},
      {"team/app", "docker.io/team/app:latest"},
      {"docker.io/alpine", "docker.io/library/alpine:latest"},
      {"index.docker.io/alpine", "docker.io/library/alpine:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"[::1]:5000/a/b_c/d__e/f--g", "[::1]:5000/a/b_c/d__e/f--g:latest"},
      {"Registry/app", "Registry/app:latest"},
      {"quay.io/a.b/c-d:T_1.x", "quay.io/a.b/c-d:T_1.x"},
  };
  for (const auto& [text, full] : cases) {
    const auto reference = Reference::parse(text);
    ASSERT_TRUE(reference) << text << ": " << reference.error().message();
    EXPECT_EQ(reference->text(), full);
    EXPECT_EQ(Reference::parse(reference->text())->text(), full);
  }
}

TEST(ImageReference, KeepsDigests) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(Reference::parse("alpine@" + digest)->text(), "docker.io/library/alpine@" + digest);
  EXPECT_EQ(Reference::parse("alpine:3@" + digest)->familiar(), "alpine:3@" + digest);
  EXPECT_EQ(Reference::parse("alpine@" + digest)->tag, "");
}

TEST(ImageReference, ShowsFamiliarNames) {
  EXPECT_EQ(Reference::parse("docker.io/library/alpine")->familiar(), "alpine:latest");
  EXPECT_EQ(Reference::parse("docker.io/team/app")->familiar_repository(), "team/app");
  EXPECT_EQ(Reference::parse("docker.io/ar.io/aine:3")->familiar(), "docker.io/ar.io/aine:3")
      << "not of registry ar.io";
  EXPECT_EQ(Reference::parse("docker.io/library/ar.io")->familiar(), "ar.io:latest");
  const std::string hex(64, 'a');
  EXPECT_EQ(Reference::parse("docker.io/library/" + hex)->familiar(), "docker.io/library/" + hex + ":latest");
  EXPECT_EQ(Reference::parse("quay.io/library/app")->familiar_repository(), "quay.io/library/app");
}

TEST(ImageReference, RefusesWhatIsNone) {
  const std::string long_name(256, 'a');
  for (const std::string& text : {std::string(),
                                  std::string("Alpine"),
                                  std::string("a//b"),
                                  std::string("-a"),
                                  std::string("a-"),
                                  std::string("a___b"),
                                  std::string("a..b"),
                                  std::string("a:"),
                                  std::string("a:.x"),
                                  std::string("a@sha256:12"),
                                  std::string("a@md5:00"),
                                  std::string(":tag"),
                                  std::string("host:port/a"),
                                  std::string("../a"),
                                  std::string("a/"),
                                  std::string("-h.x/a"),
                                  std::string("[zz]/a"),
                                  std::string(64, 'a'),
                                  long_name,
                                  "a:" + std::string(129, 't')})
    EXPECT_FALSE(Reference::parse(text)) << text;
  EXPECT_NE(Reference::parse("UPPER").error().message().find("lowercase"), std::string::npos);
}

}  // namespace
}  // namespace proa::oci::image
