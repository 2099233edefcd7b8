#include "kube/apiserver/registry/strategies/furnishing.h"

#include "base/error.h"
#include "base/ids.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/codec/conform.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

Value object_named(Arena& arena, std::string_view kind, std::string_view ns, std::string_view name) {
  Value metadata = Value::object(arena, 4);
  metadata.add(arena, "name", Value::view(name));
  metadata.add(arena, "namespace", Value::text(arena, ns));
  Value out = Value::object(arena, 4);
  out.add(arena, "kind", Value::view(kind));
  out.add(arena, "apiVersion", Value::view("v1"));
  out.add(arena, "metadata", metadata);
  return out;
}

}  // namespace

Value default_account(Arena& arena, std::string_view ns) {
  return object_named(arena, "ServiceAccount", ns, kDefaultAccount);
}

Value root_ca_data(Arena& arena, const Reader& reader) {
  const StoredPtr source = reader.get("", "configmaps", "kube-system", "extension-apiserver-authentication");
  const std::string_view pem = source == nullptr ? "" : source->root().string({"data", "client-ca-file"});
  if (pem.empty()) return {};
  Value out = Value::object(arena, 1);
  out.add(arena, "ca.crt", Value::text(arena, pem));
  return out;
}

Value root_ca_map(Arena& arena, std::string_view ns, const Value& data) {
  Value out = object_named(arena, "ConfigMap", ns, kRootCa);
  Value notes = Value::object(arena, 1);
  notes.add(arena, "kubernetes.io/description",
            Value::view("Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
                        "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
                        "guaranteed across distributions of Kubernetes clusters."));
  out.child(arena, "metadata").add(arena, "annotations", notes);
  out.add(arena, "data", data);
  return out;
}

void put_together(Admission& w, const Resource& resource, std::string_view key, Value object) {
  Value& metadata = object.child(w.arena, "metadata");
  metadata.set(w.arena, "uid", Value::text(w.arena, random_uuid().value_or("")));
  metadata.set(w.arena, "creationTimestamp", Value::text(w.arena, format_time(w.now)));
  const auto conformed = conform(w.arena, resource.view.type(), object);
  if (!conformed) return;  // never of what is made here
  w.together.compares.push_back(store::Compare::absent(key));
  w.together.success.emplace_back(store::Put{.draft = stored_draft(key, *resource.storage, *conformed)});
}

Answer<> furnish_namespace(Admission& w, const Reader& reader) {
  if (!creates(w)) return {};
  const CatalogPtr catalog = reader.catalog().view();
  const std::string_view name = w.object.string({"metadata", "name"});
  const auto put = [&](std::string_view resource, std::string_view object, const Value& value) {
    const Resource* found = catalog->find("", "v1", resource);
    const std::string key = found->key(name, object);
    const auto known = reader.store().get(key);
    if (known && *known == nullptr) put_together(w, *found, key, value);
  };
  put("serviceaccounts", kDefaultAccount, default_account(w.arena, name));
  const Value data = root_ca_data(w.arena, reader);
  if (!data.is_null()) put("configmaps", kRootCa, root_ca_map(w.arena, name, data));
  return {};
}

}  // namespace proa::kube::api
