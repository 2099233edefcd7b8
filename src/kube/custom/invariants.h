// What has to hold of custom objects beside their schema's values. The walks go along the schema; what it does not know
// is not looked at.
#pragma once

#include <string>

#include "kube/schema/table.h"
#include "kube/validation/checks.h"

namespace proa::kube {

// The fields that the scale subresource shows are whole numbers that it can hold; the selector is text.
void check_scale_spec(const ResourceView& resource, const Spot& root);
void check_scale_status(const ResourceView& resource, const Spot& root);

// x-kubernetes-embedded-resource: apiVersion, kind and metadata are those of an object.
void check_embedded(NodeView node, const Spot& spot);

// x-kubernetes-list-type set and map: no item twice.
void check_unique_items(NodeView node, const Spot& spot);

// What makes an item of such a list the same item, as JSON.
std::string item_identity(NodeView list, const Value& item);

}  // namespace proa::kube
