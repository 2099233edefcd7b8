// The names that service accounts have as users.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/access/user.h"

namespace proa::kube::api {

struct ServiceAccountName {
  std::string ns, name;
};
std::string service_account_user(std::string_view ns, std::string_view name);
// Of "system:serviceaccount:NAMESPACE:NAME", if both are names.
std::optional<ServiceAccountName> split_service_account(std::string_view user);
std::vector<std::string> service_account_groups(std::string_view ns);

}  // namespace proa::kube::api
