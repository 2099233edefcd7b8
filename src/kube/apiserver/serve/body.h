// Reads bodies: bounded in size and time, in any encoding, to documents and to objects of the kind an address wants.
#pragma once

#include <string>
#include <vector>

#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/serve/call.h"

namespace proa::kube::api {

// All of it. 413 above 3 MiB.
net::Task<Answer<std::string>> read_body(Call& call);

struct BodyDocument {
  Value root;  // with apiVersion and kind
  std::vector<std::string> duplicates;
  std::vector<std::string> faults;  // other things that strict validation minds, as it words them
};
// `kind` is what the address wants, and what is meant where the document does not say; its protobuf form is read by
// `type`. 400 for another one.
Answer<BodyDocument> parse_body(Call& call, Encoding encoding, std::string_view text, const BodyKind& kind);

// The object that is created or put.
net::Task<Answer<Value>> read_object(Call& call, Context& context, const BodyKind& kind, FieldValidation validation);

// DeleteOptions of a body; null if there is none.
net::Task<Answer<Value>> read_delete_options(Call& call);

}  // namespace proa::kube::api
