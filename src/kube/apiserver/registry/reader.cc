#include "kube/apiserver/registry/reader.h"

#include <charconv>

#include "kube/object/json.h"

namespace proa::kube::api {

StoredPtr parse_record(const store::RecordPtr& record) {
  auto out = std::make_shared<Stored>();
  out->record = record;
  auto read = read_json(record->value());
  if (!read) return out;  // never of our own bytes; the document is null then
  out->document = std::move(*read);
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), record->mod_revision());
  Arena& arena = out->document.arena;
  const std::string_view version(digits.data(), static_cast<size_t>(end - digits.data()));
  if (Value* metadata = out->document.root.find("metadata"))
    metadata->set(arena, "resourceVersion", Value::text(arena, version));
  return out;
}

store::RecordPtr Reader::record(std::string_view group, std::string_view resource, std::string_view ns,
                                std::string_view name) const {
  const CatalogPtr view = catalog_.view();
  const Resource* found = view->find(group, resource);
  if (found == nullptr) return nullptr;
  return store_.get(found->key(ns, name)).value_or(nullptr);
}

StoredPtr Reader::get(std::string_view group, std::string_view resource, std::string_view ns,
                      std::string_view name) const {
  const store::RecordPtr found = record(group, resource, ns, name);
  return found != nullptr ? parse_record(found) : nullptr;
}

std::vector<store::RecordPtr> Reader::records(std::string_view group, std::string_view resource,
                                              std::string_view ns) const {
  const CatalogPtr view = catalog_.view();
  const Resource* found = view->find(group, resource);
  if (found == nullptr) return {};
  auto range = store_.range(store::Range::of_prefix(found->range_prefix(ns)));
  return range ? std::move(range->records) : std::vector<store::RecordPtr>();
}

std::vector<StoredPtr> Reader::list(std::string_view group, std::string_view resource, std::string_view ns) const {
  std::vector<StoredPtr> out;
  for (const store::RecordPtr& record : records(group, resource, ns)) out.push_back(parse_record(record));
  return out;
}

}  // namespace proa::kube::api
