// Kinds that are served in several versions are stored in the form of one of them.
#pragma once

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"
#include "kube/store/record.h"

namespace proa::kube::api {

// `object` in the form of `from` (which it conforms to) in that of `to`, another version of the same resource, or of
// one that shares its objects (events). Shares texts with it.
Answer<Value> convert(Arena& arena, const Resource& from, const Resource& to, const Value& object);

// A record as `resource` serves it: parsed, converted, with what a CRD's schema of today adds to what was written under
// an older one, and with `revision` as its resource version (0: the record's own). The record outlives it.
Answer<Value> read_record(Arena& arena, const CatalogView& catalog, const Resource& resource,
                          const store::Record& record, store::Revision revision = 0);

}  // namespace proa::kube::api
