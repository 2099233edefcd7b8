#include "kube/custom/custom.h"

#include <gtest/gtest.h>

#include "kube/object/json.h"
#include "kube/openapi/openapi.h"
#include "kube/patch/managed_fields.h"
#include "kube/printer/columns.h"

namespace proa::kube {
namespace {

constexpr std::string_view kDefinition = R"({"spec":{"group":"example.com","scope":"Namespaced",
 "names":{"plural":"widgets","singular":"widget","kind":"Widget","shortNames":["wd"]},
 "versions":[{"name":"v1","served":true,"storage":true,
  "subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},
  "additionalPrinterColumns":[{"name":"Size","type":"integer","jsonPath":".spec.size"}],
  "schema":{"openAPIV3Schema":{"type":"object","required":["spec"],"properties":{"spec":{"type":"object","required":["size"],"properties":{
   "size":{"type":"integer","minimum":1,"maximum":10},
   "color":{"type":"string","enum":["red","blue"],"default":"red"},
   "code":{"type":"string","pattern":"^[a-z]+$","maxLength":4},
   "port":{"x-kubernetes-int-or-string":true},
   "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
   "tags":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"set","maxItems":2},
   "parts":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"count":{"type":"integer","default":1}}}},
   "whole":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true},
   "replicas":{"type":"integer","default":1},
   "note":{"type":"string","nullable":true},
   "limits":{"type":"object","additionalProperties":{"type":"integer"}},
   "either":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}
  }},"status":{"type":"object","properties":{"replicas":{"type":"integer"}}}}}}}]}})";

class Custom : public testing::Test {
 protected:
  Custom()
      : bytes_(build_custom_table(read_json(arena_, kDefinition).value(), "v1").value()), table_(bytes_, &builtin()) {}
  ResourceView widgets() const { return table_.find_resource("example.com", "v1", "widgets"); }
  Value conformed(std::string_view spec, std::vector<std::string>* unknown = nullptr) {
    const Value in =
        read_json(
            arena_,
            cat(R"({"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"w","namespace":"n"},"spec":)",
                spec, "}"))
            .value();
    return conform_custom(arena_, widgets(), in, {.unknown = unknown}).value();
  }
  std::string told(std::string_view spec) { return aggregate(validate_custom(widgets(), conformed(spec))); }

  Arena arena_;
  std::string bytes_;
  Table table_;
};

TEST_F(Custom, IsPrunedAndDefaulted) {
  std::vector<std::string> unknown;
  const Value widget = conformed(R"({"size":2,"what":1,"free":{"any":[1]},"parts":[{"name":"a","x":1}]})", &unknown);
  EXPECT_EQ(write_json(widget.get("spec")),
            R"({"color":"red","free":{"any":[1]},"parts":[{"count":1,"name":"a"}],"replicas":1,"size":2})");
  EXPECT_EQ(unknown, (std::vector<std::string>{"spec.what", "spec.parts[0].x"}));
}

TEST_F(Custom, IsValidated) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"size":2,"port":"http","tags":["a"],"either":{"a":"x"},"code":"abc"})", ""},
      {R"({})", "spec.size: Required value"},
      {R"({"size":"2"})", R"(spec.size: Invalid value: "string": spec.size in body must be of type integer: "string")"},
      {R"({"size":0})", "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"},
      {R"({"size":11})", "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"},
      {R"({"size":1,"color":"pink"})", R"(spec.color: Unsupported value: "pink": supported values: "red", "blue")"},
      {R"({"size":1,"code":"A"})", R"(spec.code: Invalid value: "A": spec.code in body should match '^[a-z]+$')"},
      {R"({"size":1,"code":"abcde"})", "spec.code: Too long: may not be more than 4 bytes"},
      {R"({"size":1,"port":true})",
       R"(spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean")"},
      {R"({"size":1,"tags":["a","a"]})", R"(spec.tags[1]: Duplicate value: "a")"},
      {R"({"size":1,"tags":["a","b","c"]})", "spec.tags: Too many: 3: must have at most 2 items"},
      {R"({"size":1,"parts":[{"name":"a"},{"name":"a"}]})", R"(spec.parts[1]: Duplicate value: {"name":"a"})"},
      {R"({"size":1,"either":{}})",
       "spec.either: Invalid value: {}: spec.either in body must validate one and only one schema (oneOf). Found none "
       "valid"},
  };
  for (const auto& [spec, message] : cases) EXPECT_EQ(told(spec), message) << spec;
}

