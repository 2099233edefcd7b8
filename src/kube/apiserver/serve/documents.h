// Discovery and OpenAPI: documents made of the catalog when first asked for, and kept until it changes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/serve/call.h"
#include "kube/openapi/document.h"

namespace proa::kube::api {

class Documents {
 public:
  // As clients reach the server: "10.0.0.1:6443".
  explicit Documents(std::string address) : address_(std::move(address)) {}

  // Whether the path is one of discovery's or OpenAPI's.
  static bool has(std::string_view path);
  // 404 for groups and versions that there are not.
  Served serve(Call& call);

 private:
  using Made = std::shared_ptr<CachedDocument>;
  Made document(const CatalogPtr& catalog, const std::string& key, std::function<std::string()> make);
  Made discovery(const Call& call, std::string& type);
  Made group_document(const CatalogPtr& catalog, std::string_view path);
  Made openapi_v3_document(const CatalogPtr& catalog, const std::string& path);
  std::string openapi_v3_paths(const CatalogPtr& catalog);
  Served serve_openapi(Call& call);

  const std::string address_;
  std::mutex mutex_;
  uint64_t generation_ = 0;
  std::map<std::string, Made> made_;
};

}  // namespace proa::kube::api
