// The rules of admission policies and their bindings, and of devices (resource.k8s.io).
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

bool blank(const Spot& text) { return text.text().find_first_not_of(" \t\r\n") == std::string_view::npos; }

// --- admissionregistration.k8s.io

void check_expression(const Spot& spot) {
  if (blank(spot)) spot.required();
}

void check_validations(const Spot& validations) {
  for (size_t i = 0; i < validations.size(); ++i) {
    const Spot validation = validations.item(i), message = validation["message"], reason = validation["reason"];
    if (blank(validation["expression"])) validation["expression"].required("expression is not specified");
    if (!message.empty() && blank(message)) message.invalid("message must be non-empty if specified");
    if (message.text().find('\n') != std::string_view::npos) message.invalid("message must not contain line breaks");
    if (message.empty() && validation["expression"].text().find('\n') != std::string_view::npos)
      message.required("message must be specified if expression contains line breaks");
    if (reason.present()) reason.one_of({"Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"});
  }
}

void check_named_expressions(const Spot& list, Faults (*faults)(std::string_view), size_t most) {
  if (list.size() > most) list.too_many(most);
  std::set<std::string_view> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const Spot name = list.item(i)["name"];
    if (name.empty())
      name.required();
    else
      name.invalid(faults(name.text()));
    if (!seen.insert(name.text()).second) name.duplicate();
    check_expression(list.item(i)["expression"]);
  }
}

