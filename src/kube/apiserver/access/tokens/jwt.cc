#include "kube/apiserver/access/tokens/jwt.h"

#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

constexpr size_t kLongest = 64 << 10;
constexpr size_t kDeepest = 16;

Result<Document> decoded(std::string_view part, std::string_view name) {
  const auto text = net::base64_decode(part);
  if (!text) return fail(name, ": is not base64url");
  Document document = TRY_CTX(read_json(*text, {.max_bytes = kLongest, .max_depth = kDeepest}), name);
  if (!document.root.is_object()) return fail(name, ": is no object");
  return document;
}

}  // namespace

Result<Jwt> Jwt::parse(std::string_view token) {
  if (token.size() > kLongest) return fail("the token is too long");
  const size_t first = token.find('.'), last = token.rfind('.');
  if (first == std::string_view::npos || first == last || token.find('.', first + 1) != last)
    return fail("the token has not three parts");
  Jwt out;
  const Document header = TRY(decoded(token.substr(0, first), "header"));
  out.algorithm = header.root.string("alg");
  out.key_id = header.root.string("kid");
  // RFC 7515, 4.1.11: who does not know them must refuse.
  if (header.root.find("crit") != nullptr) return fail("header: has critical extensions");
  out.claims = TRY(decoded(token.substr(first + 1, last - first - 1), "claims"));
  out.signed_text = token.substr(0, last);
  auto signature = net::base64_decode(token.substr(last + 1));
  if (!signature || signature->empty()) return fail("signature: is not base64url");
  out.signature = *std::move(signature);
  return out;
}

bool Jwt::signed_by(const std::vector<pki::Key>& keys) const {
  for (const pki::Key& key : keys) {
    if (key.algorithm() != algorithm || (!key_id.empty() && key.id() != key_id)) continue;
    if (key.verify(algorithm, signed_text, signature)) return true;
  }
  return false;
}

Result<std::string> sign_jwt(const Value& claims, const pki::Key& key) {
  Arena arena;
  Value header = Value::object(arena, 2);
  header.add(arena, "alg", Value::view(key.algorithm()));
  header.add(arena, "kid", Value::view(key.id()));
  std::string out = cat(net::base64url_encode(write_json(header)), ".", net::base64url_encode(write_json(claims)));
  const std::string signature = TRY(key.sign(out));
  return cat(out, ".", net::base64url_encode(signature));
}

}  // namespace proa::kube::api
