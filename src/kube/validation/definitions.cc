// The rules of CustomResourceDefinitions but for their schemas (schemas.cc).
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/custom/definition.h"
#include "kube/object/json.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

// All faults of a name are one error, as upstream joins them.
void joined(const Spot& spot, const Faults& faults, std::string_view before = {}) {
  std::string all;
  for (const std::string& fault : faults) all += cat(all.empty() ? "" : ",", fault);
  if (!all.empty()) spot.invalid(cat(before, all));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

void check_names(const Spot& names) {
  constexpr std::string_view kMixed = "may have mixed case, but should otherwise match: ";
  for (const std::string_view field : {"plural", "singular"})
    if (!names[field].empty()) joined(names[field], dns1035_label_faults(names[field].text()));
  for (const std::string_view field : {"kind", "listKind"})
    if (!names[field].empty()) joined(names[field], dns1035_label_faults(lower(names[field].text())), kMixed);
  for (const std::string_view field : {"shortNames", "categories"})
    for (size_t i = 0; i < names[field].size(); ++i)
      joined(names[field].item(i), dns1035_label_faults(names[field].item(i).text()));
  if (!names["kind"].empty() && names["kind"].text() == names["listKind"].text())
    names["listKind"].invalid("kind and listKind may not be the same");
}

// A path with points that may be the place of a number or text: ".spec.replicas".
bool simple_path(std::string_view path) {
  if (!path.starts_with('.') || path.size() < 2) return false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view name = path.substr(0, path.find('.'));
    if (name.empty()) return false;
    if (!std::ranges::all_of(
            name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }))
      return false;
    path.remove_prefix(name.size());
  }
  return true;
}

void check_scale(const Spot& scale) {
  const auto path = [&](std::string_view field, std::initializer_list<std::string_view> below) {
    const Spot spot = scale[field];
    if (spot.empty()) {
      if (field != "labelSelectorPath") spot.required();
      return;
    }
    std::string roots, words;
    bool fits = false;
    for (const std::string_view root : below) {
      fits |= spot.text().starts_with(cat(root, ".")) && spot.text().size() > root.size() + 1;
      words += cat(words.empty() ? "" : " or ", root);
    }
    if (!simple_path(spot.text()))
      spot.invalid("should be a json path under " + words);
    else if (!fits)
      spot.invalid("should be a json path under " + words);
  };
  path("specReplicasPath", {".spec"});
  path("statusReplicasPath", {".status"});
  path("labelSelectorPath", {".status", ".spec"});
}

void check_column(const Spot& column) {
  if (column["name"].empty()) column["name"].required();
  const Spot type = column["type"], format = column["format"];
  if (type.empty())
    type.required("must be one of boolean,date,integer,number,string");
  else if (constexpr std::string_view kTypes[] = {"integer", "number", "string", "boolean", "date"};
           std::ranges::find(kTypes, type.text()) == std::end(kTypes))
    type.invalid("must be one of boolean,date,integer,number,string");
  constexpr std::string_view kFormats[] = {"int32", "int64", "float",     "double",
                                           "byte",  "date",  "date-time", "password"};
  if (!format.empty() && std::ranges::find(kFormats, format.text()) == std::end(kFormats))
    format.invalid("must be one of byte,date,date-time,double,float,int32,int64,password");
  const Spot path = column["jsonPath"];
  if (path.empty())
    path.required();
  else if (!path.text().starts_with('.'))
    path.invalid("is not a JSON path that starts with a point");
}

// What the schema says of the place a simple path leads to; null if it leads nowhere.
Value schema_at(const Value& schema, std::string_view path) {
  Value here = schema;
  while (!path.empty() && here.is_object()) {
    path.remove_prefix(1);
    const std::string_view name = path.substr(0, path.find('.'));
    here = here.get("properties").get(name);
    path.remove_prefix(name.size());
  }
  return here;
}

void check_selectable(const Spot& fields, const Value& schema) {
  if (fields.size() > 8) fields.too_many(8);
  std::set<std::string_view> seen;
  for (size_t i = 0; i < fields.size(); ++i) {
    const Spot path = fields.item(i)["jsonPath"];
    if (path.empty()) {
      path.required();
      continue;
    }
    if (!simple_path(path.text())) {
      path.invalid("is an invalid path: must be a simple path of fields");
      continue;
    }
    if (!seen.insert(path.text()).second) path.duplicate();
    if (path.text().starts_with(".metadata.") || path.text() == ".metadata") {
      path.invalid("must not point to fields in metadata");
      continue;
    }
    const Value there = schema_at(schema, path.text());
    const std::string_view type = there.string("type");
    if (!there.is_object())
      path.invalid("is an invalid path: does not refer to a valid field");
    else if (type != "string" && type != "boolean" && type != "integer")
      path.invalid(
          "must point to a field of type string, boolean or integer. Enum string fields and strings with "
          "formats are allowed.");
  }
}

// What all versions have alike upstream keeps, and names, at the top of the spec.
bool alike(const Value& versions, std::string_view field) {
  const std::span<Value> all = versions.items();
  return std::ranges::all_of(all, [&](const Value& one) { return equal(one.get(field), all[0].get(field)); });
}

