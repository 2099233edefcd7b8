#include "kube/apiserver/access/controllers/signing_rules.h"

#include <algorithm>

namespace proa::kube::api {
namespace {

using Usages = pki::CertificateRequest::Usages;

constexpr std::string_view kNodePrefix = "system:node:";
const std::vector<std::string> kNodes = {"system:nodes"};

// An unknown usage is refused by all our signers.
Result<Usages> usages_of(const Value& spec) {
  Usages out;
  for (const Value& each : spec.get("usages").items()) {
    const std::string_view usage = each.as_string();
    if (usage == "digital signature")
      out.digital_signature = true;
    else if (usage == "key encipherment")
      out.key_encipherment = true;
    else if (usage == "server auth")
      out.server = true;
    else if (usage == "client auth")
      out.client = true;
    else
      return fail("usages: \"", usage, "\" is not certified by this signer");
  }
  return out;
}

bool has_names(const pki::CertificateRequest& request) {
  return !request.dns_names().empty() || !request.addresses().empty() || !request.emails().empty() ||
         !request.uris().empty();
}

Result<> check_node_subject(const pki::CertificateRequest& request) {
  if (request.organizations() != kNodes) return fail("subject organization is not system:nodes");
  if (!request.common_name().starts_with(kNodePrefix))
    return fail("subject common name does not begin with system:node: ");
  return {};
}

Result<> check_kubelet_client(const Usages& usages, const pki::CertificateRequest& request) {
  TRY(check_node_subject(request));
  if (has_names(request)) return fail("DNS, IP, email and URI subjectAltNames are not allowed");
  if (!usages.client || usages.server || !usages.digital_signature)
    return fail("usages did not match \"digital signature\", \"client auth\" and perhaps \"key encipherment\"");
  return {};
}

Result<> check_kubelet_serving(const Value& spec, const Usages& usages, const pki::CertificateRequest& request) {
  TRY(check_node_subject(request));
  if (request.dns_names().empty() && request.addresses().empty())
    return fail("at least one DNS or IP subjectAltName is required");
  if (!request.emails().empty() || !request.uris().empty())
    return fail("email and URI subjectAltNames are not allowed");
  if (!usages.server || usages.client || !usages.digital_signature)
    return fail("usages did not match \"digital signature\", \"server auth\" and perhaps \"key encipherment\"");
  if (spec.string("username") != request.common_name()) return fail("requested by another than the node");
  return {};
}

}  // namespace

bool is_own_signer(std::string_view signer) {
  return signer == kClientSigner || signer == kKubeletClientSigner || signer == kKubeletServingSigner;
}

Result<Usages> check_signing(const Value& spec, const pki::CertificateRequest& request) {
  const std::string_view signer = spec.string("signerName");
  const Usages usages = TRY(usages_of(spec));
  if (signer == kKubeletClientSigner) TRY(check_kubelet_client(usages, request));
  if (signer == kKubeletServingSigner) TRY(check_kubelet_serving(spec, usages, request));
  if (signer == kClientSigner && (!usages.client || usages.server))
    return fail("usages must have \"client auth\", and beside it only \"digital signature\" and \"key encipherment\"");
  return usages;
}

std::optional<std::string> node_client_approval(const Value& spec, const pki::CertificateRequest& request) {
  if (spec.string("signerName") != kKubeletClientSigner) return std::nullopt;
  const auto usages = usages_of(spec);
  if (!usages || !check_kubelet_client(*usages, request)) return std::nullopt;
  return spec.string("username") == request.common_name() ? "selfnodeclient" : "nodeclient";
}

}  // namespace proa::kube::api
