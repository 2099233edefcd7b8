#include "kube/apiserver/registry/catalog.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include "base/error.h"
#include "kube/apiserver/registry/strategy.h"
#include "kube/openapi/discovery.h"

namespace proa::kube::api {
namespace {

// Resources of two groups with the same objects: the second is another view of the first.
constexpr std::string_view kEventsGroup = "events.k8s.io";

// Versions are stored in the form of this one where a group has several.
std::string_view builtin_storage_version(std::string_view group, std::string_view version) {
  return group == "autoscaling" ? "v2" : version;
}

std::string qualified_name(const ResourceView& view) {
  const std::string_view group = view.group_version().group();
  return group.empty() ? std::string(view.plural()) : cat(view.plural(), ".", group);
}

uint32_t hash_of(std::string_view bytes) {
  uint32_t hash = 2166136261u;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash == 0 ? 1 : hash;
}

class View final : public CatalogView {
 public:
  View(std::vector<Catalog::Custom> custom, uint64_t generation) : custom_(std::move(custom)), generation_(generation) {
    tables_.push_back(&builtin());
    add_builtin();
    for (const Catalog::Custom& one : custom_) add_custom(one);
    for (Resource& resource : resources_) find_storage(resource);
    for (const auto& resource : resources_)
      if (resource.served) all_.push_back(&resource);
  }

  const Resource* find(std::string_view group, std::string_view version, std::string_view plural) const override {
    return look(by_plural_, cat(group, "/", version, "/", plural));
  }
  const Resource* find_kind(std::string_view group, std::string_view version, std::string_view kind) const override {
    return look(by_kind_, cat(group, "/", version, "/", kind));
  }
  const Resource* find(std::string_view group, std::string_view plural) const override {
    return look(preferred_, cat(group, "/", plural));
  }
  std::span<const Resource* const> all() const override { return all_; }
  std::span<const Table* const> tables() const override { return tables_; }
  uint64_t generation() const override { return generation_; }

 private:
  using Names = std::unordered_map<std::string, const Resource*>;
  static const Resource* look(const Names& names, const std::string& name) {
    const auto at = names.find(name);
    return at == names.end() ? nullptr : at->second;
  }

  void add_builtin() {
    for (const ResourceRecord& record : builtin().resources()) {
      Resource resource;
      resource.view = ResourceView(&builtin(), &record);
      const std::string_view group = resource.group();
      resource.strategy = &strategy_of(group, resource.view.plural());
      const std::string folder = group.empty() || group == kEventsGroup ? "" : cat(group, "/");
      resource.prefix = cat("/registry/", folder, resource.view.plural(), "/");
      resource.head = cat("{\"kind\":\"", resource.kind(), "\",\"apiVersion\":\"", resource.api_version(), "\",");
      add(std::move(resource));
    }
  }

  void add_custom(const Catalog::Custom& custom) {
    const Table& table = *custom.table;
    if (custom.served) tables_.push_back(&table);
    for (const ResourceRecord& record : table.resources()) {
      Resource resource;
      resource.view = ResourceView(&table, &record);
      resource.strategy = &custom_strategy();
      resource.custom = true;
      resource.crd_uid = custom.crd_uid;
      resource.served = custom.served;
      resource.prefix = cat("/registry/", resource.group(), "/", resource.view.plural(), "/");
      resource.head = cat("{\"apiVersion\":\"", resource.api_version(), "\",\"kind\":\"", resource.kind(), "\",");
      resource.form = custom.form != 0 ? custom.form : Catalog::schema_form(table);
      storage_versions_[resource.prefix] = custom.storage_version;
      add(std::move(resource));
    }
  }

  void add(Resource resource) {
    resource.qualified = qualified_name(resource.view);
    const Resource& kept = resources_.emplace_back(std::move(resource));
    const std::string_view group = kept.group(), version = kept.version();
    stored_.emplace(cat(group, "/", version, "/", kept.view.plural()), &kept);
    if (!kept.served) return;
    by_plural_.emplace(cat(group, "/", version, "/", kept.view.plural()), &kept);
    by_kind_.emplace(cat(group, "/", version, "/", kept.kind()), &kept);
    const Resource*& preferred = preferred_[cat(group, "/", kept.view.plural())];
    if (preferred == nullptr || version_before(version, preferred->version())) preferred = &kept;
  }

  void find_storage(Resource& resource) {
    std::string_view group = resource.group();
    std::string version(resource.custom ? std::string_view(storage_versions_[resource.prefix])
                                        : builtin_storage_version(group, resource.version()));
    if (group == kEventsGroup) group = "";
    const Resource* found = look(stored_, cat(group, "/", version, "/", resource.view.plural()));
    resource.storage = found == nullptr ? &resource : found;
  }

  std::vector<Catalog::Custom> custom_;
  uint64_t generation_;
  std::deque<Resource> resources_;
  std::vector<const Resource*> all_;
  std::vector<const Table*> tables_;
  Names by_plural_, by_kind_, preferred_, stored_;
  std::unordered_map<std::string, std::string> storage_versions_;
};

}  // namespace

std::string Resource::api_version() const {
  return group().empty() ? std::string(version()) : cat(group(), "/", version());
}

std::string Resource::key(std::string_view ns, std::string_view name) const {
  return namespaced() ? cat(prefix, ns, "/", name) : cat(prefix, name);
}

std::string Resource::range_prefix(std::string_view ns) const {
  return namespaced() && !ns.empty() ? cat(prefix, ns, "/") : prefix;
}

uint32_t Catalog::schema_form(const Table& table) { return hash_of(table.contents()); }

Catalog::Catalog() : current_(std::make_shared<View>(std::vector<Custom>(), 1)) {}

void Catalog::set_custom(std::vector<Custom> custom) {
  const std::lock_guard lock(mutex_);
  current_.store(std::make_shared<View>(std::move(custom), view()->generation() + 1), std::memory_order_release);
}

}  // namespace proa::kube::api
