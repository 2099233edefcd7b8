// API objects as JSON: what is read prints and reads back as the same value, and conforming is final.
#include "fuzz.h"
#include "kube/codec/conform.h"
#include "kube/object/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube;
  std::vector<std::string> duplicates;
  const auto document = read_json(as_text(data, size), {.duplicates = &duplicates});
  if (!document) {
    FUZZ_CHECK(!document.error().message().empty());
    return 0;
  }
  const std::string text = write_json(document->root);
  const auto again = read_json(text);
  FUZZ_CHECK(again && write_json(again->root) == text);
  Arena arena;
  std::vector<std::string> unknown;
  const TypeView pod = builtin().find_type("", "v1", "Pod");
  const auto object = conform(arena, pod, document->root, {.unknown = &unknown});
  if (!object) return 0;
  const auto twice = conform(arena, pod, *object, {.unknown = &unknown});
  FUZZ_CHECK(twice && write_json(*twice) == write_json(*object));
  return 0;
}
