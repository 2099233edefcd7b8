#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "kube/object/json.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

constexpr size_t kMostAnnotationBytes = 256u << 10;

void check_annotations(const Spot& annotations) {
  size_t total = 0;
  for (const Member& member : annotations.value().members()) {
    // Upper case is let through in the prefix.
    std::string key(member.key);
    std::ranges::transform(key, key.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    for (const std::string& fault : qualified_name_faults(key))
      annotations.with(Value::view(member.key)).invalid(fault);
    total += member.key.size() + member.value.as_string().size();
  }
  if (total > kMostAnnotationBytes) annotations.too_long(kMostAnnotationBytes);
}

void check_owner_references(const Spot& references) {
  std::string controller;
  for (size_t i = 0; i < references.size(); ++i) {
    const Spot reference = references.item(i);
    const std::string_view version = reference["apiVersion"].text();
    if (version.empty())
      reference["apiVersion"].invalid("version must not be empty");
    else if (std::ranges::count(version, '/') > 1)
      reference["apiVersion"].invalid("must be of the form GROUP/VERSION");
    for (const std::string_view field : {"kind", "name", "uid"})
      if (reference[field].text().empty()) reference[field].invalid(cat(field, " must not be empty"));
    if (version == "v1" && reference["kind"].text() == "Event")
      reference.invalid(cat(version, ", Kind=Event is disallowed from being an owner"));
    if (!reference["controller"].value().as_bool()) continue;
    if (!controller.empty())
      references.invalid(cat("Only one reference can have Controller set to true. Found \"true\" in references for ",
                             controller, " and ", reference["kind"].text(), "/", reference["name"].text()));
    controller = cat(reference["kind"].text(), "/", reference["name"].text());
  }
}

void check_finalizers(const Spot& finalizers, bool standard) {
  for (size_t i = 0; i < finalizers.size(); ++i) {
    const Spot finalizer = finalizers.item(i);
    finalizer.invalid(qualified_name_faults(finalizer.text()));
    const bool qualified = finalizer.text().find('/') != std::string_view::npos;
    static constexpr std::string_view kStandard[] = {"kubernetes", "orphan", "foregroundDeletion"};
    if (standard && !qualified && std::ranges::find(kStandard, finalizer.text()) == std::end(kStandard))
      finalizer.invalid("name is neither a standard finalizer name nor is it fully qualified");
  }
}

void check_managed_fields(const Spot& entries) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const Spot entry = entries.item(i);
    const std::string_view operation = entry["operation"].text();
    if (operation != "Apply" && operation != "Update") entry["operation"].invalid("must be `Apply` or `Update`");
    if (!entry["fieldsType"].empty() && entry["fieldsType"].text() != "FieldsV1")
      entry["fieldsType"].invalid("must be `FieldsV1`");
    if (entry["manager"].text().size() > 128) entry["manager"].too_long(128);
  }
}

}  // namespace

void validate_labels(const Spot& labels) {
  for (const Member& member : labels.value().members()) {
    labels.with(Value::view(member.key)).invalid(qualified_name_faults(member.key));
    labels.with(member.value).invalid(label_value_faults(member.value.as_string()));
  }
}

void validate_metadata(const Spot& metadata, bool namespaced, Faults (*name_faults)(std::string_view),
                       bool standard_finalizers) {
  const Spot name = metadata["name"], generate = metadata["generateName"], space = metadata["namespace"];
  if (!generate.empty()) {
    // A trailing hyphen is followed by the generated part.
    std::string_view prefix = generate.text();
    while (prefix.size() > 1 && prefix.ends_with('-')) prefix.remove_suffix(1);
    generate.invalid(name_faults(prefix));
  }
  if (name.empty())
    name.required("name or generateName is required");
  else
    name.invalid(name_faults(name.text()));
  if (namespaced) {
    if (space.empty())
      space.required();
    else
      space.invalid(dns_label_faults(space.text()));
  } else if (!space.empty()) {
    space.forbidden("not allowed on this type");
  }
  if (metadata["generation"].number() < 0) metadata["generation"].invalid("must be greater than or equal to 0");
  validate_labels(metadata["labels"]);
  check_annotations(metadata["annotations"]);
  check_owner_references(metadata["ownerReferences"]);
  check_finalizers(metadata["finalizers"], standard_finalizers);
  check_managed_fields(metadata["managedFields"]);
}

void validate_metadata_update(const Spot& metadata, const Value& old_metadata) {
  for (const std::string_view field :
       {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"})
    check_immutable(metadata[field], old_metadata.get(field));
  if (metadata["resourceVersion"].empty()) metadata["resourceVersion"].invalid("must be specified for an update");
  if (metadata["generation"].number() < old_metadata.get("generation").as_int())
    metadata["generation"].invalid("must not be decremented");
  if (!old_metadata.get("deletionTimestamp").is_null())
    for (size_t i = 0; i < metadata["finalizers"].size(); ++i) {
      const Spot finalizer = metadata["finalizers"].item(i);
      const std::span<Value> before = old_metadata.get("finalizers").items();
      if (std::ranges::none_of(before, [&](const Value& known) { return known.as_string() == finalizer.text(); }))
        metadata["finalizers"].forbidden(
            cat("no new finalizers can be added if the object is being deleted, found new finalizers []string{",
                quoted(finalizer.text()), "}"));
    }
}

void validate_label_selector(const Spot& selector) {
  if (!selector.present()) return;
  validate_labels(selector["matchLabels"]);
  const Spot expressions = selector["matchExpressions"];
  for (size_t i = 0; i < expressions.size(); ++i) {
    const Spot expression = expressions.item(i);
    const std::string_view op = expression["operator"].text();
    const Spot values = expression["values"];
    if (op == "In" || op == "NotIn") {
      if (values.size() == 0) values.required("must be specified when `operator` is 'In' or 'NotIn'");
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (values.size() > 0) values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else {
      expression["operator"].invalid("not a valid selector operator");
    }
    expression["key"].invalid(qualified_name_faults(expression["key"].text()));
    for (size_t j = 0; j < values.size(); ++j) values.item(j).invalid(label_value_faults(values.item(j).text()));
  }
}

void check_immutable(const Spot& field, const Value& old_value, std::string_view detail) {
  const bool both_empty =
      field.empty() && (old_value.is_null() || (old_value.is_string() && old_value.as_string().empty()) ||
                        ((old_value.is_array() || old_value.is_object()) && old_value.size() == 0));
  if (!both_empty && !equal(field.value(), old_value)) field.invalid(detail);
}

}  // namespace proa::kube
