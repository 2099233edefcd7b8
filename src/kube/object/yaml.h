// API objects from and to YAML, with the rules of sigs.k8s.io/yaml (base/yaml.h).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "kube/object/value.h"

namespace proa::kube {

// Exactly one document. With `unique_keys` a duplicate key is an error, as in strict field validation.
Result<Value> read_yaml(Arena& arena, std::string_view text, bool unique_keys = false);

// Keys sorted, as kubectl prints; ends with a newline.
std::string write_yaml(const Value& value);

}  // namespace proa::kube
