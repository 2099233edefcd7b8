// CertificateApproval, CertificateSigning, CertificateSubjectRestriction.
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "base/error.h"
#include "base/openssl.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/plugins.h"
#include "kube/validation/names.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

// By the signer's name, or all of its domain: "example.com/*".
bool may(const Admission& w, const Authorizer& authorizer, std::string_view verb, std::string_view signer) {
  const std::string domain = cat(signer.substr(0, signer.find('/')), "/*");
  for (const std::string_view name : {signer, std::string_view(domain)}) {
    const AccessQuestion question{.user = w.user,
                                  .is_resource = true,
                                  .verb = verb,
                                  .group = "certificates.k8s.io",
                                  .version = "*",
                                  .ns = {},
                                  .resource = "signers",
                                  .subresource = {},
                                  .name = name,
                                  .path = {},
                                  .field_selector = {},
                                  .label_selector = {}};
    if (authorizer.authorize(question).decision == Decision::kAllow) return true;
  }
  return false;
}

bool updates(const Admission& w, std::string_view subresource) {
  return w.operation == Operation::kUpdate && w.subresource == subresource &&
         about(w, "certificates.k8s.io", "certificatesigningrequests");
}

class CertificateApproval final : public AdmissionPlugin {
 public:
  explicit CertificateApproval(const Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "CertificateApproval"; }
  Answer<> validate(Admission& w) override {
    if (!updates(w, "approval")) return {};
    const std::string_view signer = w.old_object.string({"spec", "signerName"});
    if (may(w, authorizer_, "approve", signer)) return {};
    return refuse(denied(w, cat("user not permitted to approve requests with signerName ", quoted(signer))));
  }

 private:
  const Authorizer& authorizer_;
};

class CertificateSigning final : public AdmissionPlugin {
 public:
  explicit CertificateSigning(const Authorizer& authorizer) : authorizer_(authorizer) {}
  std::string_view name() const override { return "CertificateSigning"; }
  Answer<> validate(Admission& w) override {
    if (!updates(w, "status")) return {};
    const Value before = w.old_object.get("status"), after = w.object.get("status");
    if (equal(before.get("certificate"), after.get("certificate")) &&
        equal(before.get("conditions"), after.get("conditions")))
      return {};
    const std::string_view signer = w.old_object.string({"spec", "signerName"});
    if (may(w, authorizer_, "sign", signer)) return {};
    return refuse(denied(w, cat("user not permitted to sign requests with signerName ", quoted(signer))));
  }

 private:
  const Authorizer& authorizer_;
};

bool asks_for_masters(const std::string& pem) {
  prepare_tls();
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                          BIO_free_all);
  const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
      PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr), X509_REQ_free);
  if (request == nullptr) return false;  // validation's
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at)) >= 0;) {
    const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, text);
    const bool masters =
        size > 0 && std::string_view(reinterpret_cast<char*>(utf8), static_cast<size_t>(size)) == kMastersGroup;
    OPENSSL_free(utf8);
    if (masters) return true;
  }
  return false;
}

// Nobody becomes the cluster's owner by way of the signer of ordinary clients.
class CertificateSubjectRestriction final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "CertificateSubjectRestriction"; }
  Answer<> validate(Admission& w) override {
    if (w.operation != Operation::kCreate || !w.subresource.empty() ||
        !about(w, "certificates.k8s.io", "certificatesigningrequests") ||
        w.object.string({"spec", "signerName"}) != "kubernetes.io/kube-apiserver-client")
      return {};
    const auto pem = net::base64_decode(w.object.string({"spec", "request"}));
    if (!pem || !asks_for_masters(*pem)) return {};
    return refuse(
        denied(w, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"));
  }
};

}  // namespace

PluginPtr certificate_approval(const Authorizer& authorizer) {
  return std::make_unique<CertificateApproval>(authorizer);
}
PluginPtr certificate_signing(const Authorizer& authorizer) { return std::make_unique<CertificateSigning>(authorizer); }
PluginPtr certificate_subject_restriction() { return std::make_unique<CertificateSubjectRestriction>(); }

}  // namespace proa::kube::api
