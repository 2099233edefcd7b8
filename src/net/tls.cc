#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>

#include "base/openssl.h"

namespace proa::net {

namespace {

constexpr unsigned char kBothProtocols[] = "\x02h2\x08http/1.1";
constexpr unsigned char kHttp1Only[] = "\x08http/1.1";
constexpr std::span<const unsigned char> kBoth(kBothProtocols, sizeof kBothProtocols - 1);
constexpr std::span<const unsigned char> kHttp1(kHttp1Only, sizeof kHttp1Only - 1);

// Where distributions keep the authorities, most common first.
constexpr std::array kSystemAuthorities = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                           "/etc/ssl/ca-bundle.pem",
                                           "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"};

// The newest words of OpenSSL's queue, which is emptied.
std::string openssl_error() {
  std::string text = "unknown error";
  while (const unsigned long code = ERR_get_error()) {
    if (const char* reason = ERR_reason_error_string(code)) text = reason;
  }
  return text;
}

// No configuration file of the host's is read: it could load modules into a static program.
Result<> initialize() {
  prepare_tls();
  static const bool done = OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1;
  if (!done) return fail("initialize OpenSSL: ", openssl_error());
  return {};
}

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;

Result<Context> make_context(const SSL_METHOD* method) {
  TRY(initialize());
  Context context(SSL_CTX_new(method));
  if (!context) return fail("TLS: ", openssl_error());
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context.get(), 1);  // a record's head and body by one system call
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  return context;
}

Result<> load_identity(SSL_CTX* context, const std::string& certificate, const std::string& key) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return fail("certificate ", certificate, ": ", openssl_error());
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1) return {};
  const std::string why = openssl_error();
  if (why == "key values mismatch") return fail("key ", key, ": is not the key of certificate ", certificate);
  return fail("key ", key, ": ", why);
}

Result<> load_authorities(SSL_CTX* context, const std::string& file) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) return fail("authorities ", file, ": ", openssl_error());
  return {};
}

// SSL_CERT_FILE and SSL_CERT_DIR name others, as with most programs.
Result<> load_system_authorities(SSL_CTX* context) {
  const char* file = getenv("SSL_CERT_FILE");
  const char* folder = getenv("SSL_CERT_DIR");
  if (file && *file) return load_authorities(context, file);
  if (folder && *folder) {
    if (SSL_CTX_load_verify_dir(context, folder) != 1) return fail("authorities ", folder, ": ", openssl_error());
    return {};
  }
  for (const char* place : kSystemAuthorities)
    if (access(place, R_OK) == 0) return load_authorities(context, place);
  return {};  // trusting nobody: verification will say so
}

Result<> add_authorities(SSL_CTX* context, const std::string& pem) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
    X509_free(certificate);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return fail("authorities: no certificate in the PEM text");
  return {};
}

// Lets every certificate pass; the session keeps what was found.
int judge_later(int, X509_STORE_CTX*) { return 1; }

int select_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void* http2) {
  const auto ours = http2 ? kBoth : kHttp1;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours.data(), static_cast<unsigned>(ours.size()), in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<Context> server_context(const TlsServer::Options& options) {
  Context context = TRY(make_context(TLS_server_method()));
  SSL_CTX_set_min_proto_version(context.get(), options.allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  TRY(load_identity(context.get(), options.certificate_file, options.key_file));
  SSL_CTX_set_alpn_select_cb(context.get(), select_protocol, options.http2 ? context.get() : nullptr);
  SSL_CTX_set_num_tickets(context.get(), 1);
  static constexpr unsigned char kSessionContext[] = "proa";
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  if (options.client_auth == TlsServer::ClientAuth::kNone) return context;
  if (options.client_ca_file.empty())
    return fail("TLS: client certificates are asked for, but no authority for them is given");
  TRY(load_authorities(context.get(), options.client_ca_file));
  SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(options.client_ca_file.c_str()));
  const bool required = options.client_auth == TlsServer::ClientAuth::kRequire;
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     options.client_auth == TlsServer::ClientAuth::kJudge ? judge_later : nullptr);
  return context;
}

Result<Context> client_context(const TlsClient::Options& options) {
  Context context = TRY(make_context(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  if (!options.certificate_file.empty()) TRY(load_identity(context.get(), options.certificate_file, options.key_file));
  if (options.insecure) return context;
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (options.ca_file.empty()) {
    TRY(load_system_authorities(context.get()));
  } else {
    TRY(load_authorities(context.get(), options.ca_file));
  }
  if (!options.ca_pem.empty()) TRY(add_authorities(context.get(), options.ca_pem));
  return context;
}

bool is_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

std::string text_of(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return {};
  std::string text(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

std::vector<std::string> entries(const X509_NAME* name, int kind) {
  std::vector<std::string> found;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, kind, at)) >= 0;)
    found.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
  return found;
}

std::string user_id(const X509_NAME* name) {
  static ASN1_OBJECT* const kind = OBJ_txt2obj("1.3.6.1.4.1.57683.2", 1);
  const int at = X509_NAME_get_index_by_OBJ(name, kind, -1);
  return at < 0 ? std::string() : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
}

int64_t seconds_of(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? ::timegm(&parts) : 0;
}

std::vector<std::string> dns_names(const X509* certificate) {
  std::vector<std::string> found;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) found.push_back(text_of(name->d.dNSName));
  }
  GENERAL_NAMES_free(names);
  return found;
}

std::string fingerprint(const X509* certificate) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), bytes, &size) != 1) return {};
  std::string hex;
  for (unsigned i = 0; i < size; ++i)
    hex.append({"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15]});
  return hex;
}

}  // namespace

// --- session --------------------------------------------------------------------------------------------------

