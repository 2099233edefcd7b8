// The plugins, one function each; they hold no state beside what they are made with.
#pragma once

#include <memory>

#include "kube/apiserver/admission/admission.h"

namespace proa::kube::api {

using PluginPtr = std::unique_ptr<AdmissionPlugin>;

PluginPtr namespace_lifecycle(const Reader& reader);
PluginPtr limit_ranger(const Reader& reader);
PluginPtr service_account(const Reader& reader);
PluginPtr node_restriction(const Reader& reader);
PluginPtr taint_nodes_by_condition();
PluginPtr pod_security_standards(const Reader& reader, const PodSecurityOptions& options);
PluginPtr priority(const Reader& reader);
PluginPtr default_toleration_seconds();
PluginPtr default_storage_class(const Reader& reader);
PluginPtr storage_object_in_use_protection();
PluginPtr persistent_volume_claim_resize(const Reader& reader);
PluginPtr runtime_class(const Reader& reader);
PluginPtr certificate_approval(const Authorizer& authorizer);
PluginPtr certificate_signing(const Authorizer& authorizer);
PluginPtr certificate_subject_restriction();
PluginPtr default_ingress_class(const Reader& reader);
PluginPtr resource_quota(const Reader& reader);

}  // namespace proa::kube::api
