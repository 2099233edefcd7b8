// Jobs and daemon sets.
#include "base/error.h"
#include "base/text.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/registry/strategies/strategies.h"

namespace proa::kube::api {

// A job's pods are known by its uid, unless it says that it knows better.
void prepare_job(Admission& w) {
  if (!creates(w)) return;
  Value& spec = w.object.child(w.arena, "spec");
  if (spec.get("manualSelector").as_bool()) return;
  const Value uid = w.object.get({"metadata", "uid"}), name = w.object.get({"metadata", "name"});
  Value& labels = spec.child(w.arena, "template").child(w.arena, "metadata").child(w.arena, "labels");
  for (const auto& [key, value] :
       {std::pair("batch.kubernetes.io/controller-uid", uid), std::pair("batch.kubernetes.io/job-name", name),
        std::pair("controller-uid", uid), std::pair("job-name", name)})
    if (labels.find(key) == nullptr) labels.add(w.arena, key, value);
  Value& selector = spec.child(w.arena, "selector").child(w.arena, "matchLabels");
  if (selector.find("batch.kubernetes.io/controller-uid") == nullptr)
    selector.add(w.arena, "batch.kubernetes.io/controller-uid", uid);
}

// Templates are numbered in an annotation, as before there were revisions.
void prepare_daemon_set(Admission& w) {
  static constexpr std::string_view kKey = "deprecated.daemonset.template.generation";
  if (!w.subresource.empty()) return;
  int64_t number = 1;
  if (!creates(w)) {
    number = parse_number<int64_t>(annotation(w.old_object, kKey)).value_or(1);
    if (!equal(w.object.get({"spec", "template"}), w.old_object.get({"spec", "template"}))) ++number;
  }
  w.object.child(w.arena, "metadata")
      .child(w.arena, "annotations")
      .set(w.arena, kKey, Value::text(w.arena, cat(number)));
}

}  // namespace proa::kube::api
