#include "net/certificates_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>

#include "base/error.h"

namespace proa::net {

namespace {

void set_name(X509_NAME* name, const char* field, const std::string& value) {
  X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                             static_cast<int>(value.size()), -1, 0);
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* make(EVP_PKEY* key, const std::string& name, const std::string& organization, int serial) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  set_name(X509_get_subject_name(certificate), "CN", name);
  if (!organization.empty()) set_name(X509_get_subject_name(certificate), "O", organization);
  return certificate;
}

template <typename Write>
void write_pem(const std::string& path, Write write) {
  FILE* file = fopen(path.c_str(), "we");
  write(file);
  fclose(file);
}

}  // namespace

TestAuthority::TestAuthority() {
  char folder[] = "/tmp/proa-net-XXXXXX";
  folder_ = mkdtemp(folder);
  file_ = cat(folder_, "/ca.pem");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make(key, "test authority", "", serial_);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate, key, EVP_sha256());
  write_pem(file_, [&](FILE* file) { PEM_write_X509(file, certificate); });
  key_ = key;
  certificate_ = certificate;
}

TestAuthority::~TestAuthority() {
  X509_free(static_cast<X509*>(certificate_));
  EVP_PKEY_free(static_cast<EVP_PKEY*>(key_));
  std::filesystem::remove_all(folder_);
}

TestAuthority::Files TestAuthority::issue(const std::string& name, const std::string& organization) {
  ++serial_;
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make(key, name, organization, serial_);
  X509_set_issuer_name(certificate, X509_get_subject_name(static_cast<X509*>(certificate_)));
  add_extension(certificate, NID_subject_alt_name, cat("IP:127.0.0.1,DNS:localhost,DNS:", name));
  X509_sign(certificate, static_cast<EVP_PKEY*>(key_), EVP_sha256());
  Files files{cat(folder_, "/", serial_, ".pem"), cat(folder_, "/", serial_, ".key")};
  write_pem(files.certificate, [&](FILE* file) { PEM_write_X509(file, certificate); });
  write_pem(files.key, [&](FILE* file) { PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr); });
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

}  // namespace proa::net
