// From the store's keys back to what they are of.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kube/apiserver/registry/catalog.h"
#include "kube/client/client.h"

namespace proa::kube::api {

struct KeyParts {
  const Resource* resource = nullptr;  // the preferred version; lives as long as `catalog`
  CatalogPtr catalog;
  std::string_view ns, name;  // of the key
  Target target() const;
};

// Belongs to one thread.
class KeyIndex {
 public:
  explicit KeyIndex(const Catalog& catalog) : catalog_(catalog) {}
  // Nothing if no served resource has such keys.
  std::optional<KeyParts> find(std::string_view key);

 private:
  const Catalog& catalog_;
  CatalogPtr view_;
  std::map<std::string, const Resource*, std::less<>> by_prefix_;
};

}  // namespace proa::kube::api
