// Who asks, after authentication (and impersonation).
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace proa::kube::api {

struct User {
  std::string name;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;

  bool in(std::string_view group) const { return std::ranges::find(groups, group) != groups.end(); }
};

inline constexpr std::string_view kAnonymous = "system:anonymous";
inline constexpr std::string_view kAuthenticatedGroup = "system:authenticated";
inline constexpr std::string_view kUnauthenticatedGroup = "system:unauthenticated";
inline constexpr std::string_view kMastersGroup = "system:masters";
inline constexpr std::string_view kServiceAccountPrefix = "system:serviceaccount:";

// The server's own parts, which may do everything: controllers in this process that need no narrower identity.
const User& own_user();

}  // namespace proa::kube::api
