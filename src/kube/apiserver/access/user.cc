#include "kube/apiserver/access/user.h"

namespace proa::kube::api {

const User& own_user() {
  static const User user{.name = "system:apiserver",
                         .uid = {},
                         .groups = {std::string(kMastersGroup), std::string(kAuthenticatedGroup)},
                         .extra = {}};
  return user;
}

}  // namespace proa::kube::api
