// Header values with a grammar of their own: challenges, credentials, media types, ranges.
#include "fuzz.h"
#include "net/auth.h"
#include "net/base64.h"
#include "net/conditional.h"
#include "net/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::net;
  const std::string_view text = as_text(data, size);
  for (const Challenge& challenge : parse_challenges(text)) {
    FUZZ_CHECK(is_token(challenge.scheme));
    FUZZ_CHECK(challenge.token68.empty() || challenge.parameters.empty());
    if (!challenge.token68.empty()) continue;
    const auto again = parse_challenges(challenge.text());
    FUZZ_CHECK(again.size() == 1 && again[0].scheme == challenge.scheme && again[0].parameters == challenge.parameters);
  }
  if (const auto decoded = base64_decode(text)) FUZZ_CHECK(*base64_decode(base64_encode(*decoded)) == *decoded);
  static_cast<void>(parse_basic(text));
  if (const auto media = MediaType::parse(text)) FUZZ_CHECK(MediaType::parse(media->essence()).has_value());
  static_cast<void>(negotiate(text, {"application/json", "text/plain"}));
  static_cast<void>(etag_listed(text, "\"a\""));
  static_cast<void>(parse_http_date(text));
  ByteRange part;
  if (parse_range(text, 1000, part) == RangeVerdict::kPart) FUZZ_CHECK(part.first <= part.last && part.last < 1000);
  if (const auto range = parse_content_range(text)) FUZZ_CHECK(range->first <= range->last && range->size() > 0);
  return 0;
}
