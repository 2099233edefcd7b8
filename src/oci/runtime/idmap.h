// User namespace mappings: written for a container's process, and kept alive in a namespace of
// their own for idmapped mounts.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// "0 100000 65536\n..." as /proc/PID/uid_map takes it.
std::string mapping_text(std::span<const IdMapping> mappings);
// What such a file says; reading ends at the first thing that is no number.
std::vector<IdMapping> parse_mapping_text(std::string_view text);

// Maps the user namespace of `pid`. Without CAP_SETUID in ours: one own id is written directly, more
// go through newuidmap(1) and newgidmap(1).
Result<> write_mappings(pid_t pid, const Linux& linux_);

// A container that joins the user namespace `fd` and has mappings too: both must say the same.
Result<> check_joined_mappings(int fd, const Linux& linux_);

// A user namespace with these mappings that no process lives in.
Result<Fd> make_mapping_namespace(const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids);

}  // namespace proa::oci::runtime
