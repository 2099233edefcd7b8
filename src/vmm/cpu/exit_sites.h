// Where in the guest exits happen, for --trace=exits. One vCPU's; on its thread, or while it does not run.
#pragma once

#include <string>
#include <unordered_map>

#include "vmm/cpu/engine.h"

namespace proa::vmm {

class ExitSites {
 public:
  void add(ExitCause cause, uint64_t rip) { ++counts_[rip << 5 | static_cast<uint64_t>(cause)]; }
  // "exit CAUSE rip ADDRESS count N", the most frequent first.
  void list(std::string& out) const;

 private:
  static_assert(static_cast<unsigned>(ExitCause::kCount) <= 32);
  // By address and cause; an address's uppermost bits repeat bit 58 where addresses are canonical.
  std::unordered_map<uint64_t, uint64_t> counts_;
};

}  // namespace proa::vmm
