// NamespaceLifecycle: nothing is made in a namespace that is not there or is being deleted, and some namespaces stay.
#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"

namespace proa::kube::api {
namespace {

bool immortal(std::string_view name) { return name == "default" || name == "kube-system" || name == "kube-public"; }

// Their answers would tell who asks whether a namespace exists.
bool is_access_review(const Admission& w) { return about(w, "authorization.k8s.io", "localsubjectaccessreviews"); }

class NamespaceLifecycle final : public AdmissionPlugin {
 public:
  explicit NamespaceLifecycle(const Reader& reader) : reader_(reader) {}
  std::string_view name() const override { return "NamespaceLifecycle"; }

  Answer<> mutate(Admission& w) override {
    if (about(w, "", "namespaces")) {
      if (w.operation == Operation::kDelete && immortal(w.name))
        return refuse(forbidden("namespaces", w.name, "this namespace may not be deleted"));
      return {};
    }
    if (w.ns.empty() || w.operation == Operation::kDelete || is_access_review(w)) return {};
    const store::RecordPtr space = reader_.record("", "namespaces", "", w.ns);
    if (space == nullptr) return refuse(not_found("namespaces", w.ns));
    if (w.operation != Operation::kCreate) return {};
    if (ends(space)) return refuse(terminating(w));
    // The namespace must not have begun to end when the object is written: its controller counts on it.
    w.together.compares.push_back(store::Compare::unchanged(space->key(), space->mod_revision()));
    return {};
  }

 private:
  // Nearly none does, and that is seen without parsing it for each object.
  static bool ends(const store::RecordPtr& space) {
    return space->value().find("\"Terminating\"") != std::string_view::npos &&
           parse_record(space)->root().string({"status", "phase"}) == "Terminating";
  }
  static ApiError terminating(const Admission& w) {
    ApiError out =
        denied(w, cat("unable to create new content in namespace ", w.ns, " because it is being terminated"));
    out.causes.push_back(
        {"NamespaceTerminating", cat("namespace ", w.ns, " is being terminated"), "metadata.namespace"});
    return out;
  }

  const Reader& reader_;
};

}  // namespace

PluginPtr namespace_lifecycle(const Reader& reader) { return std::make_unique<NamespaceLifecycle>(reader); }

}  // namespace proa::kube::api
