#include "kube/conversion/conversion.h"

#include <gtest/gtest.h>

#include "kube/codec/conform.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

class Conversion : public testing::Test {
 protected:
  static ResourceView resource(std::string_view group, std::string_view version, std::string_view plural) {
    return builtin().find_resource(group, version, plural);
  }
  Value conformed(const ResourceView& as, std::string_view json) {
    return conform(arena_, as.type(), read_json(arena_, json).value(), {.defaults = false}).value();
  }
  const ResourceView v1_ = resource("autoscaling", "v1", "horizontalpodautoscalers");
  const ResourceView v2_ = resource("autoscaling", "v2", "horizontalpodautoscalers");
  Arena arena_;
};

TEST_F(Conversion, AutoscalersOfV1HaveCpuOrEightyPercent) {
  const Value in = conformed(v1_, R"({"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1",
    "metadata":{"name":"a"},"spec":{"maxReplicas":3,"targetCPUUtilizationPercentage":50},
    "status":{"currentCPUUtilizationPercentage":7}})");
  const Value out = convert_builtin(arena_, v1_, v2_, in);
  EXPECT_EQ(out.string("apiVersion"), "autoscaling/v2");
  EXPECT_EQ(
      write_json(out.get({"spec", "metrics"})),
      R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}])");
  EXPECT_EQ(write_json(out.get({"status", "currentMetrics"})),
            R"([{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":7}}}])");
  EXPECT_TRUE(equal(convert_builtin(arena_, v2_, v1_, out).get("spec"), in.get("spec")));

  const Value bare = conformed(v1_, R"({"spec":{"maxReplicas":3}})");
  EXPECT_EQ(convert_builtin(arena_, v1_, v2_, bare)
                .get({"spec", "metrics"})
                .items()[0]
                .get({"resource", "target", "averageUtilization"})
                .as_int(),
            80);
}

TEST_F(Conversion, WhatV1CannotHoldIsInAnnotations) {
  const Value in = conformed(v2_, R"({"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2",
    "metadata":{"name":"a","annotations":{"x":"y"}},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"maxReplicas":3,
     "metrics":[{"type":"Pods","pods":{"metric":{"name":"hits"},"target":{"type":"AverageValue","averageValue":"1k"}}},
      {"type":"Object","object":{"describedObject":{"kind":"Ingress","name":"i"},"metric":{"name":"r"},"target":{"type":"Value","value":"2"}}},
      {"type":"External","external":{"metric":{"name":"q","selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"30"}}},
      {"type":"ContainerResource","containerResource":{"name":"memory","container":"c","target":{"type":"Utilization","averageUtilization":60}}}],
     "behavior":{"scaleDown":{"stabilizationWindowSeconds":60,"policies":[{"type":"Pods","value":1,"periodSeconds":15}]}}},
    "status":{"desiredReplicas":1,"currentReplicas":1,"currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":3,"averageValue":"5m"}}}],
     "conditions":[{"type":"AbleToScale","status":"True","lastTransitionTime":"2024-01-01T00:00:00Z"}]}})");
  const Value out = convert_builtin(arena_, v2_, v1_, in);
  const Value annotations = out.get({"metadata", "annotations"});
  EXPECT_EQ(annotations.string("autoscaling.alpha.kubernetes.io/behavior"),
            R"({"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":null,)"
            R"("Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":15}],"Tolerance":null}})");
  EXPECT_EQ(
      annotations.string("autoscaling.alpha.kubernetes.io/metrics"),
      R"([{"type":"Pods","pods":{"metricName":"hits","targetAverageValue":"1k"}},)"
      R"({"type":"Object","object":{"target":{"kind":"Ingress","name":"i"},"metricName":"r","targetValue":"2"}},)"
      R"({"type":"External","external":{"metricName":"q","metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"30"}},)"
      R"({"type":"ContainerResource","containerResource":{"name":"memory","targetAverageUtilization":60,"container":"c"}}])");
  EXPECT_EQ(annotations.string("autoscaling.alpha.kubernetes.io/conditions"),
            R"([{"type":"AbleToScale","status":"True","lastTransitionTime":"2024-01-01T00:00:00Z"}])");
  EXPECT_EQ(out.get({"status", "currentCPUUtilizationPercentage"}).as_int(), 3);
  const Value back = convert_builtin(arena_, v1_, v2_, out);
  EXPECT_EQ(write_json(back), write_json(in));
}

TEST_F(Conversion, FormAnnotationsAreDroppedFromV2) {
  Value in = conformed(v2_, R"({"metadata":{"annotations":{"autoscaling.alpha.kubernetes.io/metrics":"[]"}}})");
  drop_form_annotations(arena_, v2_, in);
  EXPECT_TRUE(in.get({"metadata", "annotations"}).is_null());
}

TEST_F(Conversion, EventsChangeTheirFieldNames) {
  const ResourceView core = resource("", "v1", "events"), events = resource("events.k8s.io", "v1", "events");
  const Value in = conformed(core, R"({"kind":"Event","apiVersion":"v1","metadata":{"name":"e","namespace":"n"},
    "involvedObject":{"kind":"Pod","name":"p"},"reason":"Started","message":"m","source":{"component":"kubelet"},
    "firstTimestamp":"2024-01-01T00:00:00Z","lastTimestamp":null,"count":2,"type":"Normal","reportingComponent":"c"})");
  const Value out = convert_builtin(arena_, core, events, in);
  EXPECT_EQ(out.string("apiVersion"), "events.k8s.io/v1");
  EXPECT_EQ(out.string({"regarding", "name"}), "p");
  EXPECT_EQ(out.string("note"), "m");
  EXPECT_EQ(out.get("deprecatedCount").as_int(), 2);
  EXPECT_EQ(out.string("reportingController"), "c");
  EXPECT_EQ(write_json(convert_builtin(arena_, events, core, out)), write_json(in));
}

}  // namespace
}  // namespace proa::kube
