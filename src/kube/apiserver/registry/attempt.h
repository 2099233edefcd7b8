// One try of a write: what is to be committed, and on which condition.
#pragma once

#include <string>

#include "kube/apiserver/registry/objects.h"

namespace proa::kube::api {

struct Objects::Attempt {
  store::RecordPtr record;  // what was there; null if nothing
  std::string key;
  Value object;
  store::Txn txn;
  bool created = false;
  bool generated = false;  // its name is of the server's making
  bool unchanged = false;  // nothing is to be written
  bool removes = false;    // the last finalizer went: so does the object

  // What plugins want to have written together with it.
  void take(store::Txn together);
};

struct Objects::Removal {
  Attempt attempt;
  bool still_there = false;
};

ApiError store_refusal(const Error& error, std::string_view key);
// What a new object is compared with.
Answer<Value> empty_object(Arena& arena, const Resource& resource);
void set_version(Arena& arena, Value& object, store::Revision revision);
// Whether an object that is being deleted has nothing left to wait for.
bool goes_now(const Resource& resource, const Value& object);

}  // namespace proa::kube::api
