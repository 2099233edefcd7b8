#include "kube/apiserver/registry/convert.h"

#include "base/error.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/conversion/conversion.h"
#include "kube/custom/custom.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

// Versions of a CRD differ in their name alone (strategy None), and in what they keep of the fields.
Answer<Value> convert_custom(Arena& arena, const Resource& to, const Value& object) {
  Value out = Value::object_of(arena, object.members());
  out.set(arena, "apiVersion", Value::text(arena, to.api_version()));
  const auto conformed = conform_custom(arena, to.view, out);
  if (!conformed) return refuse(internal_error(conformed.error().message()));
  return *conformed;
}

// The resource in whose form these bytes are; null if it is not known any more.
const Resource* form_of_value(const CatalogView& catalog, const Resource& resource, const Value& object) {
  if (object.string("apiVersion") == resource.api_version()) return &resource;
  std::string_view version = object.string("apiVersion"), group;
  if (const size_t slash = version.find('/'); slash != std::string_view::npos) {
    group = version.substr(0, slash);
    version.remove_prefix(slash + 1);
  }
  return catalog.find(group, version, resource.view.plural());
}

}  // namespace

Answer<Value> convert(Arena& arena, const Resource& from, const Resource& to, const Value& object) {
  if (to.custom) return convert_custom(arena, to, object);
  if (&from == &to) return object;
  const Value converted = convert_builtin(arena, from.view, to.view, object);
  if (converted.is_null())
    return refuse(
        internal_error(cat(from.api_version(), " ", from.kind(), " cannot be converted to ", to.api_version())));
  return converted;
}

Answer<Value> read_record(Arena& arena, const CatalogView& catalog, const Resource& resource,
                          const store::Record& record, store::Revision revision) {
  const auto read = read_json(arena, record.value());
  if (!read)
    return refuse(internal_error(cat("unable to decode the stored ", record.key(), ": ", read.error().message())));
  Value object = *read;
  if (!served_as_stored(resource, record)) {
    const Resource* from = form_of_value(catalog, resource, object);
    auto converted = convert(arena, from == nullptr ? *resource.storage : *from, resource, object);
    if (!converted) return converted;
    object = *converted;
  }
  const std::string version = cat(revision == 0 ? record.mod_revision() : revision);
  object.child(arena, "metadata").set(arena, "resourceVersion", Value::text(arena, version));
  return object;
}

}  // namespace proa::kube::api
