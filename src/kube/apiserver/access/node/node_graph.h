// Which node has to do with which object, through the pods on it. Followed from the first question on: a cluster
// without nodes pays nothing.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kube/apiserver/access/follower.h"
#include "kube/apiserver/access/rbac/policy.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

enum class NodeObject : uint8_t {
  kSecret,
  kConfigMap,
  kClaim,
  kVolume,
  kVolumeAttachment,
  kResourceClaim,
  kResourceSlice,
  kServiceAccount,
  kPod,
};

// Thread-safe.
class NodeGraph {
 public:
  explicit NodeGraph(const Reader& reader) : reader_(reader), follower_(reader.store(), "/registry/pods/") {}
  bool related(std::string_view node, NodeObject kind, std::string_view ns, std::string_view name);

 private:
  // What one pod uses: names with their kind and namespace.
  struct Pod {
    std::string node;
    std::vector<std::string> uses;
  };
  void refresh();
  void put(const store::RecordPtr& record);
  void remove(std::string_view key);
  bool used_by_pod(std::string_view node, NodeObject kind, std::string_view ns, std::string_view name) const;
  bool used_by_volume(std::string_view node, std::string_view ns, std::string_view secret) const;
  bool is_of_node(std::string_view node, std::string_view group, std::string_view resource,
                  std::string_view name) const;

  const Reader& reader_;
  std::mutex mutex_;
  Follower follower_;
  rbac::Named<Pod> pods_;  // by key
  // How many pods of each node use a thing.
  rbac::Named<rbac::Named<int>> uses_;
};

}  // namespace proa::kube::api
