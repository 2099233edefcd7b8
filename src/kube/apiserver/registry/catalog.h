// Which resources are served now: the built-in ones and those of CRDs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube::api {

struct Strategy;

// One resource in one version. Lives as long as the CatalogView it was found in.
struct Resource {
  ResourceView view;
  const Strategy* strategy = nullptr;  // never null
  bool custom = false;                 // of a CRD: custom/custom.h instead of codec/conform.h
  // Objects of all versions of a resource are stored in one form under one prefix: "/registry/apps/deployments/".
  std::string prefix;
  // The one whose form is stored: itself, unless several versions (or groups: events) share their objects. Never null.
  const Resource* storage = nullptr;
  // What its stored bytes begin with: {"kind":"Pod","apiVersion":"v1", and, of a CRD, by which schema they were made.
  std::string head;
  uint32_t form = 0;
  bool served = true;  // false: only stored in this version
  // "deployments.apps", as messages name it.
  std::string qualified;
  // For custom ones: of the CRD, to tell what a stored table belongs to.
  std::string crd_uid;

  std::string key(std::string_view ns, std::string_view name) const;
  std::string range_prefix(std::string_view ns) const;  // ns empty: all
  std::string api_version() const;                      // "apps/v1"
  std::string_view group() const { return view.group_version().group(); }
  std::string_view version() const { return view.group_version().version(); }
  std::string_view kind() const { return view.kind(); }
  bool namespaced() const { return view.namespaced(); }
};

// An immutable state of the catalog. Keep the pointer for as long as something of it is used: a request keeps one.
class CatalogView {
 public:
  virtual ~CatalogView() = default;
  virtual const Resource* find(std::string_view group, std::string_view version, std::string_view plural) const = 0;
  virtual const Resource* find_kind(std::string_view group, std::string_view version, std::string_view kind) const = 0;
  // Any served version of it, the preferred one first.
  virtual const Resource* find(std::string_view group, std::string_view plural) const = 0;
  virtual std::span<const Resource* const> all() const = 0;
  // In the order of discovery: the built-in table, then those of CRDs; of what is served.
  virtual std::span<const Table* const> tables() const = 0;
  virtual uint64_t generation() const = 0;  // grows with each change
};
using CatalogPtr = std::shared_ptr<const CatalogView>;

// Holds the current view; replaced as CRDs come and go. Thread-safe.
class Catalog {
 public:
  struct Custom {  // one served or stored version of one CRD
    std::shared_ptr<const Table> table;
    std::string storage_version;
    std::string crd_uid;
    bool served = true;
    uint32_t form = 0;  // schema_form() of the table; 0: found out by the catalog
  };
  Catalog();
  // Tells tables apart by their contents, the same in every process. Takes time for large ones.
  static uint32_t schema_form(const Table& table);
  CatalogPtr view() const { return current_.load(std::memory_order_acquire); }
  // Takes effect for requests that begin from now on.
  void set_custom(std::vector<Custom> custom);

 private:
  std::mutex mutex_;
  std::atomic<CatalogPtr> current_;
};

}  // namespace proa::kube::api
