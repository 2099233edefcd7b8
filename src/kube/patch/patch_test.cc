#include <gtest/gtest.h>

#include "kube/codec/conform.h"
#include "kube/object/json.h"
#include "kube/patch/json_patch.h"
#include "kube/patch/managed_fields.h"
#include "kube/patch/strategic.h"

namespace proa::kube {
namespace {

struct Case {
  std::string_view object, patch, expected;
};

std::string text(const Result<Value>& value) { return value ? write_json(*value) : value.error().message(); }

TEST(JsonPatch, FollowsRfc6902) {
  const Case cases[] = {
      {R"({"a":1})",
       R"([{"op":"add","path":"/b","value":[1]},{"op":"add","path":"/b/-","value":3},{"op":"add","path":"/b/1","value":2}])",
       R"({"a":1,"b":[1,2,3]})"},
      {R"({"a":1,"b":2})", R"([{"op":"remove","path":"/a"}])", R"({"b":2})"},
      {R"({"a~b":1,"c/d":2})", R"([{"op":"replace","path":"/a~0b","value":3},{"op":"remove","path":"/c~1d"}])",
       R"({"a~b":3})"},
      {R"({"a":{"b":[1]}})", R"([{"op":"copy","from":"/a/b","path":"/c"},{"op":"move","from":"/a","path":"/d"}])",
       R"({"c":[1],"d":{"b":[1]}})"},
      {R"({"a":1})", R"([{"op":"test","path":"/a","value":1},{"op":"test","path":"/missing","value":null}])",
       R"({"a":1})"},
      {R"({"a":1})", R"([{"op":"add","path":"","value":{"x":1}}])", R"({"x":1})"},
      {R"({"a":1})", R"([{"op":"test","path":"/a","value":2}])", "test operation does not apply: /a: test failed"},
      {R"({"a":1})", R"([{"op":"remove","path":"/b"}])",
       "remove operation does not apply: /b: Unable to remove nonexistent key: missing value"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/3","value":1}])",
       "add operation does not apply: /a/3: Unable to access invalid index: 3: invalid index referenced"},
      {R"({"a":1})", R"([{"op":"jump","path":"/a"}])", "jump operation does not apply: /a: unexpected kind: jump"},
      {R"({"a":1})", R"([{"op":"add","path":"/a"}])", "add operation does not apply: /a: add operation has no value"},
      {R"({"a":{}})", R"([{"op":"move","from":"/a","path":"/a/b"}])",
       "move operation does not apply: /a/b: a value cannot be moved into itself"},
      {R"({})", R"({})", "a JSON patch is an array of operations"},
  };
  for (const auto& [object, patch, expected] : cases) {
    Arena arena;
    const Value before = read_json(arena, object).value();
    EXPECT_EQ(text(apply_json_patch(arena, before, read_json(arena, patch).value())), expected) << patch;
    EXPECT_EQ(write_json(before), object) << "the object was changed";
  }
}

TEST(MergePatch, FollowsRfc7386) {
  const Case cases[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"(["a"])", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
  };
  for (const auto& [object, patch, expected] : cases) {
    Arena arena;
    EXPECT_EQ(write_json(apply_merge_patch(arena, *read_json(arena, object), *read_json(arena, patch))), expected)
        << patch;
  }
}

TEST(StrategicPatch, MergesByTheSchema) {
  const Case cases[] = {
      // Containers merge by name, commands are replaced.
      {R"({"spec":{"containers":[{"name":"a","image":"x","command":["1","2"]},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"a","image":"y","command":["3"]},{"name":"c"}]}})",
       R"({"spec":{"containers":[{"name":"a","image":"y","command":["3"]},{"name":"c"},{"name":"b"}]}})"},
      {R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"$patch":"delete","name":"a"}]}})", R"({"spec":{"containers":[{"name":"b"}]}})"},
      {R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
       R"({"spec":{"containers":[{"name":"c"},{"$patch":"replace"}]}})", R"({"spec":{"containers":[{"name":"c"}]}})"},
      // The order of the patch, with what only the server has in its place.
      {R"({"spec":{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}})",
       R"({"spec":{"$setElementOrder/containers":[{"name":"c"},{"name":"a"},{"name":"d"}],"containers":[{"name":"d"}]}})",
       R"({"spec":{"containers":[{"name":"b"},{"name":"c"},{"name":"a"},{"name":"d"}]}})"},
      {R"({"metadata":{"finalizers":["a","b"]}})",
       R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["c","b"],"finalizers":["c"]}})",
       R"({"metadata":{"finalizers":["c","b"]}})"},
      {R"({"metadata":{"labels":{"a":"1","b":"2"}}})", R"({"metadata":{"labels":{"a":null,"c":"3"}}})",
       R"({"metadata":{"labels":{"b":"2","c":"3"}}})"},
      {R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})",
       R"({"spec":{"volumes":[{"$retainKeys":["name","hostPath"],"name":"v","hostPath":{"path":"/x"}}]}})",
       R"({"spec":{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}})"},
      {R"({"spec":{"nodeSelector":{"a":"1"}}})", R"({"spec":{"nodeSelector":{"$patch":"replace","b":"2"}}})",
       R"({"spec":{"nodeSelector":{"b":"2"}}})"},
      {R"({"spec":{}})", R"({"spec":{"affinity":{"nodeAffinity":null,"podAffinity":{}}}})",
       R"({"spec":{"affinity":{"podAffinity":{}}}})"},
      {R"({"spec":{"containers":[{"name":"a"}]}})", R"({"spec":{"containers":[{"image":"x"}]}})",
       R"(map: {"image":"x"} does not contain declared merge key: name)"},
      {R"({})", R"({"$patch":"destroy"})", "invalid patch type [destroy]"},
      {R"({})", R"({"spec":{"$retainKeys":"x"}})", "invalid patch format of retainKeys list"},
  };
  const TypeView pod = builtin().find_type("", "v1", "Pod");
  for (const auto& [object, patch, expected] : cases) {
    Arena arena;
    const Value before = read_json(arena, object).value();
    EXPECT_EQ(text(apply_strategic_patch(arena, pod, before, *read_json(arena, patch))), expected) << patch;
    EXPECT_EQ(write_json(before), object) << "the object was changed";
  }
}

