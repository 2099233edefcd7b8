// API objects as YAML: what is read prints and reads back as the same value.
#include "fuzz.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube;
  Arena arena;
  const auto value = read_yaml(arena, as_text(data, size), true);
  if (!value) return 0;
  const auto again = read_yaml(arena, write_yaml(*value));
  Value sorted = clone(arena, *value);
  sort_keys(sorted);
  FUZZ_CHECK(again && write_json(*again) == write_json(sorted));
  return 0;
}
