// Patches: "OBJECT\0PATCH", each way of patching. Neither input is changed; applying again is without effect.
#include "fuzz.h"
#include "kube/object/json.h"
#include "kube/patch/json_patch.h"
#include "kube/patch/managed_fields.h"
#include "kube/patch/strategic.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube;
  const std::string_view text = as_text(data, size);
  const size_t split = text.find('\0');
  if (split == std::string_view::npos) return 0;
  Arena arena;
  const auto object = read_json(arena, text.substr(0, split));
  const auto patch = read_json(arena, text.substr(split + 1));
  if (!object || !patch || !object->is_object()) return 0;
  const std::string before = write_json(*object);
  const TypeView pod = builtin().find_type("", "v1", "Pod");
  static_cast<void>(apply_json_patch(arena, *object, *patch));
  const Value merged = apply_merge_patch(arena, *object, *patch);
  FUZZ_CHECK(write_json(apply_merge_patch(arena, merged, *patch)) == write_json(merged));
  static_cast<void>(apply_strategic_patch(arena, pod, *object, *patch));
  if (patch->is_object()) static_cast<void>(apply_fields(arena, pod, *object, *patch, {"fuzz", "v1", "", 1}, true));
  FUZZ_CHECK(write_json(*object) == before);
  return 0;
}
