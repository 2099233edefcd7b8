// What is special about a kind when it is written: upstream's registry strategies. All that most kinds share (status is
// kept from or only for the status subresource, generation, metadata) is done by Objects and needs nothing here.
#pragma once

#include <string_view>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"

namespace proa::kube::api {

class Reader;

// Hooks are also called for subresources that have the resource's own kind (`w.subresource`: "status", "resize", …):
// `prepare` then takes back what may not be changed by them. Of "status" all but status and metadata is taken back
// before.
//
// Hooks may be null. `w.object` is what will be stored, `w.old_object` what is there. They run in this order around
// admission: decode → conform, defaults → mutate → prepare → conform, defaults → allocate → validation → validate →
// commit.
struct Strategy {
  // Sets and drops what clients may not choose: status on creation, fields the server owns.
  void (*prepare)(Admission& w) = nullptr;
  // Takes what is unique in the cluster (addresses, ports), with `w.together` making sure of it; checks what needs
  // other objects.
  Answer<> (*allocate)(Admission& w, const Reader& reader) = nullptr;
  // Warnings for the client, beside those that all objects get.
  void (*warn)(Admission& w) = nullptr;
  // Deletion waits for a grace period (pods) of this many seconds; <0: none.
  int64_t (*grace_seconds)(const Value& object) = nullptr;
  // Finalizers of its own beside metadata.finalizers (namespaces: spec.finalizers): whether the object must stay.
  bool (*keeps)(const Value& object) = nullptr;
  // Called when a deletion begins, or ends at once: `w.object` may be changed (namespace: phase Terminating).
  void (*deleting)(Admission& w) = nullptr;
  // The object goes with this transaction, as AdmissionPlugin::removed: gives back what `allocate` took.
  void (*removed)(Admission& w, const Reader& reader) = nullptr;
  // Whether PUT and apply may create; most may not. Whether an update needs a resourceVersion.
  bool create_on_update = false;
  bool unconditional_update = true;
  // metadata.generation counts changes of everything but metadata and status.
  bool generation = true;
  // What is created may have its status (nodes); else Objects drops it of whatever has a status subresource.
  bool status_on_create = false;
  // DELETE that ends at once answers with the object (pods, services, …), not with a Status.
  bool returns_deleted = false;
  // Its objects say what is served (CRDs).
  bool defines = false;
  // Orphan is the default of deletion (none of the served versions today).
  bool orphans_by_default = false;
};

// Of a built-in resource; the plain one if nothing is special. Custom resources have `custom_strategy`.
const Strategy& strategy_of(std::string_view group, std::string_view resource);
const Strategy& custom_strategy();

}  // namespace proa::kube::api