TEST_F(Custom, NullsThatMayNotBeAreAsIfMissing) {
  const Value widget = conformed(
      R"({"size":2,"color":null,"code":null,"note":null,"free":{"a":null},"limits":{"a":1,"b":null},"tags":["a"]})");
  EXPECT_EQ(write_json(widget.get("spec")),
            R"({"color":"red","free":{"a":null},"limits":{"a":1},"note":null,"replicas":1,"size":2,"tags":["a"]})");
  EXPECT_EQ(told(R"({"size":1,"tags":[null]})"),
            R"(spec.tags[0]: Invalid value: "null": spec.tags[0] in body must be of type string: "null")");
}

TEST_F(Custom, EmbeddedObjectsAreObjects) {
  EXPECT_EQ(told(R"({"size":1,"whole":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"x":1}})"),
            "");
  EXPECT_EQ(told(R"({"size":1,"whole":{}})"),
            "[spec.whole.apiVersion: Required value, spec.whole.kind: Required value]");
  EXPECT_EQ(told(R"({"size":1,"whole":{"apiVersion":"a/b/c","kind":"No kind","metadata":{"labels":{"a b":"c"}}}})")
                .substr(0, 96),
            R"([spec.whole.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c, spec.whol)");
}

TEST_F(Custom, ScaleHasToBeANumber) {
  EXPECT_EQ(told(R"({"size":1,"replicas":-1})"), ".spec.replicas: Invalid value: -1: should be a non-negative integer");
  EXPECT_EQ(told(R"({"size":1,"replicas":2147483648})"),
            ".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647");
}

TEST_F(Custom, WhatHasNotChangedNeedNotFit) {
  const Value old_object = conformed(R"({"size":99,"code":"TOO LONG","parts":[{"name":"a","count":"x"}]})");
  const auto change = [&](std::string_view spec) {
    std::string out;
    for (const FieldError& error : validate_custom(widgets(), conformed(spec), old_object))
      if (!error.field.starts_with("metadata")) out += error.message();
    return out;
  };
  EXPECT_EQ(change(R"({"size":99,"code":"TOO LONG","parts":[{"name":"b"},{"name":"a","count":"x"}]})"), "");
  EXPECT_EQ(change(R"({"size":98,"code":"TOO LONG"})"),
            "spec.size: Invalid value: 98: spec.size in body should be less than or equal to 10");
}

TEST_F(Custom, IsAppliedPrintedAndPublished) {
  const Value live = conform_custom(arena_, widgets(), read_json(arena_, "{}").value(), {.defaults = false}).value();
  const Value config =
      read_json(
          arena_,
          R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"size":3,"parts":[{"name":"a"}]}})")
          .value();
  const auto applied = apply_fields(arena_, widgets().type(), live, config, {"me", "example.com/v1", "", 1}, false);
  ASSERT_TRUE(applied) << applied.error().message();
  EXPECT_EQ(write_json(applied->object.get({"metadata", "managedFields"}).items()[0].get("fieldsV1")),
            R"({"f:spec":{"f:parts":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}},"f:size":{}}})");
  EXPECT_EQ(write_json(table_cells(arena_, widgets(), applied->object, 0)), R"(["w",3])");
  const GroupVersionView gv[] = {table_.find("example.com", "v1")};
  const auto openapi = read_json(openapi_v3(gv));
  ASSERT_TRUE(openapi) << openapi.error().message();
  EXPECT_EQ(write_json(openapi->root.get(
                {"components", "schemas", "com.example.v1.Widget", "x-kubernetes-group-version-kind"})),
            R"([{"group":"example.com","kind":"Widget","version":"v1"}])");
  EXPECT_LT(bytes_.size(), 20'000u);
}

TEST(CustomTable, MistakesAreNamed) {
  Arena arena;
  const Value definition =
      read_json(
          arena,
          R"({"spec":{"versions":[{"name":"v1","schema":{"openAPIV3Schema":{"type":"object","properties":{"a":{"type":"array"}}}}}]}})")
          .value();
  EXPECT_EQ(build_custom_table(definition, "v1").error().message(),
            "spec.versions[v1].schema.openAPIV3Schema: properties[a]: items: Required value: must be specified");
  EXPECT_EQ(build_custom_table(definition, "v2").error().message(), "spec.versions: no version v2");
}

}  // namespace
}  // namespace proa::kube
