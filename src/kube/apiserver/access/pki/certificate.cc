#include "kube/apiserver/access/pki/certificate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "net/crypto.h"

namespace proa::kube::api::pki {
namespace {

using namespace net::crypto;

using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

X509* of(const Certificate& certificate) { return static_cast<X509*>(certificate.handle()); }
EVP_PKEY* of(const Key& key) { return static_cast<EVP_PKEY*>(key.handle()); }

std::string utf8(const ASN1_STRING* string) {
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, string);
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return out;
}

std::vector<std::string> entries(const X509_NAME* name, int kind) {
  std::vector<std::string> found;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, kind, at)) >= 0;)
    found.push_back(utf8(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
  return found;
}

std::string last_of(std::vector<std::string> entries) { return entries.empty() ? std::string() : entries.back(); }

std::string address_of(const ASN1_OCTET_STRING* ip) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int size = ASN1_STRING_length(ip);
  if (size != 4 && size != 16) return {};
  ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text.data(), text.size());
  return text.data();
}

std::vector<std::string> names_of(const GENERAL_NAMES* names, int type) {
  std::vector<std::string> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != type) continue;
    found.push_back(type == GEN_IPADD ? address_of(name->d.iPAddress) : utf8(name->d.ia5));
  }
  return found;
}

Names names_of(const X509* certificate) {
  return Names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
}

int64_t seconds_of(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? ::timegm(&parts) : 0;
}

bool add_entry(X509_NAME* name, const char* kind, std::string_view value) {
  return X509_NAME_add_entry_by_txt(name, kind, MBSTRING_UTF8, bytes(value), static_cast<int>(value.size()), -1, 0) ==
         1;
}

bool add_extension(X509* certificate, const X509V3_CTX& context, int kind, const std::string& value) {
  const Extension extension(X509V3_EXT_conf_nid(nullptr, const_cast<X509V3_CTX*>(&context), kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Built by hand: a name with a comma in it would be two in OpenSSL's text form.
bool add_alternative_names(X509* certificate, const CertificateTerms& terms) {
  if (terms.dns_names.empty() && terms.addresses.empty()) return true;
  const Names names(sk_GENERAL_NAME_new_null());
  for (const std::string& dns : terms.dns_names) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(names.get(), name);
  }
  for (const std::string& address : terms.addresses) {
    ASN1_OCTET_STRING* ip = a2i_IPADDRESS(address.c_str());
    if (ip == nullptr) return false;
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
    sk_GENERAL_NAME_push(names.get(), name);
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

bool set_serial(X509* certificate) {
  BIGNUM* serial = BN_new();
  // 127 bits: positive, and unpredictable as CAs' serial numbers are to be.
  const bool done = BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(serial);
  return done;
}

std::string join(std::initializer_list<std::pair<bool, const char*>> parts) {
  std::string out;
  for (const auto& [on, text] : parts)
    if (on) out += out.empty() ? text : cat(",", text);
  return out;
}

// Times, serial number, key; not yet signed.
bool begin(X509* certificate, EVP_PKEY* key, int64_t not_before, int64_t not_after) {
  return X509_set_version(certificate, 2) == 1 && set_serial(certificate) && X509_set_pubkey(certificate, key) == 1 &&
         ASN1_TIME_set(X509_getm_notBefore(certificate), not_before) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), not_after) != nullptr;
}

bool finish(X509* certificate, const X509* issuer, EVP_PKEY* key) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, const_cast<X509*>(issuer), certificate, nullptr, nullptr, 0);
  if (!add_extension(certificate, context, NID_authority_key_identifier, "keyid")) return false;
  return X509_sign(certificate, key, EVP_sha256()) > 0;
}

// Of the authority itself only from OpenSSL's text form, in which there is nothing of the user's.
bool add_usages(X509* certificate, bool authority, const std::string& usage, const std::string& extended) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  return add_extension(certificate, context, NID_basic_constraints,
                       authority ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
         (usage.empty() || add_extension(certificate, context, NID_key_usage, cat("critical,", usage))) &&
         (extended.empty() || add_extension(certificate, context, NID_ext_key_usage, extended)) &&
         (!authority || add_extension(certificate, context, NID_subject_key_identifier, "hash"));
}

X509_REQ* request_of(const std::shared_ptr<void>& request) { return static_cast<X509_REQ*>(request.get()); }

Names names_of(X509_REQ* request) {
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request);
  Names names(static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  return names;
}

}  // namespace

Certificate Certificate::adopt(void* certificate) {
  Certificate out;
  out.certificate_ = std::shared_ptr<void>(certificate, [](void* p) { X509_free(static_cast<X509*>(p)); });
  return out;
}

Result<Certificate> Certificate::parse(std::string_view pem) {
  prepare();
  X509* certificate = PEM_read_bio_X509(bio_of(pem).get(), nullptr, nullptr, nullptr);
  ERR_clear_error();
  if (certificate == nullptr) return fail("is no certificate in PEM form");
  return adopt(certificate);
}

std::string Certificate::pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), of(*this));
  return text_of(bio.get());
}

