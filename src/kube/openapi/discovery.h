// Discovery documents made from tables: the aggregated form and the legacy ones.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kube/schema/table.h"

namespace proa::kube {

// APIGroupDiscoveryList of /api (`core`) or /apis, group by group in the order of the tables, versions by Kubernetes'
// priority. `version` is apidiscovery.k8s.io's: "v2" or "v2beta1".
std::string aggregated_discovery(std::span<const Table* const> tables, bool core, std::string_view version);

std::string api_versions(std::string_view server_address);                            // /api
std::string api_group_list(std::span<const Table* const> tables);                     // /apis
std::string api_group(std::span<const Table* const> tables, std::string_view group);  // /apis/GROUP; empty if unknown
// /api/v1 and /apis/GROUP/VERSION; empty if unknown.
std::string api_resource_list(std::span<const Table* const> tables, std::string_view group, std::string_view version);

// Whether `a` comes before `b`: v2 before v1 before v1beta2 before v1beta1 before v1alpha1, others last by name.
bool version_before(std::string_view a, std::string_view b);

}  // namespace proa::kube
