// What a fabric calls what it makes on the host. Fabrics with different state folders have different names, so that
// they work side by side and none takes the other's rules or devices away.
#pragma once

#include <string>
#include <string_view>

namespace proa::fabric {

struct Names {
  std::string table = "proa";    // nf_tables
  std::string bridge = "proa0";  // of the default network
  // The pair of devices through which a connection to a published port re-enters the host, once the
  // host's own rules for incoming packets have let it pass.
  std::string entry_out = "proa-in0", entry_in = "proa-in1";
};

// The plain ones for the standard folder, else with a digest of its path.
Names names_of(std::string_view state_folder);

}  // namespace proa::fabric
