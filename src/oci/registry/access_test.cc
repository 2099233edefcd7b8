#include "oci/registry/access.h"

#include <gmock/gmock.h>

namespace proa::oci::registry {
namespace {

using testing::HasSubstr;

TEST(Access, PatternsFit) {
  for (const auto& [pattern, name] : std::initializer_list<std::pair<const char*, const char*>>{{"a", "a"},
                                                                                                {"*", "a"},
                                                                                                {"a/*", "a/b"},
                                                                                                {"a/*/c", "a/b/c"},
                                                                                                {"**", "a/b/c"},
                                                                                                {"a/**", "a/b/c"},
                                                                                                {"a/**", "a"},
                                                                                                {"**/c", "a/b/c"},
                                                                                                {"a*z", "abcz"},
                                                                                                {"a**z", "a/b/z"},
                                                                                                {"{user}/**", "ann/x"},
                                                                                                {"x-{user}", "x-ann"},
                                                                                                {"*-*", "a-b"},
                                                                                                {"**/b*", "a/c/bd"}})
    EXPECT_TRUE(fits(pattern, name, "ann")) << pattern << " " << name;
  for (const auto& [pattern, name] : std::initializer_list<std::pair<const char*, const char*>>{{"a", "b"},
                                                                                                {"*", "a/b"},
                                                                                                {"a/*", "a"},
                                                                                                {"a/*", "a/b/c"},
                                                                                                {"a/**", "ab"},
                                                                                                {"{user}/**", "bob/x"},
                                                                                                {"", "a"},
                                                                                                {"a*z", "a/z"},
                                                                                                {"**/c", "a/b"}})
    EXPECT_FALSE(fits(pattern, name, "ann")) << pattern << " " << name;
  EXPECT_FALSE(fits("{user}/**", "/x", ""));
  EXPECT_FALSE(fits("{user}/**", "bob/x", "*"));
}

TEST(Access, RulesAllow) {
  const auto access = Access::parse(R"(
groups: {staff: [ann]}
rules:
- {to: [anonymous], repositories: ["public/**"], actions: [pull]}
- {to: [users], repositories: ["{user}/**"], actions: [pull, push]}
- {to: ["group:staff"], repositories: ["**"], actions: ["*"]}
)");
  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ("pull", text_of(access->allowed("", "public/a")));
  EXPECT_EQ("", text_of(access->allowed("", "ann/a")));
  EXPECT_EQ("pull,push", text_of(access->allowed("bob", "bob/a")));
  EXPECT_EQ("pull", text_of(access->allowed("bob", "public/a")));
  EXPECT_EQ("", text_of(access->allowed("bob", "ann/a")));
  EXPECT_EQ("pull,push,delete", text_of(access->allowed("ann", "bob/a")));
}

TEST(Access, MistakesAreNamed) {
  for (const auto& [text, said] : std::initializer_list<std::pair<const char*, const char*>>{
           {"[]", "must be an object"},
           {"rule: []", "rule: there is no such field"},
           {"rules: [{to: [x], repositories: [all], actions: [pulls]}]", "rules[0].actions: \"pulls\" is none of"},
           {"rules: [{to: [], repositories: [all], actions: [pull]}]", "rules[0].to: must not be empty"},
           {"rules: [{to: ['group:g'], repositories: [all], actions: [pull]}]", "there is no group \"g\""},
           {"rules: [{who: x}]", "rules[0].who: there is no such field"}}) {
    const auto access = Access::parse(text);
    ASSERT_FALSE(access) << text;
    EXPECT_THAT(access.error().message(), HasSubstr(said));
  }
}

TEST(Access, WithoutAPolicy) {
  EXPECT_EQ("pull,push,delete", text_of(Access::for_users(false).allowed("ann", "a")));
  EXPECT_EQ("", text_of(Access::for_users(false).allowed("", "a")));
  EXPECT_EQ("pull", text_of(Access::for_users(true).allowed("", "a/b")));
}

}  // namespace
}  // namespace proa::oci::registry
