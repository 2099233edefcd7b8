// Subresources, and the kinds that are answered and never stored: what Objects does for an address whose body is not
// simply the stored object.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/request/options.h"
#include "net/task.h"

namespace proa::kube::api {

class Objects;
struct Context;
struct Written;

struct Subresource {
  // GET: what is shown of the object. Null: the object itself.
  std::function<Value(Arena& arena, const Resource& resource, const Value& object)> show;
  // PUT and PATCH: the object that `sent` makes of what is stored; `sent` conforms to the subresource's kind. It is
  // then prepared, admitted, validated and stored as every object is. Null: neither is possible.
  std::function<Answer<Value>(Context& context, const Value& old_object, const Value& sent)> take;
  // POST: all of it, with what is stored by calls of `objects`. `body` conforms to the kind, with defaults. The answer
  // is 201.
  std::function<net::Task<Answer<Written>>(Objects& objects, Context& context, Value body, WriteOptions options)>
      create;
};

// Filled when the server is made, then constant. `status` is Objects' own and needs no entry.
class Subresources {
 public:
  // "pods/binding", "deployments.apps/scale", "*/scale" of all resources that have one,
  // "tokenreviews.authentication.k8s.io" of a kind that is not stored.
  void add(std::string_view path, Subresource subresource) {
    known_.insert_or_assign(std::string(path), std::move(subresource));
  }
  // Null when there is none.
  const Subresource* find(const Resource& resource, std::string_view subresource) const;

 private:
  std::map<std::string, Subresource, std::less<>> known_;
};

}  // namespace proa::kube::api
