// From a document that a client sent to an object of a kind: known fields of the right types, with defaults; and what
// strict field validation makes of the rest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"

namespace proa::kube::api {

// The kind of a body at an address: the resource's own, or that of its subresource.
struct BodyKind {
  const Resource* custom = nullptr;  // of a CRD: handled by its schema
  TypeView type;                     // null for custom
  ResourceView resource;
  bool own_kind = false;  // the body is of the resource's own kind
  std::string group, version, kind;
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
};
BodyKind body_kind(const Resource& resource, std::string_view subresource);

// Conformed, without judgement.
Result<Value> conform_as(Arena& arena, const BodyKind& kind, const Value& in, bool defaults = true,
                         std::vector<std::string>* unknown = nullptr);

// What is to be said of unknown and duplicate fields, and other `texts`: an error's text with Strict, warnings with
// Warn.
std::string judge_fields(Context& context, FieldValidation validation, const std::vector<std::string>& unknown,
                         const std::vector<std::string>& duplicates, const std::vector<std::string>& texts = {});

// A whole object from a body. `in` has the kind's apiVersion and kind by now. 400 for what does not fit.
Answer<Value> decode_object(Context& context, const BodyKind& kind, const Value& in, FieldValidation validation,
                            const std::vector<std::string>& duplicates, const std::vector<std::string>& texts = {});

}  // namespace proa::kube::api
