// Bearer tokens as anybody may send them: taken apart, and asked of the sources that need no store.
#include "fuzz.h"
#include "kube/apiserver/access/tokens/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube::api;
  static const std::vector<pki::Key> keys = {*pki::Key::make()};
  const auto token = Jwt::parse(as_text(data, size));
  // Nobody else has the key.
  FUZZ_CHECK(!token || !token->signed_by(keys));
  return 0;
}
