// API objects from and to JSON text (RFC 8259).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"

namespace proa::kube {

struct JsonOptions {
  size_t max_bytes = 16u << 20;
  size_t max_depth = 500;
  // Where paths of duplicate keys are collected, "spec.containers[0].name", in the order of the text.
  std::vector<std::string>* duplicates = nullptr;
};

// Texts are copied into the arena. Numbers without fraction and exponent that fit are int64, all others doubles,
// read exactly. Of duplicate keys the last counts, at the place of the first. Errors give line and column.
Result<Value> read_json(Arena& arena, std::string_view text, const JsonOptions& options = {});
Result<Document> read_json(std::string_view text, const JsonOptions& options = {});

// One line without spaces, byte for byte as Go's encoding/json prints: <, > and & are escaped, doubles have their
// shortest form, 3.0 is 3.
void write_json(std::string& out, const Value& value);
std::string write_json(const Value& value);
// A string with its quotes.
void write_json_string(std::string& out, std::string_view text);

}  // namespace proa::kube
