#include "net/crypto.h"

#include <openssl/crypto.h>

#include "base/openssl.h"

namespace proa::net::crypto {

void prepare() {
  prepare_tls();
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

std::string openssl_reason() {
  std::string text = "unknown error";
  while (const unsigned long code = ERR_get_error())
    if (const char* reason = ERR_reason_error_string(code)) text = reason;
  return text;
}

}  // namespace proa::net::crypto
