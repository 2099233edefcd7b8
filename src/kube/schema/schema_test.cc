#include <gtest/gtest.h>

#include <algorithm>

#include "kube/codec/conform.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "kube/openapi/discovery.h"
#include "kube/openapi/openapi.h"
#include "kube/patch/strategic.h"
#include "kube/printer/columns.h"
#include "kube/printer/functions.h"
#include "kube/schema/source.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

TEST(Schema, HasEveryGroupVersionThatIsServed) {
  size_t resources = 0;
  for (size_t i = 0; i < builtin().group_version_count(); ++i) resources += builtin().group_version(i).resource_count();
  EXPECT_EQ(builtin().group_version_count(), 25u);
  EXPECT_EQ(resources, 66u);
  EXPECT_LT(builtin().bytes(), 200u << 10) << "the table is to stay small";
}

TEST(Schema, EveryColumnHasItsSource) {
  for (const ColumnRecord& record : builtin().columns()) {
    const std::string_view source = builtin().text(record.source);
    EXPECT_TRUE(source.starts_with('.') || cell_function(source) != nullptr) << source;
  }
}

TEST(Schema, EveryKindIsDescribed) {
  for (size_t i = 0; i < builtin().resources().size(); ++i) {
    const ResourceView resource(&builtin(), &builtin().resources()[i]);
    EXPECT_FALSE(resource.type().description().empty()) << resource.kind();
  }
}

TEST(Schema, EveryDefaultConforms) {
  for (const FieldRecord& record : builtin().fields()) {
    const FieldView field(&builtin(), &record);
    if (field.node().default_json().empty()) continue;
    EXPECT_TRUE(read_json(field.node().default_json())) << field.name() << " " << field.node().default_json();
  }
}

TEST(Schema, MistakesAreNamedWithTheirLine) {
  const auto error = [](std::string text) {
    return build_table({{"x.schema", "group g\nversion v1\npackage p\n" + std::move(text)}}).error().message();
  };
  EXPECT_EQ(error("type A\n  a strang 1\n"), "x.schema:5: type strang is not known");
  EXPECT_EQ(error("type A\n  a string 1 requred\n"), "x.schema:5: 'requred' is not known in a field");
  EXPECT_EQ(error("type A\n  a string 1\n  b string 1\n"), "x.schema:6: the name or number of b is there twice");
  EXPECT_EQ(error("resource as A\n"), "x.schema:4: kind A is not described");
  EXPECT_EQ(error("kind A\n  a string 1\nresource as A\n  verbs fetch\n"), "x.schema:7: verb fetch is not known");
}

// A kind that nobody wrote a line of code for.
constexpr std::string_view kRobots = R"(group example.com
version v1
package com.example.v1

resource robots Robot
  short rb
  categories all
  subresource status get,update
  column Name string/name 0 .metadata.name
  column Wheels integer 0 .spec.wheels
  column Model string 1 .spec.model?

enum Model walker roller

kind Robot -- Walks about.
  metadata ObjectMeta! 1
  spec RobotSpec! 2
  status RobotStatus! 3

type RobotSpec
  wheels int32? 1 default=4 min=0
  model Model 2
  battery quantity? 3
  arms [Arm] 4 keys=name patch=merge:name
  serial string 5 required fixed

type Arm
  name string! 1 required
  length double 2

type RobotStatus
  charged bool 1
)";
constexpr std::string_view kMeta = R"(group meta
version v1
package k8s.io.apimachinery.pkg.apis.meta.v1

type ListMeta
  resourceVersion string 2

type ObjectMeta
  name string 1
  namespace string 3
  resourceVersion string 6
  labels {string} 11
)";

class AddedKind : public testing::Test {
 protected:
  AddedKind()
      : bytes_(build_table({{"example.schema", std::string(kRobots)}, {"meta.schema", std::string(kMeta)}}).value()),
        table_(bytes_) {}
  ResourceView robots() const { return table_.find_resource("example.com", "v1", "robots"); }
  Value object(std::string_view json) {
    return conform(arena_, robots().type(), read_json(arena_, json).value()).value();
  }

  std::string bytes_;
  Table table_;
  Arena arena_;
};

TEST_F(AddedKind, IsDecodedDefaultedAndEncoded) {
  std::vector<std::string> unknown;
  const Value given =
      read_json(
          arena_,
          R"({"apiVersion":"example.com/v1","kind":"Robot","spec":{"serial":"7","battery":"1500m","arms":[{"name":"l","x":1}],"color":"red"}})")
          .value();
  const Value robot = conform(arena_, robots().type(), given, {.unknown = &unknown}).value();
  EXPECT_EQ(
      write_json(robot),
      R"({"kind":"Robot","apiVersion":"example.com/v1","metadata":{},"spec":{"wheels":4,"battery":"1500m","arms":[{"name":"l"}],"serial":"7"},"status":{}})");
  EXPECT_EQ(unknown, (std::vector<std::string>{"spec.arms[0].x", "spec.color"}));
  const std::string wire = write_protobuf(robots().type(), robot);
  const ProtobufEnvelope envelope = open_envelope(wire).value();
  const Value back = read_protobuf(arena_, robots().type(), envelope.raw, envelope.api_version, envelope.kind).value();
  EXPECT_EQ(write_json(conform(arena_, robots().type(), back).value()), write_json(robot));
}

