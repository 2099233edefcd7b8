#include "kube/apiserver/access/service_account.h"

#include "base/error.h"
#include "kube/validation/names.h"

namespace proa::kube::api {

std::string service_account_user(std::string_view ns, std::string_view name) {
  return cat(kServiceAccountPrefix, ns, ":", name);
}

std::optional<ServiceAccountName> split_service_account(std::string_view user) {
  if (!user.starts_with(kServiceAccountPrefix)) return std::nullopt;
  user.remove_prefix(kServiceAccountPrefix.size());
  const size_t colon = user.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view ns = user.substr(0, colon), name = user.substr(colon + 1);
  if (!is_dns_label(ns) || !is_dns_subdomain(name)) return std::nullopt;
  return ServiceAccountName{std::string(ns), std::string(name)};
}

std::vector<std::string> service_account_groups(std::string_view ns) {
  return {"system:serviceaccounts", cat("system:serviceaccounts:", ns)};
}

}  // namespace proa::kube::api
