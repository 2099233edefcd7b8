// X.509 certificates (RFC 5280): reading them, and issuing our own.
//
// Threads: a Certificate never changes. Times are seconds since 1970.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/pki/keys.h"

namespace proa::kube::api::pki {

class Certificate {
 public:
  // The first certificate in a PEM text.
  static Result<Certificate> parse(std::string_view pem);

  std::string pem() const;
  std::string common_name() const;
  std::vector<std::string> organizations() const;
  std::vector<std::string> dns_names() const;
  std::vector<std::string> addresses() const;
  int64_t not_before() const;
  int64_t not_after() const;
  bool is_authority() const;
  bool is_for(const Key& key) const;
  bool issued_by(const Certificate& authority) const;

  // OpenSSL's X509, ours.
  void* handle() const { return certificate_.get(); }
  // Takes it.
  static Certificate adopt(void* certificate);

 private:
  std::shared_ptr<void> certificate_;
};

// What is to be certified.
struct CertificateTerms {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names, addresses;
  bool authority = false;
  bool server = false, client = false;  // extended key usage
  int64_t not_before = 0, not_after = 0;
};

struct Authority {
  Certificate certificate;
  Key key;
};

// Of `key`; signed by itself without an authority. Ends no later than the authority does.
Result<Certificate> issue(const CertificateTerms& terms, const Key& key, const Authority* authority);

// A request for a certificate (PKCS #10), its signature verified.
class CertificateRequest {
 public:
  static Result<CertificateRequest> parse(std::string_view pem);

  std::string common_name() const;
  std::vector<std::string> organizations() const;
  std::vector<std::string> dns_names() const;
  std::vector<std::string> addresses() const;
  std::vector<std::string> emails() const;
  std::vector<std::string> uris() const;

  struct Usages {
    bool digital_signature = false, key_encipherment = false;
    bool server = false, client = false;
    bool operator==(const Usages&) const = default;
  };
  // The certificate that is asked for: the request's subject and names, nothing else of it.
  Result<Certificate> sign(const Authority& authority, const Usages& usages, int64_t not_before,
                           int64_t not_after) const;

 private:
  std::shared_ptr<void> request_;
};

}  // namespace proa::kube::api::pki
