// API objects as protobuf: whatever the bytes, an error or an object that survives a round trip.
#include "fuzz.h"
#include "kube/codec/conform.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube;
  static constexpr std::string_view kKinds[][3] = {{"", "v1", "Pod"},
                                                   {"apps", "v1", "Deployment"},
                                                   {"apiextensions.k8s.io", "v1", "CustomResourceDefinition"},
                                                   {"meta", "v1", "DeleteOptions"}};
  if (size == 0) return 0;
  const auto& kind = kKinds[data[0] % std::size(kKinds)];
  const TypeView type = builtin().find_type(kind[0], kind[1], kind[2]);
  const std::string_view body = as_text(data + 1, size - 1);
  if (is_protobuf(body)) static_cast<void>(open_envelope(body));
  Arena arena;
  const auto value = read_protobuf(arena, type, body);
  if (!value) return 0;
  const auto object = conform(arena, type, *value, {.defaults = false});
  if (!object) return 0;
  const std::string wire = write_protobuf_message(type, *object);
  const auto back = read_protobuf(arena, type, wire);
  FUZZ_CHECK(back.has_value());
  const auto again = conform(arena, type, *back, {.defaults = false});
  FUZZ_CHECK(again && write_json(*again) == write_json(*object));
  return 0;
}