// --- server-side apply

TEST(StrategicPatch, LongListsAreMergedAsShortOnes) {
  Arena arena;
  std::string ports, patch, order;
  for (int i = 1; i <= 60; ++i) ports += cat(i > 1 ? "," : "", R"({"containerPort":)", i, R"(,"name":"p)", i, "\"}");
  for (int i = 1; i <= 40; ++i)
    patch += cat(R"({"containerPort":)", i * 2, i % 2 == 0 ? R"(,"$patch":"delete"},)" : R"(,"name":"new"},)");
  patch += R"({"containerPort":100,"name":"more"})";
  const TypeView type = builtin().find_type("", "v1", "Container");
  const Value object = read_json(arena, cat(R"({"ports":[)", ports, "]}")).value();
  const Value change = read_json(arena, cat(R"({"ports":[)", patch, "]}")).value();
  const Value out = apply_strategic_patch(arena, type, object, change).value().get("ports");
  size_t renamed = 0, more = 0;
  for (const Value& port : out.items()) {
    const int64_t number = port.get("containerPort").as_int();
    if (number != 100) EXPECT_NE(number % 4, 0) << number;
    renamed += port.string("name") == "new" ? 1 : 0;
    more += port.string("name") == "more" ? 1 : 0;
  }
  EXPECT_EQ(renamed, 20u);
  EXPECT_EQ(more, 1u);
  EXPECT_EQ(out.size(), 60u - 15u + 5u + 1u);
}

class Apply : public testing::Test {
 protected:
  Value json(std::string_view text) {
    const auto value = read_json(arena_, text);
    EXPECT_TRUE(value) << text;
    return value.value_or(Value());
  }
  ApplyResult apply(std::string_view manager, std::string_view config, bool force = false) {
    auto result = apply_fields(arena_, type_, live(), json(config), {manager, "apps/v1", "", ++now_}, force);
    EXPECT_TRUE(result) << result.error().message();
    if (!result) return {};
    if (result->conflicts.empty()) store(result->object);
    return *result;
  }
  void update(std::string_view manager, std::string_view object, std::string_view subresource = "") {
    Value next = json(object);
    if (!live_.is_null()) next.find("metadata")->set(arena_, "managedFields", live_.get({"metadata", "managedFields"}));
    next = *conform(arena_, type_, next, {.defaults = false});
    const auto result = update_managed_fields(arena_, type_, live(), next, {manager, "apps/v1", subresource, ++now_});
    EXPECT_TRUE(result) << result.error().message();
    store(next);
  }
  Value live() { return live_.is_null() ? *conform(arena_, type_, json("{}"), {.defaults = false}) : live_; }
  void store(Value object) {
    object.child(arena_, "metadata").set(arena_, "uid", Value::view("1"));
    live_ = *conform(arena_, type_, object, {.defaults = false});
  }
  std::string at(std::initializer_list<std::string_view> path) { return write_json(live_.get(path)); }
  std::string owned(std::string_view manager) {
    std::string out;
    for (const Value& entry : live_.get({"metadata", "managedFields"}).items())
      if (entry.string("manager") == manager)
        out += cat(entry.string("operation"), entry.string("subresource").empty() ? "" : "/",
                   entry.string("subresource"), write_json(entry.get("fieldsV1")));
    return out;
  }

  Arena arena_;
  TypeView type_ = builtin().find_type("apps", "v1", "Deployment");
  Value live_;
  int64_t now_ = 1'700'000'000;
};

constexpr std::string_view kWeb =
    R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"replicas":2,)"
    R"("template":{"spec":{"containers":[{"name":"c","image":"x","ports":[{"containerPort":80}]}]}}}})";

