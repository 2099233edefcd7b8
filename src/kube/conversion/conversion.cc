#include "kube/conversion/conversion.h"

#include "kube/codec/conform.h"
#include "kube/conversion/autoscaling.h"

namespace proa::kube {
namespace {

struct FieldPair {
  std::string_view core, events;
};

// Fields with the same name in both are not named here.
constexpr FieldPair kEventFields[] = {
    {"message", "note"},
    {"involvedObject", "regarding"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

Value rename_event(Arena& arena, const Value& object, std::string_view FieldPair::* from,
                   std::string_view FieldPair::* to) {
  Value out = Value::object(arena, object.size());
  for (const Member& member : object.members()) {
    std::string_view name = member.key;
    for (const FieldPair& pair : kEventFields)
      if (name == pair.*from) name = pair.*to;
    out.add(arena, name, member.value);
  }
  return out;
}

Value event_from_core(Arena& arena, const Value& object) {
  return rename_event(arena, object, &FieldPair::core, &FieldPair::events);
}
Value event_to_core(Arena& arena, const Value& object) {
  return rename_event(arena, object, &FieldPair::events, &FieldPair::core);
}

struct Conversion {
  std::string_view kind, from_group, from_version, to_group, to_version;
  Value (*convert)(Arena& arena, const Value& object);
};
constexpr Conversion kConversions[] = {
    {"Event", "", "v1", "events.k8s.io", "v1", event_from_core},
    {"Event", "events.k8s.io", "v1", "", "v1", event_to_core},
    {"HorizontalPodAutoscaler", "autoscaling", "v1", "autoscaling", "v2", autoscaler_v1_to_v2},
    {"HorizontalPodAutoscaler", "autoscaling", "v2", "autoscaling", "v1", autoscaler_v2_to_v1},
};

}  // namespace

Value convert_builtin(Arena& arena, const ResourceView& from, const ResourceView& to, const Value& object) {
  const GroupVersionView source = from.group_version(), target = to.group_version();
  for (const Conversion& one : kConversions) {
    if (one.kind != from.kind() || one.from_group != source.group() || one.from_version != source.version()) continue;
    if (one.to_group != target.group() || one.to_version != target.version()) continue;
    Value out = one.convert(arena, object);
    const std::string_view group = target.group();
    out.set(arena, "apiVersion",
            Value::text(arena, group.empty() ? std::string(target.version()) : cat(group, "/", target.version())));
    return conform(arena, to.type(), out, {.defaults = false}).value_or(Value());
  }
  return {};
}

void drop_form_annotations(Arena& arena, const ResourceView& resource, Value& object) {
  if (resource.kind() == "HorizontalPodAutoscaler" && resource.group_version().version() == "v2")
    drop_autoscaler_annotations(arena, object);
}

}  // namespace proa::kube
