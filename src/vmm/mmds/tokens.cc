#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "base/ids.h"
#include "base/openssl.h"
#include "net/base64.h"
#include "vmm/mmds/metadata.h"

namespace proa::vmm {

namespace {

struct Record {
  int64_t ends;  // monotonic, nanoseconds
  uint64_t random;
};
constexpr size_t kRecord = sizeof(Record), kCode = 32;
constexpr size_t kLongestText = 4 * (kRecord + kCode + 2) / 3 + 4;

}  // namespace

std::string SessionTokens::code(std::string_view record) const {
  prepare_tls();
  const std::string text = cat("microvmid=", instance_, "\n", record);
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out, &size);
  return {reinterpret_cast<const char*>(out), size};
}

Result<std::string> SessionTokens::make(uint64_t seconds) {
  if (seconds < kShortest || seconds > kLongest)
    return fail("Invalid time to live value provided for token: ", seconds, ". Please provide a value between ",
                kShortest, " and ", kLongest, ".");
  if (key_.empty()) key_ = TRY(random_hex(32));
  const Record record{.ends = (clock_.monotonic() + std::chrono::seconds(seconds)).time_since_epoch().count(),
                      .random = TRY(random_number())};
  const std::string bytes(reinterpret_cast<const char*>(&record), kRecord);
  return net::base64_encode(bytes + code(bytes));
}

bool SessionTokens::valid(std::string_view token) const {
  if (key_.empty() || token.size() > kLongestText) return false;
  const auto bytes = net::base64_decode(token);
  if (!bytes || bytes->size() != kRecord + kCode) return false;
  const std::string wanted = code(std::string_view(*bytes).substr(0, kRecord));
  if (wanted.size() != kCode || CRYPTO_memcmp(wanted.data(), bytes->data() + kRecord, kCode) != 0) return false;
  Record record{};
  std::memcpy(&record, bytes->data(), kRecord);
  return record.ends > clock_.monotonic().time_since_epoch().count();
}

}  // namespace proa::vmm
