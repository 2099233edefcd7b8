#include <gtest/gtest.h>

#include "kube/codec/conform.h"
#include "kube/object/json.h"
#include "kube/types/apps_v1.h"

namespace proa::kube {
namespace {

TEST(Types, StructsAndDocumentsGiveEachOther) {
  Arena arena;
  const TypeView type = builtin().find_type("apps", "v1", "Deployment");
  const Value given =
      read_json(
          arena,
          R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"n","creationTimestamp":"2024-01-01T00:00:00Z","labels":{"a":"b"}},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":1}},"template":{"spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}],"containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"500m"}}}]}}}})")
          .value();
  const Value object = conform(arena, type, given).value();
  auto deployment = from_value<apps_v1::Deployment>(object);
  EXPECT_EQ(deployment.metadata.namespace_, "n");
  EXPECT_EQ(deployment.spec.replicas, 0);
  EXPECT_EQ(std::get<std::string>(*deployment.spec.strategy.rollingUpdate->maxSurge), "25%");
  EXPECT_EQ(deployment.spec.template_.spec.containers.at(0).resources.requests.at("cpu"), Quantity::milli(500));
  EXPECT_EQ(write_json(conform(arena, type, to_value(arena, deployment)).value()), write_json(object));
  deployment.spec.replicas = 3;
  EXPECT_EQ(to_value(arena, deployment).get({"spec", "replicas"}).as_int(), 3);
}

}  // namespace
}  // namespace proa::kube
