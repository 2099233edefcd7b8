#include "kube/apiserver/access/pki/keys.h"

namespace proa::kube::api::pki {

Value jwk(Arena& arena, const Key& key) {
  Value out = Value::object(arena, 8);
  out.add(arena, "use", Value::view("sig"));
  for (const auto& [name, value] : key.jwk()) out.add(arena, arena.copy(name), Value::text(arena, value));
  return out;
}

}  // namespace proa::kube::api::pki
