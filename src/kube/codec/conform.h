// From any JSON document to an object of a built-in kind: what decoding into upstream's Go types, setting their
// defaults and encoding again would give.
//
// Known fields only, in the schema's order; values of the right type; nulls and zeros left out where Go leaves
// them out and printed where Go prints them; quantities, times and durations in canonical form. A conformed
// document is what is validated, compared and stored: equal objects have equal bytes.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

struct ConformOptions {
  bool defaults = true;                         // fill in the schema's default values
  std::vector<std::string>* unknown = nullptr;  // paths of unknown fields, "spec.containers[0].foo"; at most 100
};

// `type` is a struct. Texts are shared with `in` and with the table. The error is worded as Go's decoder words it:
// "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32".
Result<Value> conform(Arena& arena, TypeView type, const Value& in, const ConformOptions& options = {});

// What strict field validation says of unknown and duplicate fields, one text each: warnings. Joined by `strict_error`:
// "strict decoding error: unknown field "spec.foo", duplicate field "spec.replicas"".
std::vector<std::string> strict_messages(const std::vector<std::string>& unknown,
                                         const std::vector<std::string>& duplicates);
std::string strict_error(const std::vector<std::string>& messages);

// The parsed default of a node; null if it has none.
Value default_of(Arena& arena, NodeView node);

}  // namespace proa::kube
