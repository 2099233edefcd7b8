#include "kube/conversion/autoscaling.h"

#include <string>

#include "kube/codec/conform.h"
#include "kube/object/json.h"
#include "kube/schema/table.h"

namespace proa::kube {
namespace {

constexpr std::string_view kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr std::string_view kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr std::string_view kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr std::string_view kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
// Where v1 says nothing at all.
constexpr int64_t kDefaultUtilization = 80;

// The five sources of metrics, and where each form has what. v2 sorts values into `metric` and `target` or `current`.
struct Source {
  std::string_view member;
  // v1's names of v2's parts; empty: the source has no such part.
  std::string_view name, selector, object;             // metric.name or name, metric.selector, describedObject
  std::string_view value, average_value, utilization;  // of target
  std::string_view now, now_average, now_utilization;  // of current
  bool container;
};
constexpr Source kSources[] = {
    {"object", "metricName", "selector", "target", "targetValue", "averageValue", "", "currentValue", "averageValue",
     "", false},
    {"pods", "metricName", "selector", "", "", "targetAverageValue", "", "", "currentAverageValue", "", false},
    {"resource", "name", "", "", "", "targetAverageValue", "targetAverageUtilization", "", "currentAverageValue",
     "currentAverageUtilization", false},
    {"containerResource", "name", "", "", "", "targetAverageValue", "targetAverageUtilization", "",
     "currentAverageValue", "currentAverageUtilization", true},
    {"external", "metricName", "metricSelector", "", "targetValue", "targetAverageValue", "", "currentValue",
     "currentAverageValue", "", false},
};

class Converter {
 public:
  explicit Converter(Arena& arena) : arena_(arena) {}

  Value metric_to_v1(const Value& metric, bool status) {
    Value out = Value::object(arena_);
    copy(metric, "type", out, "type");
    for (const Source& source : kSources) {
      const Value from = metric.get(source.member);
      if (from.is_null()) continue;
      Value to = Value::object(arena_);
      const Value part = from.get(status ? "current" : "target");
      const Value named = source.name == "name" ? from : from.get("metric");
      copy(named, "name", to, source.name);
      copy(named, "selector", to, source.selector);
      copy(from, "describedObject", to, source.object);
      if (source.container) copy(from, "container", to, "container");
      copy(part, "value", to, status ? source.now : source.value);
      copy(part, "averageValue", to, status ? source.now_average : source.average_value);
      copy(part, "averageUtilization", to, status ? source.now_utilization : source.utilization);
      out.add(arena_, source.member, to);
    }
    return out;
  }

  Value metric_to_v2(const Value& metric, bool status) {
    Value out = Value::object(arena_);
    copy(metric, "type", out, "type");
    for (const Source& source : kSources) {
      const Value from = metric.get(source.member);
      if (from.is_null()) continue;
      Value to = Value::object(arena_), part = Value::object(arena_), named = Value::object(arena_);
      copy(from, source.name, named, "name");
      copy(from, source.selector, named, "selector");
      if (source.name == "name")
        copy(named, "name", to, "name");
      else
        to.add(arena_, "metric", named);
      copy(from, source.object, to, "describedObject");
      if (source.container) copy(from, "container", to, "container");
      if (!status) part.add(arena_, "type", Value::view(target_type(source, from)));
      copy(from, status ? source.now : source.value, part, "value");
      copy(from, status ? source.now_average : source.average_value, part, "averageValue");
      copy(from, status ? source.now_utilization : source.utilization, part, "averageUtilization");
      to.add(arena_, status ? "current" : "target", part);
      out.add(arena_, source.member, to);
    }
    return out;
  }

  // Rules of scaling are kept under the names of fields of upstream's Go structs, with nulls.
  Value behavior_to_text(const Value& behavior) {
    Value out = Value::object(arena_);
    for (const auto& [name, field] : {kUp, kDown}) out.add(arena_, name, rules_to_text(behavior.get(field)));
    return Value::text(arena_, write_json(out));
  }
  Value behavior_of_text(std::string_view text) {
    const auto parsed = read_json(arena_, text);
    if (!parsed || !parsed->is_object()) return {};
    Value out = Value::object(arena_);
    for (const auto& [name, field] : {kUp, kDown})
      if (const Value rules = either(*parsed, name, field); rules.is_object())
        out.add(arena_, field, rules_of_text(rules));
    return out.size() == 0 ? Value() : out;
  }

