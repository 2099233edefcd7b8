// What the registry answers when it does not do what was asked (distribution-spec "Error Codes").
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci::registry {

enum class Code : uint8_t {
  kBlobUnknown,
  kBlobUploadInvalid,
  kBlobUploadUnknown,
  kDigestInvalid,
  kManifestBlobUnknown,
  kManifestInvalid,
  kManifestUnknown,
  kNameInvalid,
  kNameUnknown,
  kSizeInvalid,
  kUnauthorized,
  kDenied,
  kUnsupported,
  kTooManyRequests,
  kUnknown,  // the server's own failure
};
// "BLOB_UNKNOWN"
std::string_view text_of(Code code);
// The status that goes with a code when nothing else is said.
int status_of(Code code);

struct Refusal {
  Code code;
  std::string message;
  int status;
  std::vector<std::string> about = {};  // digests and the like; one error for each

  Refusal(Code c, std::string text) : code(c), message(std::move(text)), status(status_of(c)) {}
  Refusal(int s, Code c, std::string text) : code(c), message(std::move(text)), status(s) {}
  // A failure of the server's. The text is for the log; clients are not told.
  Refusal(Error error);  // NOLINT(google-explicit-constructor): TRY hands errors on as refusals

  // {"errors":[{"code":…,"message":…,"detail":…}]}
  std::string body() const;
};

template <typename T = void>
using Answer = std::expected<T, Refusal>;

template <typename... Parts>
[[gnu::cold, gnu::noinline]] std::unexpected<Refusal> refuse(Code code, const Parts&... parts) {
  return std::unexpected(Refusal(code, cat(parts...)));
}
template <typename... Parts>
[[gnu::cold, gnu::noinline]] std::unexpected<Refusal> refuse(int status, Code code, const Parts&... parts) {
  return std::unexpected(Refusal(status, code, cat(parts...)));
}

}  // namespace proa::oci::registry
