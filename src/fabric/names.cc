#include "fabric/names.h"

#include <cstdint>

#include "base/text.h"
#include "fabric/fabric.h"

namespace proa::fabric {

Names names_of(std::string_view state_folder) {
  if (state_folder == Options().state) return {};
  uint32_t digest = 2166136261;  // FNV-1a: the same in every build
  for (const char c : state_folder) digest = (digest ^ static_cast<uint8_t>(c)) * 16777619;
  std::string hex(8, '0');
  for (auto digit = hex.rbegin(); digit != hex.rend(); ++digit, digest >>= 4) *digit = "0123456789abcdef"[digest & 15];
  // Devices' names have 15 characters at most.
  return {.table = "proa-" + hex, .bridge = "proa0-" + hex, .entry_out = "pin0-" + hex, .entry_in = "pin1-" + hex};
}

}  // namespace proa::fabric
