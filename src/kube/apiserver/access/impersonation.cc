#include <algorithm>

#include "base/text.h"
#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/service_account.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kUserHeader = "Impersonate-User";
constexpr std::string_view kGroupHeader = "Impersonate-Group";
constexpr std::string_view kUidHeader = "Impersonate-Uid";
constexpr std::string_view kExtraHeader = "Impersonate-Extra-";
constexpr std::string_view kAuthenticationGroup = "authentication.k8s.io";

// Whom the headers name, as they name them.
struct Wanted {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  bool nobody() const { return name.empty() && uid.empty() && groups.empty() && extra.empty(); }
};

Wanted wanted_of(const net::Headers& headers) {
  Wanted out{.name = std::string(headers.get(kUserHeader)),
             .uid = std::string(headers.get(kUidHeader)),
             .groups = {},
             .extra = {}};
  for (const std::string_view group : headers.all(kGroupHeader)) out.groups.emplace_back(group);
  for (const net::Headers::Field field : headers) {
    if (!net::equals_ignoring_case(field.name.substr(0, kExtraHeader.size()), kExtraHeader)) continue;
    const std::string key = net::ascii_lower(field.name.substr(kExtraHeader.size()));
    out.extra[net::percent_decode(key).value_or(key)].emplace_back(field.value);
  }
  return out;
}

// The rights that are needed, one by one (RBAC verb "impersonate").
class Gate {
 public:
  Gate(const User& user, const Authorizer& authorizer) : user_(user), authorizer_(authorizer) {}

  Answer<> may(std::string_view group, std::string_view resource, std::string_view subresource, std::string_view ns,
               std::string_view name) const {
    const AccessQuestion question{.user = user_,
                                  .is_resource = true,
                                  .verb = "impersonate",
                                  .group = group,
                                  .version = "v1",
                                  .ns = ns,
                                  .resource = resource,
                                  .subresource = subresource,
                                  .name = name,
                                  .path = {},
                                  .field_selector = {},
                                  .label_selector = {}};
    const Verdict verdict = authorizer_.authorize(question);
    if (verdict.decision == Decision::kAllow) return {};
    return refuse(access_refused(question, verdict.reason));
  }

 private:
  const User& user_;
  const Authorizer& authorizer_;
};

Answer<> check(const Gate& gate, const Wanted& wanted) {
  if (const auto account = split_service_account(wanted.name)) {
    TRY(gate.may("", "serviceaccounts", "", account->ns, account->name));
  } else {
    TRY(gate.may("", "users", "", "", wanted.name));
  }
  for (const std::string& group : wanted.groups) TRY(gate.may("", "groups", "", "", group));
  for (const auto& [key, values] : wanted.extra)
    for (const std::string& value : values) TRY(gate.may(kAuthenticationGroup, "userextras", key, "", value));
  if (!wanted.uid.empty()) TRY(gate.may(kAuthenticationGroup, "uids", "", "", wanted.uid));
  return {};
}

// What a user of that name has without asking.
void add_usual_groups(User& user, bool groups_given) {
  if (const auto account = split_service_account(user.name); account && !groups_given)
    user.groups = service_account_groups(account->ns);
  if (user.name == kAnonymous) {
    if (!user.in(kUnauthenticatedGroup)) user.groups.emplace_back(kUnauthenticatedGroup);
  } else if (!user.in(kAuthenticatedGroup) && !user.in(kUnauthenticatedGroup)) {
    user.groups.emplace_back(kAuthenticatedGroup);
  }
}

}  // namespace

Answer<Identity> impersonate(User user, const net::Request& request, const Authorizer& authorizer) {
  Wanted wanted = wanted_of(request.headers());
  if (wanted.nobody()) return Identity{.user = std::move(user), .real = nullptr};
  if (wanted.name.empty()) return refuse(bad_request("requested impersonation without impersonating a user"));
  TRY(check(Gate(user, authorizer), wanted));
  const bool groups_given = !wanted.groups.empty();
  User acting{.name = std::move(wanted.name),
              .uid = std::move(wanted.uid),
              .groups = std::move(wanted.groups),
              .extra = std::move(wanted.extra)};
  add_usual_groups(acting, groups_given);
  return Identity{.user = std::move(acting), .real = std::make_unique<User>(std::move(user))};
}

}  // namespace proa::kube::api
