// The config.json that `spec` starts a bundle with. Its content is template.json beside this file.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/error.h"

namespace proa::oci {

struct TemplateOptions {
  // Made for a user without privileges: a user namespace that maps `uid` and `gid` to root, the host's
  // network, /sys bound from the host, no limits.
  bool rootless = false;
  uid_t uid = 0;
  gid_t gid = 0;
  // The host has cgroup v2 alone: the container gets a cgroup namespace too.
  bool unified_cgroup = false;
};

// The document, indented.
Result<std::string> template_config(const TemplateOptions& options);

}  // namespace proa::oci
