#include "net/tls_socket.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "base/openssl.h"

namespace proa::net {
namespace {

TlsSocket& of(BIO* bio) { return *static_cast<TlsSocket*>(BIO_get_data(bio)); }

int read_some(BIO* bio, char* to, size_t size, size_t* got) {
  TlsSocket& socket = of(bio);
  BIO_clear_retry_flags(bio);
  ssize_t count;
  do count = ::recv(socket.fd, to, size, 0);
  while (count < 0 && errno == EINTR);
  socket.drained = count < static_cast<ssize_t>(size);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
  if (count == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  if (count <= 0) return 0;
  *got = static_cast<size_t>(count);
  return 1;
}

int write_some(BIO* bio, const char* from, size_t size, size_t* sent) {
  BIO_clear_retry_flags(bio);
  ssize_t count;
  do count = ::send(of(bio).fd, from, size, MSG_NOSIGNAL);
  while (count < 0 && errno == EINTR);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
  if (count <= 0) return 0;
  *sent = static_cast<size_t>(count);
  return 1;
}

long control(BIO* bio, int what, long, void*) {
  if (what == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return what == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* method() {
  static const std::unique_ptr<BIO_METHOD, void (*)(BIO_METHOD*)> made = [] {
    prepare_tls();
    BIO_METHOD* out = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (out != nullptr) {
      BIO_meth_set_read_ex(out, read_some);
      BIO_meth_set_write_ex(out, write_some);
      BIO_meth_set_ctrl(out, control);
    }
    return std::unique_ptr<BIO_METHOD, void (*)(BIO_METHOD*)>(out, BIO_meth_free);
  }();
  return made.get();
}

}  // namespace

bool use_socket(ssl_st* ssl, TlsSocket& socket) {
  const BIO_METHOD* const how = method();
  BIO* const bio = how == nullptr ? nullptr : BIO_new(how);
  if (bio == nullptr) return false;
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return true;
}

}  // namespace proa::net
