// Client: the API for parts of this process, above all controllers. What a client over HTTP may do and gets, without
// HTTP: the user is authorized, admission runs, the same errors come back.
//
//   Answer<StoredPtr> node = client.get({.resource = "nodes", .name = "a"});
//   Arena arena;
//   co_await client.write(arena, {.group = "apps", .resource = "deployments", .ns = "x", .name = "web",
//                                 .subresource = "status"}, [](Arena& memory, const Value& now) { … });
//
// Reads are from memory and never wait, on any thread. Writes go on on the loop they were awaited on, or at once with a
// store without threads. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/access/user.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"
#include "net/task.h"

namespace proa::kube::api {

// What a call is about. An empty version is the preferred one; an empty ns that of a cluster's object, or in lists all.
struct Target {
  std::string group, version, resource, ns, name, subresource;
};

class Client {
 public:
  virtual ~Client() = default;
  virtual const User& user() const = 0;

  virtual Answer<StoredPtr> get(const Target& target) const = 0;
  virtual Answer<std::vector<StoredPtr>> list(const Target& target) const = 0;
  // Whether the user may `verb` it.
  virtual Answer<> allowed(std::string_view verb, const Target& target) const = 0;

  // What they give lives in `arena`. `object` and `patch` have to live until the call ends.
  virtual net::Task<Answer<Value>> create(Arena& arena, Target target, Value object) = 0;
  virtual net::Task<Answer<Value>> update(Arena& arena, Target target, Value object) = 0;
  virtual net::Task<Answer<Value>> patch(Arena& arena, Target target, PatchKind kind, Value patch) = 0;
  virtual net::Task<Answer<Deleted>> remove(Arena& arena, Target target, DeleteOptions options) = 0;
  // Reads it, lets `change` make the new one of the old, writes it, and does all that again while others are quicker.
  // The user needs "update". An object that is not there is not found.
  virtual net::Task<Answer<Value>> write(Arena& arena, Target target, Objects::Change change) = 0;
};

// All outlive the client. `manager` is its name in managedFields.
std::unique_ptr<Client> make_client(Objects& objects, const Catalog& catalog, const Authorizer& authorizer, User user,
                                    std::string manager);

}  // namespace proa::kube::api