TEST_F(Apply, RecordsWhatWasApplied) {
  apply("ci", kWeb);
  EXPECT_EQ(
      owned("ci"),
      R"(Apply{"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":)"
      R"({"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}}})");
  const ApplyResult again = apply("ci", kWeb);
  EXPECT_FALSE(again.changed);
}

TEST_F(Apply, RemovesWhatIsNoLongerApplied) {
  apply("ci", kWeb);
  apply("ci", R"({"metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[{"name":"d","image":"y"}]}}}})");
  EXPECT_EQ(at({"spec", "template", "spec", "containers"}), R"([{"name":"d","image":"y","resources":{}}])");
  EXPECT_EQ(at({"spec", "replicas"}), "null");
  EXPECT_EQ(at({"metadata", "labels"}), "null");
}

TEST_F(Apply, KeepsWhatOthersOwn) {
  apply("ci", kWeb);
  apply(
      "other",
      R"({"metadata":{"name":"web","labels":{"app":"web","team":"a"}},"spec":{"template":{"spec":{"containers":[{"name":"c","workingDir":"/w"}]}}}})");
  apply("ci", R"({"metadata":{"name":"web"}})");
  EXPECT_EQ(at({"metadata", "labels"}), R"({"app":"web","team":"a"})");
  EXPECT_EQ(at({"spec", "template", "spec", "containers"}), R"([{"name":"c","workingDir":"/w","resources":{}}])");
}

TEST_F(Apply, FindsConflicts) {
  apply("ci", kWeb);
  const ApplyResult refused = apply("hpa", R"({"metadata":{"name":"web"},"spec":{"replicas":5}})");
  ASSERT_EQ(refused.conflicts.size(), 1u);
  EXPECT_EQ(conflict_message(refused.conflicts), R"(Apply failed with 1 conflict: conflict with "ci": .spec.replicas)");
  EXPECT_EQ(at({"spec", "replicas"}), "2");
  apply("hpa", R"({"metadata":{"name":"web"},"spec":{"replicas":5}})", true);
  EXPECT_EQ(at({"spec", "replicas"}), "5");
  EXPECT_EQ(owned("ci").find("f:replicas"), std::string::npos);
  EXPECT_NE(owned("hpa").find("f:replicas"), std::string::npos);
  // The same value is shared without conflict.
  EXPECT_TRUE(apply("third", R"({"metadata":{"name":"web"},"spec":{"replicas":5}})").conflicts.empty());
}

TEST_F(Apply, NamesEveryConflict) {
  update("kubectl-create", kWeb);
  const ApplyResult refused = apply(
      "ci",
      R"({"metadata":{"name":"web"},"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"c","image":"z"}]}}}})");
  EXPECT_EQ(conflict_message(refused.conflicts),
            "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n"
            "- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image");
}

TEST_F(Apply, UpdatesTakeWhatTheyChange) {
  update("kubectl-create", kWeb);
  const std::string created = owned("kubectl-create");
  EXPECT_EQ(created.substr(0, 53), R"(Update{"f:metadata":{"f:labels":{".":{},"f:app":{}}},)");
  EXPECT_NE(created.find(
                R"("f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}})"),
            std::string::npos)
      << created;
  std::string changed(kWeb);
  changed.replace(changed.find("\"replicas\":2"), 12, "\"replicas\":3");
  update("kubectl-edit", changed);
  EXPECT_EQ(owned("kubectl-edit"), R"(Update{"f:spec":{"f:replicas":{}}})");
  EXPECT_EQ(owned("kubectl-create").find("f:replicas"), std::string::npos);
  update("controller", changed.replace(changed.find("\"spec\""), 0, R"("status":{"replicas":3},)"), "status");
  EXPECT_EQ(owned("controller"), R"(Update/status{"f:status":{"f:replicas":{}}})");
}

TEST_F(Apply, RefusesUnknownFieldsAndManagedFields) {
  const auto refused = [&](std::string_view config) {
    return apply_fields(arena_, type_, live(), json(config), {"m", "apps/v1", "", 1}, false).error().message();
  };
  EXPECT_EQ(
      refused(R"({"metadata":{"name":"web","namespace":"n"},"spec":{"foo":1}})"),
      "failed to create typed patch object (n/web; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema");
  EXPECT_EQ(refused(R"({"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}})"),
            "failed to create typed patch object (; apps/v1, Kind=Deployment): .spec.template.spec.containers: element "
            "0: associative list with keys has an element that omits key field \"name\" (and "
            "doesn't have default value)");
  EXPECT_EQ(refused(R"({"metadata":{"managedFields":[{}]}})"), "metadata.managedFields must be nil");
}

TEST_F(Apply, ManyUpdatersAreUnited) {
  update("m0", kWeb);
  for (int i = 1; i < 14; ++i)
    update(cat("m", i), R"({"metadata":{"name":"web","labels":{"k)" + cat(i) + R"(":"v"}},"spec":{"replicas":)" +
                            cat(i + 10) + "}}");
  size_t updaters = live_.get({"metadata", "managedFields"}).size();
  EXPECT_LE(updaters, 10u);
}

}  // namespace
}  // namespace proa::kube
