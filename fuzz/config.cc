// config.json, and the objects that `exec --process` and `update -r` read.
#include "fuzz.h"
#include "oci/spec/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(data, size);
  const auto spec = proa::oci::parse_spec(text);
  FUZZ_CHECK(spec || !spec.error().message().empty());
  static_cast<void>(proa::oci::parse_process(text));
  static_cast<void>(proa::oci::parse_resources(text));
  return 0;
}
