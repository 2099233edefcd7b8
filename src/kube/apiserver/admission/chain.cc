// The chain, in upstream's order (kubeapiserver/options/plugins.go).
#include "kube/apiserver/access/rbac/escalation.h"
#include "kube/apiserver/admission/plugins.h"

namespace proa::kube::api {

Answer<> AdmissionChain::mutate(Admission& admission) const {
  for (const auto& plugin : plugins_)
    if (auto done = plugin->mutate(admission); !done) return done;
  return {};
}

Answer<> AdmissionChain::validate(Admission& admission) const {
  for (const auto& plugin : plugins_)
    if (auto done = plugin->validate(admission); !done) return done;
  return {};
}

void AdmissionChain::removed(Admission& admission) const {
  for (const auto& plugin : plugins_) plugin->removed(admission);
}

AdmissionChain standard_admission(const Reader& reader, const Authorizer& authorizer, const AdmissionOptions& options) {
  AdmissionChain chain;
  chain.add(namespace_lifecycle(reader));
  chain.add(limit_ranger(reader));
  chain.add(service_account(reader));
  chain.add(node_restriction(reader));
  chain.add(taint_nodes_by_condition());
  chain.add(pod_security_standards(reader, options.pod_security));
  chain.add(priority(reader));
  chain.add(default_toleration_seconds());
  chain.add(default_storage_class(reader));
  chain.add(storage_object_in_use_protection());
  chain.add(persistent_volume_claim_resize(reader));
  chain.add(runtime_class(reader));
  chain.add(certificate_approval(authorizer));
  chain.add(certificate_signing(authorizer));
  chain.add(certificate_subject_restriction());
  chain.add(default_ingress_class(reader));
  chain.add(resource_quota(reader));
  chain.add(rbac_escalation(reader, authorizer));
  return chain;
}

}  // namespace proa::kube::api
