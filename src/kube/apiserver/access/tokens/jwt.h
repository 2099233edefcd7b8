// JSON Web Tokens (RFC 7519) in the compact form of signatures (RFC 7515).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/pki/keys.h"
#include "kube/object/value.h"

namespace proa::kube::api {

// A token taken apart, not yet believed.
struct Jwt {
  std::string algorithm, key_id;
  std::string_view signed_text;  // into the token
  std::string signature;
  Document claims;

  // Errors say which part is wrong. At most 64 KiB; claims nest 16 deep at most.
  static Result<Jwt> parse(std::string_view token);
  // Whether one of the keys signed it.
  bool signed_by(const std::vector<pki::Key>& keys) const;
};

Result<std::string> sign_jwt(const Value& claims, const pki::Key& key);

}  // namespace proa::kube::api
