#include "kube/apiserver/registry/definitions.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "kube/custom/custom.h"
#include "kube/custom/definition.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

// A table and its bytes.
struct OwnedTable {
  explicit OwnedTable(std::string b) : bytes(std::move(b)), table(bytes, &builtin()) {}
  std::string bytes;
  Table table;
};

bool has_rules(const Value& value) {
  if (value.get("x-kubernetes-validations").size() > 0) return true;
  return std::ranges::any_of(value.members(), [](const Member& member) { return has_rules(member.value); }) ||
         std::ranges::any_of(value.items(), [](const Value& item) { return has_rules(item); });
}

}  // namespace

std::string Definitions::prefix() const {
  return catalog_.view()->find("apiextensions.k8s.io", "customresourcedefinitions")->prefix;
}

// Whether what is served may be different now.
bool Definitions::refresh(Entry& entry, const store::RecordPtr& record) const {
  entry.revision = record->mod_revision();
  const auto document = read_json(record->value());
  if (!document) {
    log::error(record->key(), ": ", document.error().message());
    return false;
  }
  const Value& definition = document->root;
  const bool served = definition_is(definition, "Established");
  std::string made_of = cat(served ? "+" : "-", definition.get({"metadata", "deletionTimestamp"}).is_null() ? "+" : "-",
                            definition.string({"metadata", "uid"}), write_json(definition.get("spec")),
                            write_json(definition.get({"status", "acceptedNames"})));
  made_of = cat(std::hash<std::string>()(made_of), ".", made_of.size());
  if (made_of == entry.made_of) return false;
  entry.made_of = std::move(made_of);
  entry.tables.clear();
  if (!served) return true;
  std::string storage;
  const Value versions = definition.get({"spec", "versions"});
  for (const Value& version : versions.items())
    if (version.get("storage").as_bool()) storage = version.string("name");
  for (const Value& version : versions.items()) {
    auto bytes = build_custom_table(definition, version.string("name"));
    if (!bytes) {
      log::error(record->key(), ": ", bytes.error().message());
      continue;
    }
    const auto owned = std::make_shared<OwnedTable>(std::move(*bytes));
    entry.tables.push_back({.table = std::shared_ptr<const Table>(owned, &owned->table),
                            .storage_version = storage,
                            .crd_uid = std::string(definition.string({"metadata", "uid"})),
                            .served = version.get("served").as_bool(),
                            .form = Catalog::schema_form(owned->table)});
  }
  return true;
}

void Definitions::follow() {
  const std::lock_guard lock(mutex_);
  const auto found = reader_.store().range(store::Range::of_prefix(prefix()));
  if (!found) return log::error("definitions: ", found.error().message());
  bool changed = false;
  std::set<std::string_view> here;
  for (const store::RecordPtr& record : found->records) {
    here.insert(record->key());
    Entry& entry = entries_[std::string(record->key())];
    if (entry.revision != record->mod_revision()) changed |= refresh(entry, record);
  }
  if (here.size() != entries_.size())
    changed |= std::erase_if(entries_, [&](const auto& entry) { return !here.contains(entry.first); }) > 0;
  if (!changed) return;
  std::vector<Catalog::Custom> all;
  for (const auto& [key, entry] : entries_) all.insert(all.end(), entry.tables.begin(), entry.tables.end());
  catalog_.set_custom(std::move(all));
}

net::Task<> Definitions::watch() {
  const std::string from = prefix();
  for (;;) {
    std::shared_ptr<store::Watch> watch;
    {
      const std::lock_guard lock(watch_mutex_);
      if (stopped_) co_return;
      auto begun = reader_.store().watch({.key = from, .end = store::prefix_end(from), .from = 0, .buffer = 0});
      if (begun) watch_ = watch = std::move(*begun);
    }
    follow();
    while (watch != nullptr && co_await watch->next()) follow();
    {
      const std::lock_guard lock(watch_mutex_);
      if (stopped_) co_return;
    }
    co_await net::sleep(std::chrono::seconds(1));
  }
}

void Definitions::stop() {
  const std::lock_guard lock(watch_mutex_);
  stopped_ = true;
  if (watch_ != nullptr) watch_->cancel();
}

Answer<> settle_definition_status(Admission& w, const Reader& reader) {
  if (!w.subresource.empty()) return {};
  NamesInUse in_use;
  const std::string_view group = w.object.string({"spec", "group"}), uid = w.object.string({"metadata", "uid"});
  const CatalogPtr catalog = reader.catalog().view();
  for (const Resource* resource : catalog->all()) {
    if (!resource->custom || resource->group() != group || resource->crd_uid == uid) continue;
    in_use.add(resource->view);
  }
  w.object = settle_definition(w.arena, w.object, in_use, w.now);
  return {};
}

void warn_of_definition(Admission& w) {
  if (!w.subresource.empty()) return;
  const Value spec = w.object.get("spec");
  if (spec.string({"conversion", "strategy"}) == "Webhook" && spec.get("versions").size() > 1)
    w.warnings.emplace_back(
        "spec.conversion.strategy: webhooks are not called; objects change their apiVersion alone, as with None");
  if (has_rules(spec.get("versions")))
    w.warnings.emplace_back("spec.versions: x-kubernetes-validations are kept, but their rules are not run");
}

void definition_deleting(Admission& w) { begin_definition_end(w.arena, w.object, w.now); }

}  // namespace proa::kube::api
