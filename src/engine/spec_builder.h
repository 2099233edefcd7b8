// A container's config.json for the OCI runtime, with the defaults Docker's users know.
#pragma once

#include <string>

#include "base/error.h"
#include "engine/config.h"

namespace proa::engine {

// A namespace of another container's first process, or the host's.
struct NamespaceChoice {
  bool host = false;
  int64_t join_pid = 0;
};

struct SpecInput {
  const Container& container;
  int root = -1;              // the root file system, for its users
  std::string root_path;      // as the runtime finds it
  std::string folder;         // of hosts, hostname and resolv.conf; empty: none are mounted
  std::string shared_memory;  // where /dev/shm of ipc.join_pid is
  std::string init;           // proa-shim on the host: for --init, and what a sandbox's holder runs
  NamespaceChoice network, pid, ipc, uts, cgroup;
  // Where volumes are on the host, one for each of resolved.mounts.
  std::vector<std::string> mount_sources;
};

// Errors name the flag or the field.
Result<std::string> build_spec(const SpecInput& input);

// Capabilities of a container, as this host lets them be had.
Result<uint64_t> capabilities_of(const ContainerConfig& config);

// "linux.resources" alone, as JSON, for update.
Result<std::string> build_resources(const ContainerConfig& config);

}  // namespace proa::engine
