// What the signers of kubernetes.io certify: the rules of each, which upstream documents with
// CertificateSigningRequests.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kube/apiserver/access/pki/certificate.h"
#include "kube/object/value.h"

namespace proa::kube::api {

inline constexpr std::string_view kClientSigner = "kubernetes.io/kube-apiserver-client";
inline constexpr std::string_view kKubeletClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr std::string_view kKubeletServingSigner = "kubernetes.io/kubelet-serving";

bool is_own_signer(std::string_view signer);

// The usages of the certificate; an error says why the signer refuses. `spec` is the request's.
Result<pki::CertificateRequest::Usages> check_signing(const Value& spec, const pki::CertificateRequest& request);

// Whether this is a node's request for its own client certificate, as it may be approved without a person: with
// `requester` "nodeclient" another asks for it, with "selfnodeclient" the node itself.
std::optional<std::string> node_client_approval(const Value& spec, const pki::CertificateRequest& request);

}  // namespace proa::kube::api
