// What every namespace has from its first moment.
#pragma once

#include <string_view>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

inline constexpr std::string_view kDefaultAccount = "default", kRootCa = "kube-root-ca.crt";

Value default_account(Arena& arena, std::string_view ns);
// The data of the config map: {"ca.crt": PEM}; null as long as the cluster has none.
Value root_ca_data(Arena& arena, const Reader& reader);
Value root_ca_map(Arena& arena, std::string_view ns, const Value& data);

// Puts a new object of a built-in kind into the transaction of `w`, on condition that it is not there. `object` gets
// uid and creation time.
void put_together(Admission& w, const Resource& resource, std::string_view key, Value object);

}  // namespace proa::kube::api
