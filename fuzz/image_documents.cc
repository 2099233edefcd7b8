// Manifests, indexes, configs and descriptors: what is accepted is accepted again after it was written.
#include "fuzz.h"
#include "oci/image/types.h"

namespace {

template <typename Parse>
void there_and_back(Parse parse, std::string_view text) {
  const auto value = parse(text);
  if (!value) {
    FUZZ_CHECK(!value.error().message().empty());
    return;
  }
  const std::string written = emit(*value);
  const auto again = parse(written);
  FUZZ_CHECK(again.has_value());
  FUZZ_CHECK(emit(*again) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::oci::image;
  const std::string_view text = as_text(data, size);
  there_and_back(parse_descriptor, text);
  there_and_back(parse_manifest, text);
  there_and_back(parse_index, text);
  there_and_back(parse_config, text);
  if (const auto type = sniff_media_type(text)) FUZZ_CHECK(media::is_manifest(*type) || media::is_index(*type));
  if (const auto config = parse_config(text)) FUZZ_CHECK(chain_ids(config->diff_ids).size() == config->diff_ids.size());
  return 0;
}
