#include <gtest/gtest.h>

#include "kube/codec/conform.h"
#include "kube/defaulting/defaults.h"
#include "kube/object/json.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

class DefinitionRules : public testing::Test {
 protected:
  std::string told(std::string_view json) {
    const ResourceView resource = builtin().find_resource("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    Value object = conform(arena_, resource.type(), read_json(arena_, json).value()).value();
    set_defaults(arena_, resource, object);
    return aggregate(validate_create(resource, object));
  }
  static std::string definition(std::string_view schema, std::string_view version = {}, std::string_view spec = {}) {
    return cat(R"({"metadata":{"name":"foos.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)",
               R"("names":{"plural":"foos","kind":"Foo"},)", spec,
               R"("versions":[{"name":"v1","served":true,"storage":true,)", version, R"("schema":{"openAPIV3Schema":)",
               schema, "}}]}}");
  }
  // Of a property "a" with this schema.
  std::string property(std::string_view schema) {
    return told(definition(cat(R"({"type":"object","properties":{"a":)", schema, "}}")));
  }
  Arena arena_;
};

TEST_F(DefinitionRules, AcceptWhatIsStructural) {
  EXPECT_EQ(told(definition(
                R"({"type":"object","properties":{"spec":{"type":"object","required":["n"],"properties":{
      "n":{"type":"integer","default":3,"minimum":1},"p":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
      "l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"}}}},
      "e":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true},
      "o":{"type":"object","properties":{"x":{"type":"string"}},"oneOf":[{"required":["x"]},{"properties":{"x":{"minLength":3}}}]}},
      "x-kubernetes-validations":[{"rule":"self.n > 0"}]}}})",
                R"("subresources":{"status":{},"scale":{"specReplicasPath":".spec.n","statusReplicasPath":".status.n"}},
      "selectableFields":[{"jsonPath":".spec.n"}],"additionalPrinterColumns":[{"name":"N","type":"integer","jsonPath":".spec.n"}],)")),
            "");
}

TEST_F(DefinitionRules, TypesAreTold) {
  EXPECT_EQ(told(definition("{}")),
            "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root");
  EXPECT_EQ(
      property("{}"),
      "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object "
      "fields");
  EXPECT_EQ(property(R"({"type":"array","items":{}})"),
            "spec.validation.openAPIV3Schema.properties[a].items.type: Required value: must not be empty for specified "
            "array items");
  EXPECT_EQ(
      property(R"({"type":"object","anyOf":[{"properties":{"b":{"type":"string"}}}]})"),
      "[spec.validation.openAPIV3Schema.properties[a].anyOf[0].properties[b].type: Forbidden: must be empty to be "
      "structural, spec.validation.openAPIV3Schema.properties[a].properties[b]: Required value: because it is "
      "defined in spec.validation.openAPIV3Schema.properties[a].anyOf[0].properties[b]]");
  EXPECT_EQ(
      property(R"({"type":"array","uniqueItems":true,"items":{"type":"string"}})"),
      "spec.validation.openAPIV3Schema.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since "
      "the runtime complexity becomes quadratic");
}

TEST_F(DefinitionRules, ListsOfMapsHaveKeys) {
  EXPECT_EQ(
      property(R"({"type":"array","x-kubernetes-list-type":"map","items":{"type":"object"}})"),
      "spec.validation.openAPIV3Schema.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty "
      "if x-kubernetes-list-type is map");
  EXPECT_EQ(
      property(
          R"({"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"}}}})"),
      "spec.validation.openAPIV3Schema.properties[a].items.properties[k].default: Required value: this property is in "
      "x-kubernetes-list-map-keys, so it must have a default or be a required property");
}

TEST_F(DefinitionRules, DefaultsFitTheirSchema) {
  EXPECT_EQ(property(R"({"type":"integer","default":"x"})"),
            "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: \"string\":  in body must be of "
            "type integer: \"string\"");
  EXPECT_EQ(
      property(R"({"type":"object","default":{"x":1}})"),
      "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: {\"x\":1}: must not have unknown fields");
}

TEST_F(DefinitionRules, NamesAndVersions) {
  EXPECT_EQ(
      told(
          R"({"metadata":{"name":"foo.example.com"},"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"foos","kind":"Foo"},
     "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}})"),
      "metadata.name: Invalid value: \"foo.example.com\": must be spec.names.plural+\".\"+spec.group");
  const std::string two = told(
      R"({"metadata":{"name":"foos.example.com"},"spec":{"group":"example.com","scope":"All","names":{"plural":"foos","kind":"Foo","listKind":"Foo"},
     "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}},
                 {"name":"v1","served":true,"storage":true}]}})");
  for (const std::string_view part :
       {"must contain unique version names", "must have exactly one version marked as storage version",
        "spec.names.listKind: Invalid value: \"Foo\": kind and listKind may not be the same",
        "spec.scope: Unsupported value: \"All\": supported values: \"Cluster\", \"Namespaced\"",
        "spec.versions[1].schema.openAPIV3Schema: Required value: schemas are required"})
    EXPECT_NE(two.find(part), std::string::npos) << part << "\nin " << two;
  EXPECT_EQ(
      told(
          definition(R"({"type":"object"})",
                     R"("subresources":{"scale":{"specReplicasPath":".status.n","statusReplicasPath":".status.n"}},)")),
      "spec.subresources.scale.specReplicasPath: Invalid value: \".status.n\": should be a json path under .spec");
}

}  // namespace
}  // namespace proa::kube
