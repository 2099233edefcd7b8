// Audit policies, and what they say of a request.
#include "fuzz.h"
#include "kube/apiserver/audit/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube::api;
  const auto policy = AuditPolicy::parse(as_text(data, size));
  if (!policy) return 0;
  const User user{.name = "jane", .uid = {}, .groups = {"dev"}, .extra = {}};
  static_cast<void>(policy->decide({.user = user,
                                    .is_resource = true,
                                    .verb = "get",
                                    .group = "apps",
                                    .version = "v1",
                                    .ns = "default",
                                    .resource = "deployments",
                                    .subresource = "scale",
                                    .name = "web",
                                    .path = {},
                                    .field_selector = {},
                                    .label_selector = {}}));
  static_cast<void>(policy->decide({.user = user,
                                    .is_resource = false,
                                    .verb = "get",
                                    .group = {},
                                    .version = {},
                                    .ns = {},
                                    .resource = {},
                                    .subresource = {},
                                    .name = {},
                                    .path = "/healthz",
                                    .field_selector = {},
                                    .label_selector = {}}));
  return 0;
}
