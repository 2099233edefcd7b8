#include "kube/apiserver/serve/documents.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "kube/apiserver/serve/writer.h"
#include "kube/openapi/discovery.h"
#include "kube/openapi/gnostic.h"
#include "kube/openapi/openapi.h"
#include "net/conditional.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kOpenApi = "/openapi/v3/";

std::string_view without_slash(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// The version of aggregated discovery that is asked for before plain JSON; empty if none is.
std::string_view aggregated_version(std::string_view accept) {
  for (const std::string_view part : split(accept, ',')) {
    const auto media = net::MediaType::parse(net::trimmed(part));
    if (!media || media->type != "application" || media->subtype != "json") continue;
    if (media->get("g") != "apidiscovery.k8s.io" || media->get("as") != "APIGroupDiscoveryList") {
      if (media->get("as").empty()) return {};
      continue;
    }
    if (media->get("v") == "v2") return "v2";
    if (media->get("v") == "v2beta1") return "v2beta1";
  }
  return {};
}

// All tables' views of one group and version.
std::vector<GroupVersionView> views_of(const CatalogView& catalog, std::string_view group, std::string_view version) {
  std::vector<GroupVersionView> out;
  for (const Table* table : catalog.tables())
    if (const GroupVersionView gv = table->find(group, version); gv && gv.resource_count() > 0) out.push_back(gv);
  return out;
}

std::set<std::pair<std::string, std::string>> group_versions(const CatalogView& catalog) {
  std::set<std::pair<std::string, std::string>> out;
  for (const Resource* resource : catalog.all()) out.emplace(resource->group(), resource->version());
  return out;
}

Served send_document(Call& call, CachedDocument& document, std::string_view type) {
  net::Response& response = call.response;
  const std::string tag = cat("\"", document.hash(), "\"");
  response.headers.set("ETag", tag);
  response.headers.set("Vary", "Accept");
  response.headers.set("Cache-Control", "no-cache, private");
  if (net::etag_listed(call.request.headers().get("If-None-Match"), tag)) {
    response.status = 304;
    const auto sent = co_await response.send();
    if (!sent) co_return refuse(connection_lost(sent.error()));
    co_return Answer<>();
  }
  constexpr size_t kWorthIt = 1 << 10;
  const bool packed =
      call.request.headers().has_token("Accept-Encoding", "gzip") && document.bytes().size() >= kWorthIt;
  if (packed) response.headers.set("Content-Encoding", "gzip");
  const auto sent = co_await response.send(200, type, packed ? document.gzip() : document.bytes());
  if (!sent) co_return refuse(connection_lost(sent.error()));
  co_return Answer<>();
}

}  // namespace

bool Documents::has(std::string_view path) {
  path = without_slash(path);
  if (path == "/openapi/v2" || path == "/openapi/v3" || path.starts_with(kOpenApi)) return true;
  if (path == "/api" || path == "/apis") return true;
  const auto slashes = std::ranges::count(path, '/');
  if (path.starts_with("/api/")) return slashes == 2;
  return path.starts_with("/apis/") && slashes <= 3;
}

Documents::Made Documents::document(const CatalogPtr& catalog, const std::string& key,
                                    std::function<std::string()> make) {
  const std::lock_guard lock(mutex_);
  if (catalog->generation() > generation_) {
    made_.clear();
    generation_ = catalog->generation();
  }
  if (catalog->generation() < generation_) return std::make_shared<CachedDocument>(std::move(make));
  Made& known = made_[key];
  if (!known) known = std::make_shared<CachedDocument>(std::move(make));
  return known;
}

Documents::Made Documents::group_document(const CatalogPtr& catalog, std::string_view path) {
  const bool core = path.starts_with("/api/");
  std::string_view rest = path.substr(core ? 5 : 6);
  const std::string group(core ? std::string_view() : cut(rest, '/'));
  const std::string version(rest);
  const auto known = group_versions(*catalog);
  if (version.empty()) {
    if (std::ranges::none_of(known, [&](const auto& gv) { return gv.first == group; })) return nullptr;
    return document(catalog, std::string(path), [catalog, group] { return api_group(catalog->tables(), group); });
  }
  if (!known.contains({group, version})) return nullptr;
  return document(catalog, std::string(path),
                  [catalog, group, version] { return api_resource_list(catalog->tables(), group, version); });
}

