// HTTP authentication (RFC 9110, 11): challenges read and written, basic and bearer credentials.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/headers.h"

namespace proa::net {

// Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull"
struct Challenge {
  std::string scheme;                                           // lower case: "bearer", "basic"
  std::string token68;                                          // in place of parameters
  std::vector<std::pair<std::string, std::string>> parameters;  // names in lower case, values unquoted

  std::string_view get(std::string_view name) const;
  // As a header's value; every parameter quoted.
  std::string text() const;
};

// One WWW-Authenticate value, which may hold several challenges. What is malformed ends the list.
std::vector<Challenge> parse_challenges(std::string_view value);
// All of an answer, in order; `name` may be Proxy-Authenticate.
std::vector<Challenge> challenges(const Headers& headers, std::string_view name = "WWW-Authenticate");

struct Credentials {
  std::string user;
  std::string password;
};
// "Basic dXNlcjpwYXNz"
std::string basic_authorization(std::string_view user, std::string_view password);
// Of an Authorization value; nothing if it is none of basic credentials.
std::optional<Credentials> parse_basic(std::string_view authorization);
// The token of "Bearer TOKEN"; nothing if it is none.
std::optional<std::string_view> parse_bearer(std::string_view authorization);

// Compares secrets in a time that tells nothing of where they differ.
bool equals_secret(std::string_view a, std::string_view b);

}  // namespace proa::net
