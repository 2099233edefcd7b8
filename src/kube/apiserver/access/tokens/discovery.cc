#include "kube/apiserver/access/tokens/discovery.h"

#include <algorithm>

#include "kube/object/json.h"

namespace proa::kube::api {

IssuerDocuments issuer_documents(const TokenOptions& options, std::string_view server) {
  Arena arena;
  const auto list = [&](std::initializer_list<std::string_view> texts) {
    Value out = Value::array(arena, texts.size());
    for (const std::string_view each : texts) out.push(arena, Value::view(each));
    return out;
  };
  Value keys = Value::array(arena), algorithms = Value::array(arena);
  for (const pki::Key& key : options.keys) {
    keys.push(arena, pki::jwk(arena, key));
    const Value name = Value::view(key.algorithm());
    if (std::ranges::none_of(algorithms.items(), [&](const Value& there) { return equal(there, name); }))
      algorithms.push(arena, name);
  }
  const std::string keys_url = cat(server, kKeysPath);
  Value configuration = Value::object(arena, 5);
  configuration.add(arena, "issuer", Value::view(options.issuers.front()));
  configuration.add(arena, "jwks_uri", Value::view(keys_url));
  configuration.add(arena, "response_types_supported", list({"id_token"}));
  configuration.add(arena, "subject_types_supported", list({"public"}));
  configuration.add(arena, "id_token_signing_alg_values_supported", algorithms);
  Value set = Value::object(arena, 1);
  set.add(arena, "keys", keys);
  return {.configuration = write_json(configuration), .keys = write_json(set)};
}

}  // namespace proa::kube::api
