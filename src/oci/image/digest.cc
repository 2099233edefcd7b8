#include "oci/image/digest.h"

#include <algorithm>

namespace proa::oci::image {

Result<Digest> Digest::parse(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view algorithm = text.substr(0, colon);
  const size_t digits = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  if (colon == std::string_view::npos) return fail("digest \"", text, "\": must be ALGORITHM:HEX");
  if (digits == 0) return fail("digest \"", text, "\": algorithm must be sha256 or sha512");
  const std::string_view hex = text.substr(colon + 1);
  const bool lower_hex =
      std::ranges::all_of(hex, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (hex.size() != digits || !lower_hex)
    return fail("digest \"", text, "\": must have ", digits, " lower-case hex digits");
  return Digest(std::string(text));
}

Digest Digest::of(std::string_view text) {
  Hasher hasher;
  hasher.update(text);
  return hasher.finish();
}

Hasher Hasher::like(const Digest& digest) { return Hasher(algorithm_of(digest)); }

Digest Hasher::finish() {
  return Digest(cat(algorithm() == Algorithm::kSha256 ? "sha256:" : "sha512:", to_hex(hash_.finish())));
}

}  // namespace proa::oci::image
