// What nodes may do: their own node, lease and CSINode, the pods on them, and of secrets, config maps, claims and
// volumes those that these pods use.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

// The node's name, if `user` is one: "system:node:NAME" in the group system:nodes.
std::string_view node_of(const User& user);

class NodeGraph;

class NodeAuthorizer : public Authorizer {
 public:
  explicit NodeAuthorizer(const Reader& reader);
  ~NodeAuthorizer() override;
  Verdict authorize(const AccessQuestion& question) const override;
  bool rules_for(const User& user, std::string_view ns, UserRules& out) const override;

 private:
  std::unique_ptr<NodeGraph> graph_;
};

}  // namespace proa::kube::api