Documents::Made Documents::discovery(const Call& call, std::string& type) {
  const CatalogPtr& catalog = call.catalog;
  const std::string path(without_slash(call.info.path));
  type = "application/json";
  if (path != "/api" && path != "/apis") return group_document(catalog, path);
  const bool core = path == "/api";
  const std::string version(aggregated_version(call.request.headers().get("Accept")));
  if (!version.empty()) {
    type = cat("application/json;g=apidiscovery.k8s.io;v=", version, ";as=APIGroupDiscoveryList");
    return document(catalog, cat(path, "?", version),
                    [catalog, core, version] { return aggregated_discovery(catalog->tables(), core, version) + "\n"; });
  }
  return document(catalog, path, [catalog, core, this] {
    return (core ? api_versions(address_) : api_group_list(catalog->tables())) + "\n";
  });
}

// --- OpenAPI

Documents::Made Documents::openapi_v3_document(const CatalogPtr& catalog, const std::string& path) {
  for (const auto& [group, version] : group_versions(*catalog))
    if (openapi_v3_path(group, version) == path)
      return document(catalog, cat(kOpenApi, path),
                      [catalog, g = group, v = version] { return openapi_v3(views_of(*catalog, g, v)); });
  return nullptr;
}

std::string Documents::openapi_v3_paths(const CatalogPtr& catalog) {
  std::vector<OpenApiEntry> entries;
  for (const auto& [group, version] : group_versions(*catalog)) {
    std::string path = openapi_v3_path(group, version);
    if (const Made made = openapi_v3_document(catalog, path)) entries.push_back({path, made->hash()});
  }
  return openapi_v3_index(entries);
}

Served Documents::serve_openapi(Call& call) {
  const std::string path(without_slash(call.info.path));
  const CatalogPtr catalog = call.catalog;
  Made made;
  std::string type = "application/json";
  if (path == "/openapi/v2") {
    made = document(catalog, path, [catalog] { return openapi_v2(catalog->tables()); });
    if (call.request.headers().get("Accept").find("proto-openapi.spec.v2@v1.0+protobuf") != std::string_view::npos) {
      type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
      made = document(catalog, cat(path, "?protobuf"), [json = made] { return openapi_v2_protobuf(json->bytes()); });
    }
  } else if (path == "/openapi/v3") {
    made = document(catalog, path, [this, catalog] { return openapi_v3_paths(catalog); });
  } else {
    made = openapi_v3_document(catalog, path.substr(kOpenApi.size()));
  }
  if (!made) {
    co_return co_await send_text(call, 404, "404 page not found\n");
  }
  // Making one takes some milliseconds: not on the loop.
  static_cast<void>(co_await net::blocking([made] { return made->gzip().size() + made->hash().size(); }));
  const net::Query query(call.request.query());
  if (const std::string_view wanted = query.get("hash"); !wanted.empty()) {
    if (wanted != made->hash()) {
      call.response.status = 301;
      call.response.headers.set("Location", cat(path, "?hash=", made->hash()));
      const auto sent = co_await call.response.send();
      if (!sent) co_return refuse(connection_lost(sent.error()));
      co_return Answer<>();
    }
    call.response.headers.set("Cache-Control", "public, immutable");
  }
  co_return co_await send_document(call, *made, type);
}

Served Documents::serve(Call& call) {
  if (call.info.path.starts_with("/openapi/")) co_return co_await serve_openapi(call);
  std::string type;
  const Made made = discovery(call, type);
  if (!made) co_return co_await send_text(call, 404, "404 page not found\n");
  co_return co_await send_document(call, *made, type);
}

}  // namespace proa::kube::api
