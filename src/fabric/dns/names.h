// What each container may ask for: the names of those it shares a network with. Built from the records;
// the default network has no names.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fabric/dns/message.h"
#include "fabric/fabric.h"

namespace proa::fabric::dns {

class Names {
 public:
  Names() = default;
  explicit Names(std::vector<Endpoint> endpoints) : endpoints_(std::move(endpoints)) {}

  const std::vector<Endpoint>& endpoints() const { return endpoints_; }
  // What the container's question is answered with from here; nothing: ask elsewhere. Names are
  // matched without regard to case.
  std::optional<Packet> answer(std::string_view container, const Query& query) const;
  // Whether and where its other questions go; no servers: the host's.
  struct Forwarding {
    bool allowed = false;
    std::vector<std::string> servers;
  };
  Forwarding forwarding(std::string_view container) const;

 private:
  // Addresses of `name` as the container sees it; nothing when it sees no such name.
  std::optional<std::vector<Ip>> find(std::string_view container, std::string_view name) const;
  std::vector<Endpoint> endpoints_;
};

}  // namespace proa::fabric::dns
