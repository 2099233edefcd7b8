// JSON: what is parsed and printed reads back as the same value.
#include "base/json.h"

#include <boost/json.hpp>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa;
  const auto value = json::parse(as_text(data, size));
  if (!value) {
    FUZZ_CHECK(!value.error().message().empty());
    return 0;
  }
  const auto line = json::parse(json::to_line(*value));
  FUZZ_CHECK(line && *line == *value);
  const auto pretty = json::parse(json::to_pretty(*value));
  FUZZ_CHECK(pretty && *pretty == *value);
  return 0;
}
