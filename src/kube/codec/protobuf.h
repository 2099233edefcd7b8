// API objects from and to Kubernetes' protobuf: all kinds by the table's field numbers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

// The envelope of a whole body: "k8s\0" and a runtime.Unknown.
struct ProtobufEnvelope {
  std::string_view api_version, kind;
  std::string_view raw;  // the message; a view into the body
};
bool is_protobuf(std::string_view body);
Result<ProtobufEnvelope> open_envelope(std::string_view body);

// A message of a struct type. What comes back is to be conformed: fields are in the order of the wire, zeros present.
// Unknown fields are skipped. `api_version` and `kind` are set when they are not empty.
Result<Value> read_protobuf(Arena& arena, TypeView type, std::string_view message, std::string_view api_version = {},
                            std::string_view kind = {});

// Of a conformed object, in an envelope with its own apiVersion and kind.
std::string write_protobuf(TypeView type, const Value& object);
// ... the bare message.
std::string write_protobuf_message(TypeView type, const Value& object);

}  // namespace proa::kube
