// Volumes and claims.
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/codec/time.h"

namespace proa::kube::api {

void prepare_volume(Admission& w) {
  const Value now = Value::text(w.arena, format_time(w.now));
  if (creates(w)) {
    Value status = Value::object(w.arena, 2);
    status.add(w.arena, "phase", Value::view("Pending"));
    status.add(w.arena, "lastPhaseTransitionTime", now);
    w.object.set(w.arena, "status", status);
    return;
  }
  if (w.subresource != "status") return;
  if (w.object.string({"status", "phase"}) == w.old_object.string({"status", "phase"})) return;
  Value& status = w.object.child(w.arena, "status");
  if (equal(status.get("lastPhaseTransitionTime"), w.old_object.get({"status", "lastPhaseTransitionTime"})))
    status.set(w.arena, "lastPhaseTransitionTime", now);
}

namespace {

bool old_kind_of_source(const Value& source) {
  const std::string_view group = source.string("apiGroup"), kind = source.string("kind");
  return (group.empty() && kind == "PersistentVolumeClaim") ||
         (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot");
}

// The old name and the new one say the same.
void settle_sources(Admission& w) {
  Value& spec = w.object.child(w.arena, "spec");
  const Value source = spec.get("dataSource"), reference = spec.get("dataSourceRef");
  if (source.is_object() && !old_kind_of_source(source) && reference.is_null()) {
    spec.erase("dataSource");
  } else if (source.is_object() && reference.is_null()) {
    spec.set(w.arena, "dataSourceRef", clone_shape(w.arena, source));
  } else if (reference.is_object() && source.is_null() && reference.string("namespace").empty() &&
             old_kind_of_source(reference)) {
    Value copy = clone_shape(w.arena, reference);
    copy.erase("namespace");
    spec.set(w.arena, "dataSource", copy);
  }
}

}  // namespace

void prepare_claim(Admission& w) {
  if (w.subresource.empty()) settle_sources(w);
  if (!creates(w)) return;
  Value status = Value::object(w.arena, 1);
  status.add(w.arena, "phase", Value::view("Pending"));
  w.object.set(w.arena, "status", status);
}

}  // namespace proa::kube::api
