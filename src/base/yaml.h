// YAML 1.1 as kubectl reads it, to and from JSON values.
//
// The rules are those of sigs.k8s.io/yaml, not of the YAML specification where the two differ: y, n,
// yes, no, on, off are booleans, 0o17 and 017 are octal, 1_000 is a number, dates stay strings,
// 1.0 is the number 1, base 60 is a string. Merge keys (<<) apply where they stand. Of duplicate keys
// the last wins. Numbers and booleans as keys become strings; null, lists and maps as keys, NaN and
// infinities are errors.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::yaml {

struct ParseLimits {
  size_t max_bytes = 16u << 20;
  size_t max_depth = 128;
  size_t max_alias_nodes = 1u << 17;  // nodes that aliases and merges may copy, all documents together
  size_t max_documents = 10'000;
  bool unique_keys = false;  // a duplicate key is an error
};

// Exactly one document; an empty text is null. Errors give line and column.
Result<boost::json::value> parse(std::string_view text, const ParseLimits& limits = {});
// Every document in order; empty ones are left out.
Result<std::vector<boost::json::value>> parse_all(std::string_view text, const ParseLimits& limits = {});

enum class KeyOrder : uint8_t { kAsStored, kSorted };

// Block style, lists not indented below their key, as kubectl prints; reads back as the same value.
// kSorted is kubectl's order.
std::string emit(const boost::json::value& value, KeyOrder order = KeyOrder::kAsStored);

}  // namespace proa::yaml
