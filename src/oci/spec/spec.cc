#include "oci/spec/spec.h"

namespace proa::oci {

const Namespace* Linux::find(NamespaceType type) const {
  for (const Namespace& entry : namespaces)
    if (entry.type == type) return &entry;
  return nullptr;
}

}  // namespace proa::oci
