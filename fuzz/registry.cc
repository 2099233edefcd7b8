// What a registry's clients send that has a grammar of its own: paths, tokens, scopes, manifests; and names matched
// with an access policy's patterns.
#include "base/text.h"
#include "fuzz.h"
#include "oci/registry/access.h"
#include "oci/registry/manifest.h"
#include "oci/registry/route.h"
#include "oci/registry/token.h"

namespace {

using namespace proa::oci::registry;

void check_route(std::string_view path) {
  const Route route = route_of(path);
  FUZZ_CHECK(!name_of(route.place).empty());
  if (!valid_repository(route.repository)) return;
  // It becomes a path of folders.
  FUZZ_CHECK(!route.repository.starts_with('/') && !route.repository.ends_with('/') && route.repository.size() <= 255);
  FUZZ_CHECK(proa::clean_path(route.repository) == route.repository);
  for (const std::string_view part : proa::split(route.repository, '/'))
    FUZZ_CHECK(part.front() != '_' && part.front() != '.' && part.find('\0') == std::string_view::npos);
}

void check_token(std::string_view text) {
  static const KeySet keys;
  // Nobody is trusted, so nothing is.
  FUZZ_CHECK(!verify_token(text, {.issuer = "", .service = "", .keys = &keys}, 0));
  for (const Grant& grant : parse_scope(text)) FUZZ_CHECK(grant.type.find(' ') == std::string::npos);
}

void check_manifest(std::string_view text) {
  const auto details = read_details(text, "");
  if (!details) {
    FUZZ_CHECK(!details.error().message().empty());
    return;
  }
  const auto digest = proa::oci::image::Digest::of(text);
  FUZZ_CHECK(referrer_descriptor(text, *details, digest).find(digest.text()) != std::string::npos);
}

void check_pattern(std::string_view text) {
  const std::string_view pattern = proa::cut(text, '\n'), name = proa::cut(text, '\n');
  const bool fit = fits(pattern, name, text);
  if (pattern.find_first_of("*{") == std::string_view::npos) FUZZ_CHECK(fit == (pattern == name));
  FUZZ_CHECK(fits("**", name, text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(data, size);
  check_route(text);
  check_token(text);
  check_manifest(text);
  check_pattern(text);
  return 0;
}
