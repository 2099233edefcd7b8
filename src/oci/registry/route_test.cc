#include "oci/registry/route.h"

#include <gtest/gtest.h>

namespace proa::oci::registry {
namespace {

struct Case {
  std::string_view path;
  Place place;
  std::string_view repository = {}, reference = {};
};

TEST(Route, FindsPlaces) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const std::string encoded = "/v2/a/blobs/sha256%3A" + std::string(64, 'a'), plain = "/v2/a/b/blobs/" + digest;
  for (const Case& each : std::initializer_list<Case>{
           {"/v2/", Place::kBase},
           {"/v2", Place::kBase},
           {"/v2/_catalog", Place::kCatalog},
           {"/v2/a/b/tags/list", Place::kTags, "a/b", "list"},
           {"/v2/a/manifests/latest", Place::kManifest, "a", "latest"},
           {"/v2/blobs/uploads/manifests/1", Place::kManifest, "blobs/uploads", "1"},
           {"/v2/manifests/manifests/manifests", Place::kManifest, "manifests", "manifests"},
           {plain, Place::kBlob, "a/b", digest},
           {encoded, Place::kBlob, "a", digest},
           {"/v2/a/blobs/uploads", Place::kUploads, "a", "uploads"},
           {"/v2/a/blobs/uploads/", Place::kUploads, "a", ""},
           {"/v2/a/blobs/uploads/id", Place::kUpload, "a", "id"},
           {"/v2/a/referrers/x", Place::kReferrers, "a", "x"},
           {"/token", Place::kToken},
           {"/healthz", Place::kHealth},
           {"/metrics", Place::kMetrics},
           {"/", Place::kNowhere},
           {"/v1/", Place::kNowhere},
           {"/v2/a", Place::kNowhere},
           {"/v2/a/tags/more", Place::kNowhere},
           {"/v2/%zz", Place::kNowhere},
       }) {
    const Route route = route_of(each.path);
    EXPECT_EQ(name_of(each.place), name_of(route.place)) << each.path;
    EXPECT_EQ(each.repository, route.repository) << each.path;
    EXPECT_EQ(each.reference, route.reference) << each.path;
  }
}

TEST(Route, KnowsTheGrammarOfNames) {
  for (const char* good : {"a", "a/b", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c/d", "library/alpine"})
    EXPECT_TRUE(valid_repository(good)) << good;
  for (const char* bad : {"",   "/", "a/", "/a",     "a//b", "A",        "a..b", "a.-b", "a___b", "-a",
                          "a-", ".", "..", "a/../b", "_a",   "a/_blobs", "a b",  "a\nb", "a:b",   "\xc3\xa4"})
    EXPECT_FALSE(valid_repository(bad)) << bad;
  EXPECT_TRUE(valid_repository(std::string(255, 'a')));
  EXPECT_FALSE(valid_repository(std::string(256, 'a')));
}

}  // namespace
}  // namespace proa::oci::registry
