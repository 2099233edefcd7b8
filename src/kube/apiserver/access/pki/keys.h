// Keys of certificates and of service-account tokens.
#pragma once

#include "kube/object/value.h"
#include "net/signature_key.h"

namespace proa::kube::api::pki {

using Key = net::SignatureKey;

// {"use": "sig", "kty": …, "kid": …, "alg": …}; RFC 7517.
Value jwk(Arena& arena, const Key& key);

}  // namespace proa::kube::api::pki
