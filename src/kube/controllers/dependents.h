// Who depends on whom: the ownerReferences of all stored objects, looked up by the owner. Objects without owners take
// nothing here.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kube/object/value.h"

namespace proa::kube::api {

class Dependents {
 public:
  // An object is there, with these ownerReferences (null: none), instead of what it had before. Whether they changed.
  bool set(std::string_view key, const Value& references);
  void erase(std::string_view key);

  // Keys of the objects that name this owner.
  std::vector<std::string> of(std::string_view owner_uid) const;
  bool has(std::string_view owner_uid) const { return dependents_.contains(std::string(owner_uid)); }
  size_t size() const { return owners_.size(); }

 private:
  struct Owner {
    std::string uid;
    bool blocks = false;
    bool operator==(const Owner&) const = default;
  };
  std::unordered_map<std::string, std::set<std::string>> dependents_;  // by the owner's uid
  std::unordered_map<std::string, std::vector<Owner>> owners_;         // by key
};

}  // namespace proa::kube::api
