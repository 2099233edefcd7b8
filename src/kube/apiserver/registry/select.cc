#include "kube/apiserver/registry/select.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/scan.h"
#include "kube/apiserver/registry/splice.h"

namespace proa::kube::api {
namespace {

// Whether the path's text can be told from the stored bytes alone.
bool plain_path(std::string_view path) {
  return path != "source" && path != "status.podIPs" && path != "status.successful";
}

}  // namespace

Answer<Selection> Selection::of(const CatalogView& catalog, const Resource& resource, std::string_view labels,
                                std::string_view fields) {
  Selection out;
  out.catalog_ = &catalog;
  out.resource_ = &resource;
  auto by_labels = LabelSelector::parse(labels);
  if (!by_labels) return refuse(bad_request(by_labels.error().message()));
  out.labels_ = std::move(*by_labels);
  auto by_fields = FieldSelector::parse(fields, resource.view);
  if (!by_fields) return refuse(bad_request(by_fields.error().message()));
  out.fields_ = std::move(*by_fields);
  return out;
}

bool Selection::labels_match(std::string_view json) const {
  if (labels_.everything()) return true;
  const std::string_view labels = scan_member(scan_member(json, "metadata"), "labels");
  // Neither keys nor values of valid labels have anything to escape.
  return labels_.matches([&](std::string_view key) -> std::optional<std::string_view> {
    const std::string_view raw = scan_member(labels, key);
    return raw.size() < 2 ? std::nullopt : std::optional(raw.substr(1, raw.size() - 2));
  });
}

bool Selection::field_matches(const FieldSelector::Term& term, std::string_view json) const {
  const std::string_view raw = scan_path(json, term.path);
  std::string buffer;
  std::string_view is = raw;
  if (raw.empty() || raw == "null")
    is = selectable_value(resource_->view, Value(), term.path, buffer);
  else if (const auto text = plain_string(raw))
    is = *text;
  return (is == term.value) == term.equal;
}

bool Selection::slowly_matches(const store::Record& record) const {
  Arena arena(record.value().size() * 2);
  const auto object = read_record(arena, *catalog_, *resource_, record);
  return object && labels_.matches(object->get({"metadata", "labels"})) && fields_.matches(resource_->view, *object);
}

bool Selection::matches(const store::Record& record) const {
  if (everything()) return true;
  const bool plain = std::ranges::all_of(fields_.terms(), [](const auto& term) { return plain_path(term.path); });
  if (!plain || !served_as_stored(*resource_, record)) return slowly_matches(record);
  const std::string_view json = record.value();
  return labels_match(json) &&
         std::ranges::all_of(fields_.terms(), [&](const auto& term) { return field_matches(term, json); });
}

}  // namespace proa::kube::api
