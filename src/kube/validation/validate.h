// Validation of built-in kinds: by the schema (required, enumerations, bounds, immutability) and by the rules of each
// kind, with upstream's messages.
#pragma once

#include <string_view>
#include <vector>

#include "kube/object/status.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"
#include "kube/validation/checks.h"

namespace proa::kube {

// `object` is conformed, with defaults. Empty when it is valid. Thread-safe.
std::vector<FieldError> validate_create(const ResourceView& resource, const Value& object);

// `old_object` is what is stored. With `subresource` "status" only the metadata is looked at.
std::vector<FieldError> validate_update(const ResourceView& resource, const Value& object, const Value& old_object,
                                        std::string_view subresource = {});

// The answer to a request with such an object: 422 Invalid, each error a cause. `kind` is "Deployment".
ApiError invalid(std::string_view group, std::string_view kind, std::string_view name,
                 const std::vector<FieldError>& errors);

// The schema's rules alone, of any struct; used for CRDs' and embedded objects too.
void validate_structure(TypeView type, const Spot& object);

// metadata of any object; `name_faults` gives what is wrong with a name of its kind. Finalizers of custom resources and
// their definitions may be any qualified names, others have a domain or are known.
void validate_metadata(const Spot& metadata, bool namespaced, Faults (*name_faults)(std::string_view),
                       bool standard_finalizers = true);
void validate_metadata_update(const Spot& metadata, const Value& old_metadata);

// A meta.v1.LabelSelector.
void validate_label_selector(const Spot& selector);
void validate_labels(const Spot& labels);

}  // namespace proa::kube