Faults cel_name_faults(std::string_view text) {
  const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  const bool fine = !text.empty() && letter(text.front()) && std::ranges::all_of(text, [&](char c) {
    return letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  return fine ? Faults() : Faults{"name is not a valid CEL identifier"};
}

void check_match(const Spot& match) {
  if (!match.present()) return;
  validate_label_selector(match["namespaceSelector"]);
  validate_label_selector(match["objectSelector"]);
  for (const std::string_view field : {"resourceRules", "excludeResourceRules"})
    for (size_t i = 0; i < match[field].size(); ++i) {
      const Spot rule = match[field].item(i);
      if (rule["operations"].size() == 0) rule["operations"].required();
      for (size_t j = 0; j < rule["operations"].size(); ++j)
        rule["operations"].item(j).one_of({"*", "CONNECT", "CREATE", "DELETE", "UPDATE"});
      for (const std::string_view list : {"apiGroups", "apiVersions", "resources"})
        if (rule[list].size() == 0) rule[list].required();
    }
}

void check_policy(const Spot& policy, const Value&) {
  constexpr std::string_view kOne = "validations or auditAnnotations must contain at least one item";
  const Spot spec = policy["spec"], kind = spec["paramKind"], match = spec["matchConstraints"];
  spec["failurePolicy"].one_of({"Fail", "Ignore"});
  if (kind.present()) {
    if (kind["apiVersion"].empty()) kind["apiVersion"].required();
    if (kind["kind"].empty()) kind["kind"].required();
  }
  if (!match.present())
    match.required();
  else if (match["resourceRules"].size() == 0)
    match["resourceRules"].required();
  check_match(match);
  if (spec["validations"].size() == 0 && spec["auditAnnotations"].size() == 0) {
    spec["validations"].required(kOne);
    spec["auditAnnotations"].required(kOne);
  }
  check_named_expressions(spec["matchConditions"], qualified_name_faults, 64);
  check_named_expressions(spec["variables"], cel_name_faults, SIZE_MAX);
  check_validations(spec["validations"]);
  std::set<std::string_view> keys;
  for (size_t i = 0; i < spec["auditAnnotations"].size(); ++i) {
    const Spot annotation = spec["auditAnnotations"].item(i), key = annotation["key"];
    key.invalid(qualified_name_faults(cat(policy.value().string({"metadata", "name"}), "/", key.text())));
    if (!keys.insert(key.text()).second) key.duplicate();
    if (blank(annotation["valueExpression"]))
      annotation["valueExpression"].required("valueExpression is not specified");
  }
}

void check_actions(const Spot& actions) {
  if (actions.size() == 0) return actions.required("at least one validation action is required");
  std::set<std::string_view> seen;
  for (size_t i = 0; i < actions.size(); ++i) {
    actions.item(i).one_of({"Audit", "Deny", "Warn"});
    if (!seen.insert(actions.item(i).text()).second) actions.item(i).duplicate();
  }
  if (seen.contains("Deny") && seen.contains("Warn"))
    actions.invalid(
        "must not contain both \"Deny\" and \"Warn\" (repeating the same validation failure information in the API "
        "response and headers serves no purpose)");
}

void check_binding(const Spot& binding, const Value&) {
  const Spot spec = binding["spec"], name = spec["policyName"], params = spec["paramRef"];
  if (name.empty())
    name.required();
  else
    name.invalid(dns_subdomain_faults(name.text()));
  if (params.present()) {
    if (!params["name"].empty() && params["selector"].present())
      params["name"].forbidden("name and selector are mutually exclusive");
    else if (params["name"].empty() && !params["selector"].present())
      params.required("one of name or selector must be specified");
    if (params["parameterNotFoundAction"].empty())
      params["parameterNotFoundAction"].required();
    else
      params["parameterNotFoundAction"].one_of({"Allow", "Deny"});
  }
  check_match(spec["matchResources"]);
  check_actions(spec["validationActions"]);
}

// --- resource.k8s.io

void check_selectors(const Spot& selectors) {
  if (selectors.size() > 32) selectors.too_many(32);
  for (size_t i = 0; i < selectors.size(); ++i) {
    const Spot cel = selectors.item(i)["cel"];
    if (!cel.present()) {
      cel.required();
      continue;
    }
    if (cel["expression"].text().size() > 10 * 1024) cel["expression"].too_long(10 * 1024);
    if (blank(cel["expression"])) cel["expression"].required();
  }
}

void check_tolerations(const Spot& tolerations) {
  for (size_t i = 0; i < tolerations.size(); ++i) {
    const Spot one = tolerations.item(i), key = one["key"], op = one["operator"];
    if (!key.empty()) key.invalid(qualified_name_faults(key.text()));
    if (op.text() == "Exists" && !one["value"].empty()) one["value"].invalid("must be empty for operator `Exists`");
    if (key.empty() && op.text() != "Exists") op.invalid("operator must be `Exists` when `key` is empty");
  }
}

void check_exact(const Spot& request) {
  const Spot name = request["deviceClassName"], mode = request["allocationMode"], count = request["count"];
  if (name.empty())
    name.required();
  else
    name.invalid(dns_subdomain_faults(name.text()));
  check_selectors(request["selectors"]);
  check_tolerations(request["tolerations"]);
  if (mode.text() == "All") {
    if (count.number() != 0) count.invalid("must not be specified when allocationMode is 'All'");
  } else if (mode.text() == "ExactCount") {
    if (count.number() <= 0) count.invalid("must be greater than zero");
  } else if (!mode.empty()) {
    mode.unsupported({"All", "ExactCount"});
  }
}

void check_request_name(const Spot& name, std::set<std::string>& seen, std::string_view before = {}) {
  if (name.empty()) return name.required();
  name.invalid(dns_label_faults(name.text()));
  if (!seen.insert(cat(before, name.text())).second) name.duplicate();
}

void check_claim_devices(const Spot& devices) {
  const Spot requests = devices["requests"];
  std::set<std::string> names;
  if (requests.size() > 32) requests.too_many(32);
  for (size_t i = 0; i < requests.size(); ++i) {
    const Spot request = requests.item(i), exactly = request["exactly"], first = request["firstAvailable"];
    check_request_name(request["name"], names);
    if (exactly.present() && first.size() > 0)
      request.invalid("exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
    else if (!exactly.present() && first.size() == 0)
      request.required("exactly one of `exactly` or `firstAvailable` is required");
    if (exactly.present()) check_exact(exactly);
    if (first.size() > 8) first.too_many(8);
    for (size_t j = 0; j < first.size(); ++j) {
      check_request_name(first.item(j)["name"], names, cat(request["name"].text(), "/"));
      check_exact(first.item(j));
    }
  }
  for (size_t i = 0; i < devices["constraints"].size(); ++i) {
    const Spot constraint = devices["constraints"].item(i), wanted = constraint["requests"];
    for (size_t j = 0; j < wanted.size(); ++j)
      if (!names.contains(std::string(wanted.item(j).text())))
        wanted.item(j).invalid("must be the name of a request in the claim");
    if (constraint["matchAttribute"].empty() && constraint["distinctAttribute"].empty())
      constraint.required("exactly one of `matchAttribute` or `distinctAttribute` is required");
  }
}

void check_device_claim(const Spot& claim, const Value& old_claim) {
  if (!old_claim.is_null()) return check_immutable(claim["spec"], old_claim.get("spec"));
  check_claim_devices(claim["spec"]["devices"]);
}
void check_device_claim_template(const Spot& pattern, const Value&) {
  check_claim_devices(pattern["spec"]["spec"]["devices"]);
}

void check_device_class(const Spot& device_class, const Value&) {
  check_selectors(device_class["spec"]["selectors"]);
  if (device_class["spec"]["config"].size() > 32) device_class["spec"]["config"].too_many(32);
}

void check_slice(const Spot& slice, const Value& old_slice) {
  const Spot spec = slice["spec"], driver = spec["driver"], pool = spec["pool"], devices = spec["devices"];
  if (driver.empty())
    driver.required();
  else
    driver.invalid(dns_subdomain_faults(driver.text()));
  if (pool["name"].empty()) pool["name"].required();
  if (pool["resourceSliceCount"].number() <= 0) pool["resourceSliceCount"].invalid("must be greater than zero");
  pool["generation"].not_negative();
  int places = spec["nodeName"].empty() ? 0 : 1;
  places += spec["nodeSelector"].present() ? 1 : 0;
  places += spec["allNodes"].value().as_bool() ? 1 : 0;
  places += spec["perDeviceNodeSelection"].value().as_bool() ? 1 : 0;
  constexpr std::string_view kOne =
      "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (places == 0) spec.required(kOne);
  if (places > 1) spec.invalid(cat(kOne, ", but multiple fields are set"));
  if (devices.size() > 128) devices.too_many(128);
  std::set<std::string_view> names;
  for (size_t i = 0; i < devices.size(); ++i) {
    const Spot name = devices.item(i)["name"];
    name.empty() ? name.required() : name.invalid(dns_label_faults(name.text()));
    if (!names.insert(name.text()).second) name.duplicate();
  }
  if (old_slice.is_null()) return;
  check_immutable(driver, old_slice.get({"spec", "driver"}));
  check_immutable(pool["name"], old_slice.get({"spec", "pool", "name"}));
  check_immutable(spec["nodeName"], old_slice.get({"spec", "nodeName"}));
}

constexpr KindRules kRules[] = {
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicy", check_policy},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", check_binding},
    {"resource.k8s.io", "DeviceClass", check_device_class},
    {"resource.k8s.io", "ResourceClaim", check_device_claim},
    {"resource.k8s.io", "ResourceClaimTemplate", check_device_claim_template},
    {"resource.k8s.io", "ResourceSlice", check_slice},
};

}  // namespace

std::span<const KindRules> policy_rules() { return kRules; }

}  // namespace proa::kube
