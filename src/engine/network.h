// How a container comes to its networks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/config.h"
#include "engine/folders.h"

namespace proa::engine {

enum class NetworkKind : uint8_t { kNone, kHost, kContainer, kNamed };
NetworkKind network_kind(const std::string& mode);

// hosts, hostname and resolv.conf of a container, written into its folder.
// The containers' side of fabric/.
class Networks {
 public:
  explicit Networks(const Folders& folders) : folders_(folders) {}
  // ENOENT: "network ... not found".
  Result<> check(const ContainerConfig& config) const;
  // Gives the network namespace of process `pid` its networks: fills state.networks and state.ports. The shim is to
  // hold what reserves the host's ports.
  Result<> attach(Container& container, pid_t pid, const std::string& shim_folder) const;
  // One more network for a running container, and one less.
  Result<> connect(Container& container, const NetworkConfig& network, int gateway_priority) const;
  Result<> disconnect(Container& container, const std::string& network) const;
  // The namespace may be gone already.
  Result<> detach(const Container& container) const;
  // Its networks know it by its new name from now on.
  Result<> rename(const Container& container) const;
  // ... and it knows others by the links it has now.
  Result<> relink(const Container& container) const;
  // What killed starts left.
  Result<> sweep() const;

 private:
  const Folders folders_;
};

// "NAME[:ALIAS]" of --link: the container, and what it is to be called, which is its name if nothing else is said.
// An empty part is an error.
Result<std::pair<std::string, std::string>> parse_link(const std::string& text);

Result<> write_network_files(const Container& container, const std::string& folder);

}  // namespace proa::engine