TEST_F(AddedKind, IsValidated) {
  const auto told = [&](std::string_view json) { return aggregate(validate_create(robots(), object(json))); };
  EXPECT_EQ(told(R"({"metadata":{"name":"r","namespace":"n"},"spec":{"serial":"1","wheels":-1}})"),
            "spec.wheels: Invalid value: -1: must be greater than or equal to 0");
  EXPECT_EQ(told(R"({"metadata":{"name":"r","namespace":"n"},"spec":{"model":"flyer","serial":"1"}})"),
            R"(spec.model: Unsupported value: "flyer": supported values: "roller", "walker")");
  EXPECT_EQ(told(R"({"metadata":{"name":"r","namespace":"n"},"spec":{}})"), "spec.serial: Required value");
  const Value was = object(R"({"metadata":{"name":"r","namespace":"n","resourceVersion":"1"},"spec":{"serial":"1"}})");
  const Value is = object(R"({"metadata":{"name":"r","namespace":"n","resourceVersion":"1"},"spec":{"serial":"2"}})");
  EXPECT_EQ(aggregate(validate_update(robots(), is, was)), R"(spec.serial: Invalid value: "2": field is immutable)");
}

TEST_F(AddedKind, IsPatchedPrintedAndDiscovered) {
  const Value robot = object(R"({"metadata":{"name":"r"},"spec":{"serial":"7","arms":[{"name":"l","length":1.5}]}})");
  const Value patched =
      apply_strategic_patch(arena_, robots().type(), robot,
                            read_json(arena_, R"({"spec":{"arms":[{"name":"r"},{"name":"l","length":2}]}})").value())
          .value();
  EXPECT_EQ(write_json(patched.get({"spec", "arms"})), R"([{"name":"r"},{"name":"l","length":2}])");
  EXPECT_EQ(write_json(table_cells(arena_, robots(), robot, 0)), R"(["r",4,"\u003cnone\u003e"])");
  const Table* tables[] = {&table_};
  EXPECT_NE(api_resource_list(tables, "example.com", "v1")
                .find(R"({"name":"robots","singularName":"robot","namespaced":true,"kind":"Robot",)"),
            std::string::npos);
  const auto found = read_json(aggregated_discovery(tables, false, "v2"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->root.get("items").items()[0].string({"metadata", "name"}), "example.com");
  const GroupVersionView gv[] = {table_.find("example.com", "v1")};
  const auto openapi = read_json(openapi_v3(gv));
  ASSERT_TRUE(openapi);
  EXPECT_EQ(openapi->root.string({"components", "schemas", "com.example.v1.Robot", "description"}), "Walks about.");
  EXPECT_EQ(
      write_json(openapi->root.get({"components", "schemas", "com.example.v1.RobotSpec", "properties", "wheels"})),
      R"({"type":"integer","format":"int32","default":4,"minimum":0})");
}

TEST(OpenApi, DocumentsAreWholeAndReferToWhatTheyHave) {
  const Table* tables[] = {&builtin()};
  const auto v2 = read_json(openapi_v2(tables), {.max_bytes = 64u << 20});
  ASSERT_TRUE(v2) << v2.error().message();
  EXPECT_TRUE(v2->root.find({"definitions", "io.k8s.api.apps.v1.Deployment"}));
  EXPECT_TRUE(v2->root.find({"paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"}));
  for (size_t i = 0; i < builtin().group_version_count(); ++i) {
    const GroupVersionView gv[] = {builtin().group_version(i)};
    const std::string text = openapi_v3(gv);
    const auto v3 = read_json(text);
    ASSERT_TRUE(v3) << gv[0].group() << ": " << v3.error().message();
    constexpr std::string_view kReference = "\"#/components/schemas/";
    for (size_t at = text.find(kReference); at != std::string::npos; at = text.find(kReference, at + 1)) {
      const std::string name = text.substr(at + kReference.size(), text.find('"', at + 1) - at - kReference.size());
      EXPECT_TRUE(v3->root.find({"components", "schemas", name})) << name;
    }
  }
}

TEST(Discovery, VersionsHaveAnOrder) {
  std::vector<std::string_view> versions = {"v1alpha1", "foo", "v1", "v1beta2", "v2", "v1beta1", "v10", "v2alpha1"};
  std::ranges::sort(versions, version_before);
  EXPECT_EQ(versions,
            (std::vector<std::string_view>{"v10", "v2", "v1", "v1beta2", "v1beta1", "v2alpha1", "v1alpha1", "foo"}));
}

}  // namespace
}  // namespace proa::kube
