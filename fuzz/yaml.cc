// YAML: what is parsed and emitted reads back as the same value.
#include "base/yaml.h"

#include <boost/json.hpp>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa;
  const auto documents = yaml::parse_all(as_text(data, size));
  if (!documents) {
    FUZZ_CHECK(!documents.error().message().empty());
    return 0;
  }
  for (const boost::json::value& value : *documents) {
    const auto again = yaml::parse(yaml::emit(value));
    FUZZ_CHECK(again && *again == value);
  }
  return 0;
}