  // A list in an annotation; null if there is none that can be read.
  Value list_of_text(std::string_view text) {
    const auto parsed = read_json(arena_, text);
    return parsed && parsed->is_array() ? *parsed : Value();
  }
  // The elements as the v1 type prints them.
  Value text_of_list(const Value& list, std::string_view type_name) {
    const TypeView type = builtin().find_type("autoscaling", "v1", type_name);
    Value out = Value::array(arena_, list.size());
    for (const Value& item : list.items())
      out.push(arena_, conform(arena_, type, item, {.defaults = false}).value_or(item));
    return Value::text(arena_, write_json(out));
  }

  // `to` may be empty: it has no such field.
  void copy(const Value& from, std::string_view name, Value& out, std::string_view to) {
    if (name.empty() || to.empty()) return;
    if (const Value* found = from.find(name); found != nullptr && !found->is_null()) out.add(arena_, to, *found);
  }

 private:
  using Names = std::pair<std::string_view, std::string_view>;
  static constexpr Names kUp{"ScaleUp", "scaleUp"}, kDown{"ScaleDown", "scaleDown"};
  static constexpr Names kRules[] = {{"StabilizationWindowSeconds", "stabilizationWindowSeconds"},
                                     {"SelectPolicy", "selectPolicy"},
                                     {"Policies", "policies"},
                                     {"Tolerance", "tolerance"}};
  static constexpr Names kPolicy[] = {{"Type", "type"}, {"Value", "value"}, {"PeriodSeconds", "periodSeconds"}};

  static std::string_view target_type(const Source& source, const Value& from) {
    const auto has = [&](std::string_view name) { return !name.empty() && !from.get(name).is_null(); };
    if (has(source.utilization)) return "Utilization";
    if (source.member == "object") return has(source.average_value) ? "AverageValue" : "Value";
    return has(source.value) ? "Value" : "AverageValue";
  }

  static Value either(const Value& object, std::string_view a, std::string_view b) {
    const Value* found = object.find(a);
    return found != nullptr ? *found : object.get(b);
  }

  Value rules_to_text(const Value& rules) {
    if (!rules.is_object()) return {};
    Value out = Value::object(arena_);
    for (const auto& [name, field] : kRules) {
      const Value value = rules.get(field);
      out.add(arena_, name,
              field == "policies" && value.is_array() ? renamed(value, &Names::second, &Names::first) : value);
    }
    return out;
  }
  Value rules_of_text(const Value& rules) {
    Value out = Value::object(arena_);
    for (const auto& [name, field] : kRules) {
      const Value value = either(rules, name, field);
      if (value.is_null()) continue;
      out.add(arena_, field, field == "policies" ? renamed(value, &Names::first, &Names::second) : value);
    }
    return out;
  }
  Value renamed(const Value& policies, std::string_view Names::* from, std::string_view Names::* to) {
    Value out = Value::array(arena_, policies.size());
    for (const Value& policy : policies.items()) {
      Value one = Value::object(arena_);
      for (const Names& names : kPolicy) one.add(arena_, names.*to, either(policy, names.*from, names.second));
      out.push(arena_, one);
    }
    return out;
  }

