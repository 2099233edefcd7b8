// One machine in this process, from its start to its end: with its API, its console, and its folder in the store.
#pragma once

#include <chrono>
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
  std::optional<std::string> guest;  // our init is in the guest: the fields of its kGo
  std::string api_socket;            // configured and started over the API, here and in the folder; "": at once
  std::string metadata;              // JSON for the metadata service, from the start on; "": none
  std::string modules;               // of a new machine with our init: their folder; "" looks for it (guest_disk.h)
  // ... templates of machines that have booted up to our init (template_store.h); "": it boots.
  std::string templates;
};

// How it came to run.
struct StartReport {
  enum class Way : uint8_t { kBooted, kBootedAndKept, kRestored } way = Way::kBooted;
  std::string why;                              // it was not kept
  std::optional<std::chrono::microseconds> up;  // our init was up, after so long
  std::string text() const;                     // "start restored\nguest-up-us 41234\n"
};

// What the caller takes part in; each may be missing.
struct MonitorHooks {
  std::function<void(MicroVm&)> waiting;                    // with an api_socket: it can be reached, and is not started
  std::function<void(MicroVm&)> running;                    // it runs, and can be reached
  std::function<void()> guest_up;                           // the guest's init serves sessions; on a thread of its own
  std::function<void(const std::string&)> guest_failed;     // ... or could not set up what it was to; on that thread
  std::function<void(std::string_view)> said;               // what the guest writes, on vCPU threads
  std::function<void(MicroVm&, const StartReport&)> ended;  // it has ended, or never started, and is about to go
};

// Runs it; returns when it has ended. `status` of the end is the workload's if the guest's init told of one.
Result<End> run_machine(VmStore::Claim claim, MonitorPlan plan, const MonitorHooks& hooks);

// A request to a running machine's API; the answer's body. Errors are the API's own words.
Result<std::string> ask_machine(const VmRecord& record, std::string_view method, std::string_view path,
                                std::string_view body = {});

}  // namespace proa::vmm
