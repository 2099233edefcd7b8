// What a hook printed, made fit for an error message.
#include "fuzz.h"
#include "oci/runtime/hooks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t limit = data[0];
  const std::string summary = proa::oci::runtime::summarize_output(as_text(data + 1, size - 1), limit);
  FUZZ_CHECK(summary.size() <= limit);
  size_t continuation = 0;  // bytes of a UTF-8 sequence still to come
  for (const char c : summary) {
    const auto byte = static_cast<uint8_t>(c);
    if (continuation > 0) {
      FUZZ_CHECK((byte & 0xc0) == 0x80);
      --continuation;
      continue;
    }
    FUZZ_CHECK(byte >= 0x20 && byte != 0x7f && (byte & 0xc0) != 0x80 && byte < 0xf5);
    continuation = byte < 0x80 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  }
  FUZZ_CHECK(continuation == 0);
  return 0;
}