  Arena& arena_;
};

Value cpu_metric(Arena& arena, std::string_view part, Value percentage) {
  Value target = Value::object(arena), resource = Value::object(arena), metric = Value::object(arena);
  if (part == "target") target.add(arena, "type", Value::view("Utilization"));
  target.add(arena, "averageUtilization", percentage);
  resource.add(arena, "name", Value::view("cpu"));
  resource.add(arena, part, target);
  metric.add(arena, "type", Value::view("Resource"));
  metric.add(arena, "resource", resource);
  return metric;
}

bool is_cpu(const Value& metric) {
  return metric.string("type") == "Resource" && metric.string({"resource", "name"}) == "cpu";
}

// The object's parts that both forms have.
Value frame(Arena& arena, Converter& to, const Value& object, Value& spec, Value& status) {
  Value out = Value::object(arena);
  to.copy(object, "kind", out, "kind");
  if (const Value metadata = object.get("metadata"); metadata.is_object())
    out.add(arena, "metadata", clone_shape(arena, metadata));
  for (const std::string_view name : {"scaleTargetRef", "minReplicas", "maxReplicas"})
    to.copy(object.get("spec"), name, spec, name);
  for (const std::string_view name : {"observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"})
    to.copy(object.get("status"), name, status, name);
  return out;
}

std::string_view annotation(const Value& object, std::string_view name) {
  return object.get({"metadata", "annotations"}).string(name);
}

}  // namespace

void drop_autoscaler_annotations(Arena& arena, Value& object) {
  const Value* annotations = object.find({"metadata", "annotations"});
  if (annotations == nullptr) return;
  bool some = false;
  Value kept = Value::object(arena, annotations->size());
  for (const Member& member : annotations->members())
    if (member.key == kMetrics || member.key == kCurrentMetrics || member.key == kConditions || member.key == kBehavior)
      some = true;
    else
      kept.add(arena, member.key, member.value);
  if (!some) return;
  Value& metadata = object.child(arena, "metadata");
  if (kept.size() == 0)
    metadata.erase("annotations");
  else
    metadata.set(arena, "annotations", kept);
}

Value autoscaler_v1_to_v2(Arena& arena, const Value& object) {
  Converter to(arena);
  Value spec = Value::object(arena), status = Value::object(arena);
  Value out = frame(arena, to, object, spec, status);

  Value metrics = Value::array(arena);
  for (const Value& metric : to.list_of_text(annotation(object, kMetrics)).items())
    metrics.push(arena, to.metric_to_v2(metric, false));
  if (const Value target = object.get({"spec", "targetCPUUtilizationPercentage"}); target.is_int())
    metrics.push(arena, cpu_metric(arena, "target", target));
  if (metrics.size() == 0) metrics.push(arena, cpu_metric(arena, "target", Value::integer(kDefaultUtilization)));
  spec.add(arena, "metrics", metrics);
  if (const Value behavior = to.behavior_of_text(annotation(object, kBehavior)); !behavior.is_null())
    spec.add(arena, "behavior", behavior);

  Value current = Value::array(arena);
  if (const Value known = to.list_of_text(annotation(object, kCurrentMetrics)); known.size() > 0) {
    for (const Value& metric : known.items()) current.push(arena, to.metric_to_v2(metric, true));
  } else if (const Value now = object.get({"status", "currentCPUUtilizationPercentage"}); now.is_int()) {
    current.push(arena, cpu_metric(arena, "current", now));
  }
  if (current.size() > 0) status.add(arena, "currentMetrics", current);
  if (const Value conditions = to.list_of_text(annotation(object, kConditions)); conditions.size() > 0)
    status.add(arena, "conditions", conditions);

  out.add(arena, "spec", spec);
  out.add(arena, "status", status);
  drop_autoscaler_annotations(arena, out);
  return out;
}

Value autoscaler_v2_to_v1(Arena& arena, const Value& object) {
  Converter to(arena);
  Value spec = Value::object(arena), status = Value::object(arena);
  Value out = frame(arena, to, object, spec, status);
  drop_autoscaler_annotations(arena, out);

  Value others = Value::array(arena);
  bool found = false;
  for (const Value& metric : object.get({"spec", "metrics"}).items()) {
    const Value target = metric.get({"resource", "target", "averageUtilization"});
    if (is_cpu(metric) && !std::exchange(found, true) && !target.is_null())
      spec.add(arena, "targetCPUUtilizationPercentage", target);
    if (!is_cpu(metric) || target.is_null()) others.push(arena, to.metric_to_v1(metric, false));
  }
  Value current = Value::array(arena);
  for (const Value& metric : object.get({"status", "currentMetrics"}).items()) {
    if (const Value now = metric.get({"resource", "current", "averageUtilization"}); is_cpu(metric) && !now.is_null())
      status.set(arena, "currentCPUUtilizationPercentage", now);
    current.push(arena, to.metric_to_v1(metric, true));
  }
  const Value conditions = object.get({"status", "conditions"}), behavior = object.get({"spec", "behavior"});

  const auto annotate = [&](std::string_view name, const Value& text) {
    out.child(arena, "metadata").child(arena, "annotations").set(arena, name, text);
  };
  if (others.size() > 0) annotate(kMetrics, to.text_of_list(others, "MetricSpec"));
  if (current.size() > 0) annotate(kCurrentMetrics, to.text_of_list(current, "MetricStatus"));
  if (behavior.is_object()) annotate(kBehavior, to.behavior_to_text(behavior));
  if (conditions.size() > 0) annotate(kConditions, to.text_of_list(conditions, "HorizontalPodAutoscalerCondition"));
  out.add(arena, "spec", spec);
  out.add(arena, "status", status);
  return out;
}

}  // namespace proa::kube
