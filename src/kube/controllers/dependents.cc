#include "kube/controllers/dependents.h"

#include <algorithm>

namespace proa::kube::api {

bool Dependents::set(std::string_view key, const Value& references) {
  std::vector<Owner> owners;
  for (const Value& reference : references.items())
    owners.push_back({std::string(reference.string("uid")), reference.get("blockOwnerDeletion").as_bool()});
  const std::string own(key);
  const auto before = owners_.find(own);
  if (before == owners_.end() ? owners.empty() : before->second == owners) return false;
  erase(key);
  for (const Owner& owner : owners) dependents_[owner.uid].insert(own);
  if (!owners.empty()) owners_.insert_or_assign(own, std::move(owners));
  return true;
}

void Dependents::erase(std::string_view key) {
  const std::string own(key);
  const auto at = owners_.find(own);
  if (at == owners_.end()) return;
  for (const Owner& owner : at->second) {
    const auto entry = dependents_.find(owner.uid);
    if (entry == dependents_.end()) continue;
    entry->second.erase(own);
    if (entry->second.empty()) dependents_.erase(entry);
  }
  owners_.erase(at);
}

std::vector<std::string> Dependents::of(std::string_view owner_uid) const {
  const auto at = dependents_.find(std::string(owner_uid));
  if (at == dependents_.end()) return {};
  return {at->second.begin(), at->second.end()};
}

}  // namespace proa::kube::api
