// Kernel parameters that belong to a namespace: only those may be set for a container, since the
// others are the host's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/spec/spec.h"

namespace proa::oci {

// The file below /proc/sys: "net/ipv4/conf/eno2.100/rp_filter" for both "net.ipv4.conf.eno2/100.rp_filter"
// and "net/ipv4/conf/eno2.100/rp_filter" (sysctl(8): the first separator says which of '.' and '/' it
// is). Fails on empty, "." and ".." components.
Result<std::string> sysctl_path(std::string_view key);

// The namespace that keeps the parameter `path` (as sysctl_path() gives it); nullopt: the host's.
std::optional<NamespaceType> sysctl_namespace(std::string_view path);

}  // namespace proa::oci
