// Admission: what is looked at, and perhaps changed, before a write is stored. Upstream's plugins, in upstream's order.
//
// Plugins run on the memory of this process and never wait. What has to be written together with the object (a quota's
// usage, an allocated address) goes into `together`, and is committed in the object's own transaction: if one of its
// compares fails, the whole request is admitted and tried again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kube/apiserver/access/user.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"
#include "kube/store/types.h"

namespace proa::kube::api {

class Authorizer;
class Reader;

enum class Operation : uint8_t { kCreate, kUpdate, kDelete, kConnect };

// One request on its way to the store.
struct Admission {
  Operation operation = Operation::kCreate;
  const Resource& resource;
  std::string_view subresource;  // "status"; empty for the object itself
  std::string_view ns;
  std::string_view name;  // empty on creation with generateName
  const User& user;
  bool dry_run = false;
  Arena& arena;
  // Conformed, with defaults; null on deletion. Of a subresource with a kind of its own (Binding, Eviction, Scale),
  // that.
  Value object;
  Value old_object;  // as stored; null on creation
  int64_t now = 0;   // seconds since 1970
  // Filled by plugins.
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> annotations;  // for the audit log
  store::Txn together;                                           // `compares` and `success` only
};

class AdmissionPlugin {
 public:
  virtual ~AdmissionPlugin() = default;
  virtual std::string_view name() const = 0;
  // Changes `object`. Called before the object is validated.
  virtual Answer<> mutate(Admission&) { return {}; }
  // Called when the object is valid and will not be changed any more.
  virtual Answer<> validate(Admission&) { return {}; }
  // The object goes with this transaction: deleted at once, or its last finalizer went. `old_object` is what goes,
  // `object` is null; only `together` may be changed.
  virtual void removed(Admission&) {}
};

// All plugins that are on, in their order.
class AdmissionChain {
 public:
  void add(std::unique_ptr<AdmissionPlugin> plugin) { plugins_.push_back(std::move(plugin)); }
  Answer<> mutate(Admission& admission) const;
  Answer<> validate(Admission& admission) const;
  void removed(Admission& admission) const;

 private:
  std::vector<std::unique_ptr<AdmissionPlugin>> plugins_;
};

// What Pod Security does where a namespace has no labels, and whom it never asks.
struct PodSecurityOptions {
  std::string enforce = "privileged:latest", audit = "privileged:latest", warn = "privileged:latest";
  std::vector<std::string> exempt_users, exempt_namespaces, exempt_runtime_classes;
};
struct AdmissionOptions {
  PodSecurityOptions pod_security;
};

// `reader` and `authorizer` outlive the chain.
AdmissionChain standard_admission(const Reader& reader, const Authorizer& authorizer,
                                  const AdmissionOptions& options = {});

}  // namespace proa::kube::api
