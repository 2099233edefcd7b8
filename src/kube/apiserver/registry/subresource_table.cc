#include "kube/apiserver/registry/subresource_table.h"

#include "base/error.h"

namespace proa::kube::api {

const Subresource* Subresources::find(const Resource& resource, std::string_view subresource) const {
  const auto look = [&](const std::string& path) {
    const auto at = known_.find(path);
    return at == known_.end() ? nullptr : &at->second;
  };
  if (subresource.empty()) return look(resource.qualified);
  if (const Subresource* found = look(cat(resource.qualified, "/", subresource))) return found;
  return look(cat("*/", subresource));
}

}  // namespace proa::kube::api
