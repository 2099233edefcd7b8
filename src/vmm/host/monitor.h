// One machine in this process, from its start to its end: with its API, its console, and its folder in the store.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "vmm/api/config.h"
#include "vmm/api/microvm.h"
#include "vmm/host/store.h"

namespace proa::vmm {

struct MonitorPlan {
  VmConfig config;                   // of a new machine
  std::optional<SnapshotLoad> load;  // or this, in place of it
  MicroVm::Options options;          // serial_output is the monitor's own
  bool vsock = true;                 // a socket device, on vsock.sock in the folder
};

// What the caller takes part in; each may be missing.
struct MonitorHooks {
  std::function<void(MicroVm&)> running;       // it runs, and can be reached
  std::function<void(std::string_view)> said;  // what the guest writes, on vCPU threads
  std::function<void(MicroVm&)> ended;         // it has ended, and is about to go
};

// Runs it; returns when it has ended.
Result<End> run_machine(VmStore::Claim claim, MonitorPlan plan, const MonitorHooks& hooks);

// A request to a running machine's API; the answer's body. Errors are the API's own words.
Result<std::string> ask_machine(const VmRecord& record, std::string_view method, std::string_view path,
                                std::string_view body = {});

}  // namespace proa::vmm