std::string Certificate::common_name() const {
  return last_of(entries(X509_get_subject_name(of(*this)), NID_commonName));
}
std::vector<std::string> Certificate::organizations() const {
  return entries(X509_get_subject_name(of(*this)), NID_organizationName);
}
std::vector<std::string> Certificate::dns_names() const { return names_of(names_of(of(*this)).get(), GEN_DNS); }
std::vector<std::string> Certificate::addresses() const { return names_of(names_of(of(*this)).get(), GEN_IPADD); }
int64_t Certificate::not_before() const { return seconds_of(X509_get0_notBefore(of(*this))); }
int64_t Certificate::not_after() const { return seconds_of(X509_get0_notAfter(of(*this))); }
bool Certificate::is_authority() const { return X509_check_ca(of(*this)) == 1; }

bool Certificate::is_for(const Key& key) const { return EVP_PKEY_eq(X509_get0_pubkey(of(*this)), pki::of(key)) == 1; }

bool Certificate::issued_by(const Certificate& authority) const {
  const bool right = X509_check_issued(of(authority), of(*this)) == X509_V_OK &&
                     X509_verify(of(*this), X509_get0_pubkey(of(authority))) == 1;
  ERR_clear_error();
  return right;
}

Result<Certificate> issue(const CertificateTerms& terms, const Key& key, const Authority* authority) {
  prepare();
  X509Ptr certificate(X509_new());
  const int64_t end = authority ? std::min(terms.not_after, authority->certificate.not_after()) : terms.not_after;
  bool fine = begin(certificate.get(), of(key), terms.not_before, end);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  for (const std::string& organization : terms.organizations) fine = fine && add_entry(subject, "O", organization);
  fine = fine && add_entry(subject, "CN", terms.common_name);
  const X509* issuer = authority ? of(authority->certificate) : certificate.get();
  fine = fine && X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) == 1;
  fine = fine && add_usages(certificate.get(), terms.authority,
                            terms.authority ? "digitalSignature,keyEncipherment,keyCertSign" : "digitalSignature",
                            join({{terms.server, "serverAuth"}, {terms.client, "clientAuth"}}));
  fine = fine && add_alternative_names(certificate.get(), terms);
  fine = fine && finish(certificate.get(), issuer, authority ? of(authority->key) : of(key));
  if (!fine) return fail("issue a certificate for ", terms.common_name, ": ", openssl_reason());
  return Certificate::adopt(certificate.release());
}

Result<CertificateRequest> CertificateRequest::parse(std::string_view pem) {
  prepare();
  const Bio bio = bio_of(pem);
  X509_REQ* request = PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr);
  ERR_clear_error();
  if (request == nullptr) return fail("PEM block type must be CERTIFICATE REQUEST");
  CertificateRequest out;
  out.request_ = std::shared_ptr<void>(request, [](void* p) { X509_REQ_free(static_cast<X509_REQ*>(p)); });
  EVP_PKEY* key = X509_REQ_get0_pubkey(request);
  const bool right = key != nullptr && X509_REQ_verify(request, key) == 1;
  ERR_clear_error();
  if (!right) return fail("the signature of the certificate request is not of its key");
  return out;
}

std::string CertificateRequest::common_name() const {
  return last_of(entries(X509_REQ_get_subject_name(request_of(request_)), NID_commonName));
}
std::vector<std::string> CertificateRequest::organizations() const {
  return entries(X509_REQ_get_subject_name(request_of(request_)), NID_organizationName);
}
std::vector<std::string> CertificateRequest::dns_names() const {
  return names_of(names_of(request_of(request_)).get(), GEN_DNS);
}
std::vector<std::string> CertificateRequest::addresses() const {
  return names_of(names_of(request_of(request_)).get(), GEN_IPADD);
}
std::vector<std::string> CertificateRequest::emails() const {
  return names_of(names_of(request_of(request_)).get(), GEN_EMAIL);
}
std::vector<std::string> CertificateRequest::uris() const {
  return names_of(names_of(request_of(request_)).get(), GEN_URI);
}

Result<Certificate> CertificateRequest::sign(const Authority& authority, const Usages& usages, int64_t not_before,
                                             int64_t not_after) const {
  X509_REQ* request = request_of(request_);
  X509Ptr certificate(X509_new());
  bool fine = begin(certificate.get(), X509_REQ_get0_pubkey(request), not_before,
                    std::min(not_after, authority.certificate.not_after()));
  fine = fine && X509_set_subject_name(certificate.get(), X509_REQ_get_subject_name(request)) == 1;
  const X509* issuer = of(authority.certificate);
  fine = fine && X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) == 1;
  fine =
      fine &&
      add_usages(certificate.get(), false,
                 join({{usages.digital_signature, "digitalSignature"}, {usages.key_encipherment, "keyEncipherment"}}),
                 join({{usages.server, "serverAuth"}, {usages.client, "clientAuth"}}));
  if (const Names names = names_of(request); fine && names)
    fine = X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
  fine = fine && finish(certificate.get(), issuer, of(authority.key));
  if (!fine) return fail("sign a certificate: ", openssl_reason());
  return Certificate::adopt(certificate.release());
}

}  // namespace proa::kube::api::pki