void check_version_parts(const Spot& spec) {
  const Spot versions = spec["versions"];
  const Value list = versions.value();
  const bool one_schema = alike(list, "schema"), one_scale = alike(list, "subresources");
  const bool one_columns = alike(list, "additionalPrinterColumns"), one_fields = alike(list, "selectableFields");
  for (size_t i = 0; i < versions.size(); ++i) {
    const Spot version = versions.item(i);
    const auto part = [&](bool shared, std::string_view field, std::string_view name) {
      return shared ? spec[name].with(version.value().get(field)) : version[field];
    };
    const Spot schema = part(one_schema, "schema", "validation")["openAPIV3Schema"];
    if (schema.value().is_object()) {
      if (!one_schema || i == 0) check_custom_schema(schema);
    } else {
      version["schema"]["openAPIV3Schema"].required("schemas are required");
    }
    if (const Spot scale = part(one_scale, "subresources", "subresources")["scale"];
        scale.present() && (!one_scale || i == 0))
      check_scale(scale);
    const Spot columns = part(one_columns, "additionalPrinterColumns", "additionalPrinterColumns");
    for (size_t j = 0; j < columns.size() && (!one_columns || i == 0); ++j) check_column(columns.item(j));
    if (!one_fields || i == 0)
      check_selectable(part(one_fields, "selectableFields", "selectableFields"), schema.value());
    if (version["deprecationWarning"].present()) {
      const Spot warning = version["deprecationWarning"];
      if (!version["deprecated"].value().as_bool())
        warning.invalid("can only be set for deprecated versions");
      else if (warning.text().size() > 256)
        warning.too_long(256);
    }
  }
}

void check_versions(const Spot& spec) {
  const Spot versions = spec["versions"];
  size_t stored = 0;
  bool unique = true, served = false;
  std::set<std::string_view> names;
  for (size_t i = 0; i < versions.size(); ++i) {
    const Spot version = versions.item(i);
    stored += version["storage"].value().as_bool() ? 1 : 0;
    served |= version["served"].value().as_bool();
    unique &= names.insert(version["name"].text()).second;
    joined(version["name"], dns1035_label_faults(version["name"].text()));
  }
  if (!unique) versions.invalid("must contain unique version names");
  if (stored != 1) versions.invalid("must have exactly one version marked as storage version");
  static_cast<void>(served);
}

void check_conversion(const Spot& conversion) {
  if (!conversion.present()) return;
  const Spot strategy = conversion["strategy"], webhook = conversion["webhook"];
  if (strategy.empty()) return strategy.required();
  if (strategy.text() == "None") {
    if (webhook.present()) webhook.forbidden("should not be set when strategy is not set to Webhook");
    return;
  }
  if (strategy.text() != "Webhook") return strategy.unsupported({"None", "Webhook"});
  if (!webhook["clientConfig"].present()) webhook["clientConfig"].required("required when strategy is set to Webhook");
  if (webhook["conversionReviewVersions"].size() == 0) webhook["conversionReviewVersions"].required();
}

void check_approval(const Spot& definition, bool creates) {
  const std::string_view group = definition.value().string({"spec", "group"});
  const bool guarded =
      group == "k8s.io" || group == "kubernetes.io" || group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
  if (!guarded || !creates) return;
  const Spot annotation = definition["metadata"]["annotations"].key(kApprovedAnnotation);
  if (annotation.empty())
    annotation.required(
        "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
        "https://github.com/kubernetes/enhancements/pull/1111");
  else if (!annotation.text().starts_with("unapproved") && annotation.text().find("://") == std::string_view::npos)
    annotation.invalid(
        "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason "
        "starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111");
}

void check_stored_versions(const Spot& definition, const Value& old_object) {
  const Spot stored = definition["status"]["storedVersions"];
  if (old_object.is_null()) return;
  const Value versions = definition.value().get({"spec", "versions"});
  for (size_t i = 0; i < stored.size(); ++i) {
    const auto same = [&](const Value& version) { return version.string("name") == stored.item(i).text(); };
    if (std::ranges::none_of(versions.items(), same))
      stored.item(i).invalid("missing from spec.versions; " + cat(stored.item(i).text()) +
                             " was previously a storage version, and must remain in spec.versions until a storage "
                             "migration ensures no data remains persisted in it");
  }
}

void check_definition(const Spot& definition, const Value& old_object) {
  const Spot spec = definition["spec"], names = spec["names"], group = spec["group"], scope = spec["scope"];
  const std::string_view name = definition.value().string({"metadata", "name"});
  if (name != cat(names["plural"].text(), ".", group.text()))
    definition["metadata"]["name"].invalid("must be spec.names.plural+\".\"+spec.group");
  if (group.empty())
    group.required();
  else if (const Faults faults = dns_subdomain_faults(group.text()); !faults.empty())
    joined(group, faults);
  else if (group.text().find('.') == std::string_view::npos)
    group.invalid("should be a domain with at least one dot");
  if (scope.empty())
    scope.required();
  else if (scope.text() != "Cluster" && scope.text() != "Namespaced")
    scope.unsupported({"Cluster", "Namespaced"});
  if (spec["preserveUnknownFields"].value().as_bool()) spec["preserveUnknownFields"].invalid("must be false");
  check_versions(spec);
  for (const std::string_view field : {"plural", "singular", "kind", "listKind"})
    if (names[field].empty()) names[field].required();
  check_names(names);
  check_version_parts(spec);
  check_conversion(spec["conversion"]);
  check_approval(definition, old_object.is_null());
  check_stored_versions(definition, old_object);
  if (old_object.is_null()) return;
  check_immutable(group, old_object.get({"spec", "group"}));
  check_immutable(names["plural"], old_object.get({"spec", "names", "plural"}));
  if (definition_is(old_object, "Established")) {
    check_immutable(scope, old_object.get({"spec", "scope"}));
    check_immutable(names["kind"], old_object.get({"spec", "names", "kind"}));
  }
}

constexpr KindRules kRules[] = {
    {"apiextensions.k8s.io", "CustomResourceDefinition", check_definition},
};

}  // namespace

std::span<const KindRules> definition_rules() { return kRules; }

}  // namespace proa::kube
