// Bearer tokens as Docker's registries have them: JSON web tokens (RFC 7519) whose `access` claim says what their
// bearer may do.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/registry/keys.h"

namespace proa::oci::registry {

// What a scope asks for, or a token grants: "repository:team/web:pull,push".
struct Grant {
  std::string type;  // "repository", "registry"
  std::string name;
  std::vector<std::string> actions;

  bool allows(std::string_view action) const;
};
// A space separates several; malformed ones are left out.
std::vector<Grant> parse_scope(std::string_view text);

struct Token {
  std::string issuer, subject, id;
  std::vector<std::string> audience;
  int64_t expires = 0, not_before = 0, issued = 0;  // seconds since 1970; 0: not said
  std::vector<Grant> access;
};

Result<std::string> sign(const Token& token, const SigningKey& key);

struct TokenRules {
  std::string issuer, service;
  const KeySet* keys = nullptr;
};
// The token, once its signature, issuer, audience and times are found right at `now`, in seconds since 1970.
Result<Token> verify_token(std::string_view text, const TokenRules& rules, int64_t now);

}  // namespace proa::oci::registry