TlsSession::~TlsSession() { SSL_free(ssl_); }

TlsSession::Status TlsSession::judge(int returned) {
  const int saved = errno;
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ: return Status::kWantRead;
    case SSL_ERROR_WANT_WRITE: return Status::kWantWrite;
    case SSL_ERROR_ZERO_RETURN: return Status::kEnd;
    case SSL_ERROR_SYSCALL:
      error_ = saved ? errno_text(saved) : "connection closed without close_notify";
      ERR_clear_error();
      return Status::kFailed;
    default: break;
  }
  const long verified = SSL_get_verify_result(ssl_);
  error_ = openssl_error();
  if (error_ == "certificate verify failed" && verified != X509_V_OK) {
    error_ = cat("certificate: ", X509_verify_cert_error_string(verified));
  } else if (error_ == "unexpected eof while reading") {
    error_ = "connection closed without close_notify";
  } else if (error_ == "wrong version number" || error_ == "http request") {
    error_ = "the other side does not speak TLS";
  }
  return Status::kFailed;
}

TlsSession::Status TlsSession::handshake() {
  ERR_clear_error();
  const int returned = SSL_do_handshake(ssl_);
  return returned == 1 ? Status::kDone : judge(returned);
}

TlsSession::Status TlsSession::read(std::span<char> to, size_t& got) {
  ERR_clear_error();
  got = 0;
  const int returned = SSL_read_ex(ssl_, to.data(), to.size(), &got);
  const Status status = returned == 1 ? Status::kDone : judge(returned);
  starved_ = status == Status::kWantRead;
  return status;
}

TlsSession::Status TlsSession::write(std::string_view from, size_t& sent) {
  ERR_clear_error();
  sent = 0;
  const int returned = SSL_write_ex(ssl_, from.data(), from.size(), &sent);
  return returned == 1 ? Status::kDone : judge(returned);
}

TlsSession::Status TlsSession::shutdown() {
  if (!SSL_is_init_finished(ssl_)) return Status::kDone;
  ERR_clear_error();
  const int returned = SSL_shutdown(ssl_);
  return returned >= 0 ? Status::kDone : judge(returned);
}

bool TlsSession::drained() const { return socket_.drained && !pending(); }

// A part of a record is nothing to be had: the last read has said so.
bool TlsSession::pending() const { return SSL_pending(ssl_) > 0 || (!starved_ && SSL_has_pending(ssl_) == 1); }

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view TlsSession::version() const { return SSL_get_version(ssl_); }

std::unique_ptr<PeerCertificate> TlsSession::peer_certificate() const {
  const X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (!certificate || !(SSL_get_verify_mode(ssl_) & SSL_VERIFY_PEER)) return nullptr;
  const long verified = SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK && SSL_get_verify_callback(ssl_) != judge_later) return nullptr;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  auto told = std::make_unique<PeerCertificate>();
  auto names = entries(subject, NID_commonName);
  if (!names.empty()) told->common_name = std::move(names.back());
  told->organizations = entries(subject, NID_organizationName);
  told->dns_names = dns_names(certificate);
  told->user_id = user_id(subject);
  told->sha256 = fingerprint(certificate);
  told->not_after = seconds_of(X509_get0_notAfter(certificate));
  if (verified != X509_V_OK) told->fault = X509_verify_cert_error_string(verified);
  return told;
}

// --- server ---------------------------------------------------------------------------------------------------

Result<std::shared_ptr<TlsServer>> TlsServer::create(Options options) {
  std::shared_ptr<TlsServer> server(new TlsServer(std::move(options)));
  TRY(server->reload());
  return server;
}

TlsServer::~TlsServer() { SSL_CTX_free(context_); }

Result<> TlsServer::reload() {
  Context fresh = TRY(server_context(options_));
  const std::lock_guard lock(mutex_);
  SSL_CTX_free(std::exchange(context_, fresh.release()));
  return {};
}

Result<std::unique_ptr<TlsSession>> TlsServer::session(int socket) const {
  const std::lock_guard lock(mutex_);
  SSL* ssl = SSL_new(context_);
  if (!ssl) return fail("TLS: ", openssl_error());
  std::unique_ptr<TlsSession> session(new TlsSession(ssl, socket));
  if (!use_socket(ssl, session->socket_)) return fail("TLS: ", openssl_error());
  SSL_set_accept_state(ssl);
  return session;
}

// --- client ---------------------------------------------------------------------------------------------------

Result<std::shared_ptr<TlsClient>> TlsClient::create(Options options) {
  std::shared_ptr<TlsClient> client(new TlsClient(std::move(options)));
  client->context_ = TRY(client_context(client->options_)).release();
  return client;
}

TlsClient::~TlsClient() { SSL_CTX_free(context_); }

Result<std::unique_ptr<TlsSession>> TlsClient::session(int socket, const std::string& host, bool http2) const {
  SSL* ssl = SSL_new(context_);
  if (!ssl) return fail("TLS: ", openssl_error());
  std::unique_ptr<TlsSession> session(new TlsSession(ssl, socket));
  const auto offered = http2 && options_.http2 ? kBoth : kHttp1;
  bool fine = use_socket(ssl, session->socket_) &&
              (!options_.http || SSL_set_alpn_protos(ssl, offered.data(), static_cast<unsigned>(offered.size())) == 0);
  if (is_address(host)) {
    fine = fine && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  } else {
    fine = fine && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1 && SSL_set1_host(ssl, host.c_str()) == 1;
  }
  if (!fine) return fail("TLS to ", host, ": ", openssl_error());
  SSL_set_connect_state(ssl);
  return session;
}

}  // namespace proa::net
