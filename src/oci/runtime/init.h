// The container's first process, from clone to the stage.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/runtime/namespaces.h"
#include "oci/runtime/rootfs.h"
#include "oci/runtime/state.h"
#include "oci/runtime/sync.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

struct InitContext {
  const Spec* spec = nullptr;
  NamespacePlan namespaces;
  RootfsContext rootfs;
  kernel::cgroup::Location cgroup;  // what rootfs.cgroup points to
  Fd stage_program;
  Fd listener;                            // start.sock; invalid when the process is to run at once
  Sync sync;                              // the child's end
  bool await_parent = false;              // wait for 'c': mappings and control groups are being made meanwhile
  bool labelled = false;                  // a security label will be written: keep the host's procfs at hand
  Fd proc;                                // its root
  std::string keyring;                    // session keyring to join; empty: keep the runtime's
  const ContainerState* state = nullptr;  // for hooks
  pid_t pid = 0;                          // ours on the host, found out when a hook needs it
  bool runtime_hooks = false;             // prestart or createRuntime: stop for the runtime to run them
};

// What the child found out that the plan needs ('M').
struct SetupDone {
  bool cwd_as_user = false;
  int sync = -1, listener = -1, proc = -1;  // numbers in the child
  std::string home;
};
std::string encode(const SetupDone& done);
SetupDone decode_setup(std::string_view body);

// Places of the cgroup's hierarchies, for the child that waits for them.
std::string encode_hierarchies(const kernel::cgroup::Location& location);

// Never returns: ends as the stage, or reports the error and exits.
[[noreturn]] void run_init(InitContext& context);

// Shared with exec: enters `cwd`, refusing one that is not below the root (CVE-2024-21626). true:
// root may not enter it, the user may.
Result<bool> enter_cwd(const std::string& cwd);
// $HOME of `uid` by the container's own /etc/passwd; "/" when it does not say.
std::string home_of(int root, uint32_t uid);
// Hands the plan to the stage; returns only on failure.
Error become_stage(const Fd& program, int plan, std::initializer_list<int> kept);

}  // namespace proa::oci::runtime
