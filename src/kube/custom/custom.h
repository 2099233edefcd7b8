// Custom resources: a CRD's structural schema as a table, and what happens to objects by it. Built-in kinds are
// handled by codec/conform.h and validation/validate.h instead.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"
#include "kube/validation/checks.h"

namespace proa::kube {

// The table of one version of a CustomResourceDefinition (a conformed object): one group version with one resource, for
// `Table(bytes, &builtin())`. The error names the part of the schema that is not structural.
Result<std::string> build_custom_table(const Value& definition, std::string_view version);

struct CustomOptions {
  bool defaults = true;
  std::vector<std::string>* unknown = nullptr;  // paths of fields that were pruned, at most 100
};

// The object as it is stored: unknown fields pruned, defaults set, metadata in the form of ObjectMeta, keys sorted. The
// error is one of decoding, in the metadata.
Result<Value> conform_custom(Arena& arena, const ResourceView& resource, const Value& in,
                             const CustomOptions& options = {});

// What the schema says against it, worded as upstream's; metadata included. `old_object` is null on creation. Of
// "status" only that is looked at.
std::vector<FieldError> validate_custom(const ResourceView& resource, const Value& object, const Value& old_object = {},
                                        std::string_view subresource = {});

// ... of a part of an object, alone: values only. `place` is where it is; `before` is what was there, null if nothing.
std::vector<FieldError> validate_custom_part(NodeView node, const Value& value, std::string_view place,
                                             const Value* before = nullptr);

}  // namespace proa::kube
