// How a container comes to its networks.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "engine/config.h"

namespace proa::engine {

// Gives the network namespace of process `pid` its networks, and takes them back.
class Networks {
 public:
  virtual ~Networks() = default;
  virtual Result<> attach(Container& container, pid_t pid) = 0;
  // The namespace may be gone already.
  virtual Result<> detach(Container& container) = 0;
};

enum class NetworkKind : uint8_t { kNone, kHost, kContainer, kNamed };
NetworkKind network_kind(const std::string& mode);

// hosts, hostname and resolv.conf of a container, written into its folder.
Result<> write_network_files(const Container& container, const std::string& folder);

}  // namespace proa::engine
