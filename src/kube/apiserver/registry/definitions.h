// Custom resources in the catalog: the definitions (CRDs) of the store, as tables.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

class Definitions {
 public:
  // Both outlive it. Nothing is in the catalog before follow().
  Definitions(const Reader& reader, Catalog& catalog) : reader_(reader), catalog_(catalog) {}

  // Makes the catalog what the store says now. Does nothing in a moment when nothing has changed. Any thread; a write
  // of a definition is answered after this, so that what it defines is there with the answer.
  void follow();

  // Until the watch ends: follows what other servers write. On a loop.
  net::Task<> watch();
  void stop();

 private:
  struct Entry {
    store::Revision revision = 0;
    std::string made_of;  // by which it is seen that nothing of interest has changed
    std::vector<Catalog::Custom> tables;
  };
  bool refresh(Entry& entry, const store::RecordPtr& record) const;
  std::string prefix() const;

  const Reader& reader_;
  Catalog& catalog_;
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;  // by key
  std::mutex watch_mutex_;
  std::shared_ptr<store::Watch> watch_;
  bool stopped_ = false;
};

// --- the strategy of customresourcedefinitions

// Names accepted, established, versions stored: in the request that makes or changes it.
Answer<> settle_definition_status(Admission& w, const Reader& reader);
void definition_deleting(Admission& w);
// Of what is kept but has no effect here: rules in CEL, conversion by webhooks.
void warn_of_definition(Admission& w);

}  // namespace proa::kube::api
