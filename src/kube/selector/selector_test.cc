#include <gtest/gtest.h>

#include "kube/object/json.h"
#include "kube/selector/field_selector.h"
#include "kube/selector/label_selector.h"

namespace proa::kube {
namespace {

TEST(LabelSelector, Matches) {
  const Document labels = read_json(R"({"app":"web","tier":"a","n":"5","empty":""})").value();
  const std::pair<std::string_view, bool> cases[] = {{"", true},
                                                     {"app=web", true},
                                                     {"app==web", true},
                                                     {"app=x", false},
                                                     {"app!=x", true},
                                                     {"missing!=x", true},
                                                     {"tier in (a,b)", true},
                                                     {"tier notin (a, b)", false},
                                                     {"missing notin (a)", true},
                                                     {"app", true},
                                                     {"!app", false},
                                                     {"!missing", true},
                                                     {"n>4", true},
                                                     {"n<5", false},
                                                     {"app>4", false},
                                                     {"app=web,tier=b", false},
                                                     {"app=web , tier in (a)", true},
                                                     {"empty=", true},
                                                     {"empty in ()", true},
                                                     {"app in (,web)", true},
                                                     {"in in (a)", false},
                                                     {"example.com/x!=1", true}};
  for (const auto& [text, expected] : cases) {
    const auto selector = LabelSelector::parse(text);
    ASSERT_TRUE(selector) << text << ": " << selector.error().message();
    EXPECT_EQ(selector->matches(labels.root), expected) << text;
    const auto again = LabelSelector::parse(selector->text());
    ASSERT_TRUE(again) << selector->text();
    EXPECT_EQ(again->text(), selector->text());
  }
}

TEST(LabelSelector, RefusesOthers) {
  for (const std::string_view text : {"a in", "a in (", "a in b", "(a)", "a=b,", ",a", "a b", "a>b", "!", "a=b=c",
                                      "-a=b", "a=-b", "a/b/c", "a in (b", "=b"})
    EXPECT_FALSE(LabelSelector::parse(text)) << text;
  EXPECT_EQ(LabelSelector::parse("a b").error().message(),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
}

TEST(LabelSelector, OfObjects) {
  const Document labels = read_json(R"({"app":"web"})").value();
  const auto matches = [&](std::string_view selector) {
    const Document document = read_json(selector).value();
    const auto made = LabelSelector::of(document.root);
    return made && made->matches(labels.root);
  };
  EXPECT_FALSE(matches("null"));
  EXPECT_TRUE(matches("{}"));
  EXPECT_TRUE(matches(R"({"matchLabels":{"app":"web"},"matchExpressions":[{"key":"x","operator":"DoesNotExist"}]})"));
  EXPECT_FALSE(matches(R"({"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]})"));
  EXPECT_FALSE(matches(R"({"matchExpressions":[{"key":"app","operator":"Like"}]})"));
}

TEST(FieldSelector, MatchesTheFieldsOfTheKind) {
  const ResourceView pods = builtin().find_resource("", "v1", "pods");
  const ResourceView nodes = builtin().find_resource("", "v1", "nodes");
  ASSERT_TRUE(pods && nodes);
  const Document pod =
      read_json(R"({"metadata":{"name":"a","namespace":"x"},"spec":{"nodeName":"n1"},"status":{"phase":"Running"}})")
          .value();
  const std::pair<std::string_view, bool> cases[] = {{"", true},
                                                     {"metadata.name=a", true},
                                                     {"metadata.name==a,status.phase=Running", true},
                                                     {"status.phase!=Running", false},
                                                     {"spec.nodeName=n1,metadata.namespace!=y", true},
                                                     {"spec.hostNetwork=false", true},
                                                     {"status.podIP=", true}};
  for (const auto& [text, expected] : cases) {
    const auto selector = FieldSelector::parse(text, pods);
    ASSERT_TRUE(selector) << text << ": " << selector.error().message();
    EXPECT_EQ(selector->matches(pods, pod.root), expected) << text;
  }
  EXPECT_EQ(FieldSelector::parse("spec.foo=1", pods).error().message(), "field label not supported: spec.foo");
  EXPECT_FALSE(FieldSelector::parse("metadata.namespace=x", nodes));
  for (const std::string_view text : {"a", "a=b=c", "a=\\x", "a,b=c"}) EXPECT_FALSE(FieldSelector::parse(text)) << text;
  EXPECT_EQ(*FieldSelector::parse("a=b\\,c")->wanted("a"), "b,c");
}

}  // namespace
}  // namespace proa::kube
