// Objects: reads and writes of API objects with all that the API promises of them, for whoever has been let in. HTTP
// (serve/) and controllers of this process (Client) are its callers; both have asked the Authorizer before.
//
// Documents go in and out as Values; reads that need no change go out as the record's own bytes (splice.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/access/user.h"
#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/apiserver/registry/subresource_table.h"
#include "kube/apiserver/request/options.h"
#include "net/task.h"

namespace proa::kube::api {

// One call: where, by whom, with what memory. Lives through the call.
struct Context {
  CatalogPtr catalog;
  const Resource* resource = nullptr;
  std::string subresource;  // "", "status", "scale", …
  std::string ns, name;
  const User* user = nullptr;
  Arena& arena;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> annotations;
};

enum class PatchKind : uint8_t { kJson, kMerge, kStrategic, kApply };

struct Written {
  Value object;             // as a GET would give it now; of a subresource with its own kind, that
  bool created = false;     // 201
  store::RecordPtr record;  // null for dry runs
};
struct Deleted {
  Value object;              // the object that is still there or was; null: answer with a Status
  bool still_there = false;  // finalizers or a grace period keep it
};

class Objects {
 public:
  // All of `parts` outlives it.
  struct Parts {
    store::Store& store;
    const Catalog& catalog;
    const Reader& reader;
    const AdmissionChain& admission;
    const Subresources& subresources;
    std::function<int64_t()> now;  // seconds since 1970
    // After a definition (CRD) was written and before the answer: the catalog follows. May be null.
    std::function<void()> definitions_changed;
  };
  explicit Objects(Parts parts) : parts_(std::move(parts)) {}

  Answer<StoredPtr> get(const Context& context) const;
  net::Task<Answer<Written>> create(Context& context, Value object, const WriteOptions& options);
  net::Task<Answer<Written>> update(Context& context, Value object, const WriteOptions& options);
  net::Task<Answer<Written>> patch(Context& context, PatchKind kind, Value patch, const WriteOptions& options);
  net::Task<Answer<Deleted>> remove(Context& context, const DeleteOptions& options);

  // The frame of every write to a stored object: reads it, lets `change` make the new one from the old (null: there is
  // none), conforms, admits, validates and commits it, and does it again when another was quicker.
  using Change = std::function<Answer<Value>(Arena& arena, const Value& old_object)>;
  net::Task<Answer<Written>> write(Context& context, Operation operation, const WriteOptions& options, Change change);

  const Reader& reader() const { return parts_.reader; }
  const Parts& parts() const { return parts_; }

 private:
  // What may stand at the address before.
  enum class Mode : uint8_t { kCreate, kUpdate, kCreateOrUpdate };
  struct Attempt;
  struct Removal;
  net::Task<Answer<Written>> store(Context& context, Mode mode, const WriteOptions& options, const Change& change);
  Answer<Value> changed(Context& context, Mode mode, const Change& change, const Value& old_object) const;
  Answer<> admit(Admission& w, const Context& context) const;
  Answer<Attempt> attempt(Context& context, Mode mode, const WriteOptions& options, const Change& change) const;
  void plan_removal(Admission& w, const Context& context, const store::Record& record, Attempt& out) const;
  Answer<Removal> plan_deletion(Context& context, const DeleteOptions& options) const;
  Value shown(const Context& context, const Value& object) const;
  void committed(const Resource& resource) const;

  Parts parts_;
};

}  // namespace proa::kube::api
