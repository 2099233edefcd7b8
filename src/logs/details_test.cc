#include "logs/details.h"

#include <gtest/gtest.h>

namespace proa::logs {
namespace {

Subject subject() {
  return {.id = "0123456789abcdef",
          .name = "web",
          .created = "2026-01-02T03:04:05Z",
          .image_id = "sha256:fedcba9876543210",
          .image_name = "nginx:1",
          .args = {"nginx", "-g", "daemon off;"},
          .env = {"A=1", "AB=2=3", "C", "D="},
          .labels = {{"color", "red"}, {"com.example.size", "9"}},
          .log_path = "/log"};
}

TEST(Details, Tags) {
  const auto tag = [](const char* text) {
    const auto made = tag_of(subject(), {{"tag", text}}, "{{.ID}}");
    return made ? *made : made.error().message();
  };
  EXPECT_EQ(tag(""), "0123456789ab");
  EXPECT_EQ(tag("{{.ImageName}}/{{.Name}}/{{.ID}}/{{.ImageID}}"), "nginx:1/web/0123456789ab/fedcba987654");
  EXPECT_EQ(tag("{{.FullID}} {{.ImageFullID}} {{.DaemonName}}"), "0123456789abcdef sha256:fedcba9876543210 proa");
  EXPECT_EQ(tag("{{upper .Name}} {{.Command}} {{index .ContainerLabels \"color\"}}"), "WEB nginx -g daemon off; red");
  EXPECT_FALSE(check_tag("{{.None}}"));
  EXPECT_FALSE(check_tag("{{.Name"));
}

TEST(Details, Extras) {
  using Map = StringMap;
  EXPECT_EQ(extras_of(subject(), {{"labels", "color,none"}, {"env", "AB,C"}}), (Map{{"color", "red"}, {"AB", "2=3"}}));
  EXPECT_EQ(extras_of(subject(), {{"labels-regex", "^com"}, {"env-regex", "^.$"}}),
            (Map{{"com.example.size", "9"}, {"A", "1"}, {"D", ""}}));
  EXPECT_EQ(attributes_of(subject(), {{"tag", "t"}}), (Map{{"tag", "t"}}));
  EXPECT_EQ(attributes_of(subject(), {}), Map{});
}

TEST(Details, AsText) {
  EXPECT_EQ(details_text(StringMap{{"b", "x y&z"}, {"a", "é~-_."}}), "a=%C3%A9~-_.,b=x+y%26z");
  EXPECT_EQ(details_text(R"({"b":"2","a":"1","n":3})"), "a=1,b=2");
  EXPECT_EQ(details_text("torn"), "");
}

}  // namespace
}  // namespace proa::logs
