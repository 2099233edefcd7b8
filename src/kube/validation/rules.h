// The rules of single kinds, by their files. For validate.cc.
#pragma once

#include <string_view>

#include "kube/validation/checks.h"

namespace proa::kube {

struct KindRules {
  std::string_view group, kind;
  // `old_object` is null on creation.
  void (*check)(const Spot& object, const Value& old_object);
  Faults (*name_faults)(std::string_view) = dns_subdomain_faults;
};

std::span<const KindRules> core_rules();
std::span<const KindRules> workload_rules();
std::span<const KindRules> other_rules();
std::span<const KindRules> definition_rules();
std::span<const KindRules> policy_rules();

// A schema of a definition of a custom resource: what makes it structural, and whether its parts fit together.
void check_custom_schema(const Spot& schema);

// --- shared

void check_pod_spec(const Spot& spec, bool in_template = true);
void check_pod_update(const Spot& pod, const Value& old_pod);
// By "ephemeralcontainers", "resize" or "binding", which change what an update may not.
void check_pod_subresource(const Spot& pod, const Value& old_pod, std::string_view subresource);
// `selector` has to match the labels of `template`.
void check_pod_template(const Spot& pod_template, const Value& selector, bool label_selector = true);
void check_claim_spec(const Spot& spec);
void check_resources(const Spot& resources);
// Each value a quantity that is not negative; names qualified.
void check_quantities(const Spot& list);
void check_immutable(const Spot& field, const Value& old_value, std::string_view detail = "field is immutable");
void check_node_selector(const Spot& selector);
void check_config_data(const Spot& object);
void check_port_or_name(const Spot& port);
void check_port(const Spot& port);
void check_ip(const Spot& ip);
// A whole number that is not negative or a percentage.
void check_count_or_percent(const Spot& value);

}  // namespace proa::kube
