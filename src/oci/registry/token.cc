#include "oci/registry/token.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "net/base64.h"
#include "oci/image/json_fields.h"

namespace proa::oci::registry {

namespace bj = boost::json;
using image::Fields;

namespace {

constexpr size_t kLongestToken = 64u << 10;
constexpr size_t kMostGrants = 1000;
constexpr size_t kMostCertificates = 8;
constexpr int64_t kSkewSeconds = 60;  // that clocks may differ by
constexpr json::ParseLimits kLimits{.max_bytes = kLongestToken, .max_depth = 16};

Result<bj::value> decode_part(std::string_view part, std::string_view what) {
  const auto text = net::base64_decode(part);
  if (!text) return fail("token: ", what, " is not base64url");
  return TRY_CTX(json::parse(*text, kLimits), "token: ", what);
}

struct Header {
  std::string algorithm;
  std::vector<std::string> chain;
};

Result<Header> header_of(std::string_view part) {
  const bj::value document = TRY(decode_part(part, "header"));
  const Fields in = TRY(Fields::of(document, "header"));
  // Extensions that must be understood (RFC 7515, 4.1.11): none are.
  if (in.find("crit") != nullptr) return fail("token: crit: has extensions that are not known");
  Header out{.algorithm = TRY(in.text("alg")), .chain = {}};
  const auto certificates = TRY(in.texts("x5c"));
  if (certificates.size() > kMostCertificates) return fail("token: x5c: too many certificates");
  for (const std::string& each : certificates) {
    auto der = net::base64_decode(each);
    if (!der) return fail("token: x5c: is not base64");
    out.chain.push_back(std::move(*der));
  }
  return out;
}

Result<std::vector<std::string>> audience_of(const Fields& in) {
  const bj::value* value = in.find("aud");
  if (value != nullptr && value->is_string()) return std::vector<std::string>{TRY(in.text("aud"))};
  return in.texts("aud");
}

// Times may have fractions (RFC 7519, 2).
Result<int64_t> time_of(const Fields& in, std::string_view name) {
  const bj::value* value = in.find(name);
  if (value == nullptr || !value->is_double()) return in.integer(name);
  const double seconds = value->get_double();
  if (!(seconds >= 0 && seconds < 1e12)) return fail(in.at(name), ": is no time");
  return static_cast<int64_t>(seconds);
}

Result<Token> claims_of(std::string_view part) {
  const bj::value document = TRY(decode_part(part, "claims"));
  const Fields in = TRY(Fields::of(document, "token"));
  Token out;
  out.issuer = TRY(in.text("iss"));
  out.subject = TRY(in.text("sub"));
  out.id = TRY(in.text("jti"));
  out.audience = TRY(audience_of(in));
  out.expires = TRY(time_of(in, "exp"));
  out.not_before = TRY(time_of(in, "nbf"));
  out.issued = TRY(time_of(in, "iat"));
  for (const Fields& each : TRY(in.list("access", kMostGrants)))
    out.access.push_back({TRY(each.text("type")), TRY(each.text("name")), TRY(each.texts("actions"))});
  return out;
}

}  // namespace

bool Grant::allows(std::string_view action) const {
  return std::ranges::any_of(actions, [&](const std::string& each) { return each == action || each == "*"; });
}

std::vector<Grant> parse_scope(std::string_view text) {
  std::vector<Grant> out;
  for (std::string_view each : split(text, ' ')) {
    const size_t first = each.find(':'), last = each.rfind(':');
    if (first == std::string_view::npos || first == last || out.size() == kMostGrants) continue;
    Grant grant{.type = std::string(each.substr(0, first)),
                .name = std::string(each.substr(first + 1, last - first - 1)),
                .actions = {}};
    // "repository(plugin)"
    if (const size_t bracket = grant.type.find('('); bracket != std::string::npos) grant.type.resize(bracket);
    for (const std::string_view action : split(each.substr(last + 1), ',')) grant.actions.emplace_back(action);
    out.push_back(std::move(grant));
  }
  return out;
}

Result<std::string> sign(const Token& token, const SigningKey& key) {
  bj::array access;
  for (const Grant& each : token.access)
    access.push_back(
        {{"type", each.type}, {"name", each.name}, {"actions", bj::array(each.actions.begin(), each.actions.end())}});
  const bj::object header{{"typ", "JWT"}, {"alg", key.algorithm()}};
  const bj::object claims{{"iss", token.issuer},
                          {"sub", token.subject},
                          {"aud", bj::array(token.audience.begin(), token.audience.end())},
                          {"exp", token.expires},
                          {"nbf", token.not_before},
                          {"iat", token.issued},
                          {"jti", token.id},
                          {"access", std::move(access)}};
  const std::string text =
      cat(net::base64url_encode(json::to_line(header)), ".", net::base64url_encode(json::to_line(claims)));
  return cat(text, ".", net::base64url_encode(TRY(key.sign(text))));
}

Result<Token> verify_token(std::string_view text, const TokenRules& rules, int64_t now) {
  if (text.size() > kLongestToken) return fail("token: is too long");
  std::string_view rest = text;
  const std::string_view header_part = cut(rest, '.'), claims_part = cut(rest, '.');
  const auto signature = net::base64_decode(rest);
  if (claims_part.empty() || !signature || signature->empty()) return fail("token: must have three parts in base64url");
  const Header header = TRY(header_of(header_part));
  const std::string_view signed_text = text.substr(0, header_part.size() + 1 + claims_part.size());
  if (!rules.keys->verify(header.algorithm, signed_text, *signature, header.chain))
    return fail("token: its signature (alg \"", header.algorithm, "\") is by no key that is trusted");
  Token token = TRY(claims_of(claims_part));
  if (token.issuer != rules.issuer)
    return fail("token: is by issuer \"", token.issuer, "\", not \"", rules.issuer, "\"");
  if (std::ranges::find(token.audience, rules.service) == token.audience.end())
    return fail("token: is not for service \"", rules.service, "\"");
  if (token.expires == 0) return fail("token: exp: missing");
  if (now >= token.expires + kSkewSeconds) return fail("token: has expired");
  if (token.not_before != 0 && now + kSkewSeconds < token.not_before) return fail("token: is not valid yet");
  return token;
}

}  // namespace proa::oci::registry
