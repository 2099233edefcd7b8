// Reads stored objects as documents, for the server's own parts: admission, authorization, controllers. From memory, on
// any thread, never waits.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"
#include "kube/store/store.h"

namespace proa::kube::api {

// A parsed object. `root` has its resourceVersion.
struct Stored {
  store::RecordPtr record;
  Document document;
  const Value& root() const { return document.root; }
};
using StoredPtr = std::shared_ptr<const Stored>;

// Parses a record's bytes and puts the resource version in.
StoredPtr parse_record(const store::RecordPtr& record);

class Reader {
 public:
  Reader(store::Store& store, const Catalog& catalog) : store_(store), catalog_(catalog) {}

  // By the names of built-in resources: ("", "namespaces", "", "default"). Null when there is none.
  StoredPtr get(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) const;
  // ns empty: all.
  std::vector<StoredPtr> list(std::string_view group, std::string_view resource, std::string_view ns = {}) const;
  // The same without parsing.
  store::RecordPtr record(std::string_view group, std::string_view resource, std::string_view ns,
                          std::string_view name) const;
  std::vector<store::RecordPtr> records(std::string_view group, std::string_view resource,
                                        std::string_view ns = {}) const;

  store::Store& store() const { return store_; }
  const Catalog& catalog() const { return catalog_; }

 private:
  store::Store& store_;
  const Catalog& catalog_;
};

}  // namespace proa::kube::api
