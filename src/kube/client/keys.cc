#include "kube/client/keys.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kRoot = "/registry/";

}  // namespace

Target KeyParts::target() const {
  return {.group = std::string(resource->view.group_version().group()),
          .version = std::string(resource->view.group_version().version()),
          .resource = std::string(resource->view.plural()),
          .ns = std::string(ns),
          .name = std::string(name),
          .subresource = {}};
}

std::optional<KeyParts> KeyIndex::find(std::string_view key) {
  CatalogPtr now = catalog_.view();
  if (view_ == nullptr || view_->generation() != now->generation()) {
    by_prefix_.clear();
    for (const Resource* resource : now->all())
      by_prefix_.emplace(resource->prefix, now->find(resource->view.group_version().group(), resource->view.plural()));
    view_ = std::move(now);
  }
  if (!key.starts_with(kRoot)) return std::nullopt;
  // "/registry/pods/" or "/registry/apps/deployments/".
  for (size_t slash = key.find('/', kRoot.size()), depth = 0; slash != std::string_view::npos && depth < 2;
       slash = key.find('/', slash + 1), ++depth) {
    const auto at = by_prefix_.find(key.substr(0, slash + 1));
    if (at == by_prefix_.end()) continue;
    KeyParts out{.resource = at->second, .catalog = view_, .ns = {}, .name = key.substr(slash + 1)};
    if (out.resource->namespaced()) {
      const size_t end = out.name.find('/');
      if (end == std::string_view::npos) return std::nullopt;
      out.ns = out.name.substr(0, end);
      out.name.remove_prefix(end + 1);
    }
    return out;
  }
  return std::nullopt;
}

}  // namespace proa::kube::api
