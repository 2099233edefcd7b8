// From a bundle to a container's process, waiting at the start line or running: `create` and `run`.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "kernel/lsm.h"
#include "kernel/process.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/state.h"
#include "oci/runtime/sync.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

// A bundle as `create`, `run` and `restore` read it.
struct Bundle {
  std::string path, config;  // absolute folder; text of the configuration
  Spec spec;                 // linux_ is there
  std::string rootfs;        // absolute, without links
};
// With links followed; errors name it.
Result<std::string> real_path(const std::string& path);
Result<Bundle> read_bundle(const CreateOptions& options);
bool is_rootless(const Globals& globals);

struct Launched {
  StateFolder folder;
  ContainerState state;
  Spec spec;
  kernel::Child child;
  Fd terminal;  // the pty's master when nobody else took it
};

// `wait_for_start` false: the process runs when this returns. On failure nothing is left.
Result<Launched> launch(const Globals& globals, const std::string& id, const CreateOptions& options,
                        bool wait_for_start);

// A seccomp listener of process `child`, handed to the agent at the profile's listenerPath with the
// ContainerProcessState of the runtime-spec.
Result<> hand_over_listener(const kernel::Child& child, int remote_fd, const kernel::Seccomp& profile,
                            const ContainerState& state);

// Waits until the stage says ready (R) or has executed the program (end of stream).
Result<> await_stage(const Sync& sync, const kernel::Child& child, const kernel::Seccomp* profile,
                     const ContainerState& state);

// After the program runs: poststart hooks, as strict as the configuration's version asks.
Result<> run_poststart(const Spec& spec, const ContainerState& state);
// destroy(), then the poststop hooks of the configuration as it was at create; `spec` saves reading it again.
Result<> remove_container(StateFolder& folder, const ContainerState& state, const Spec* spec = nullptr);

// The writes that give a process its security labels; an error when the kernel has no such module.
Result<std::vector<kernel::LabelWrite>> exec_labels(const Process& process);

// "--pid-file": written whole or not at all.
Result<> write_pid_file(const std::string& path, pid_t pid);
std::string absolute_path(const std::string& path);
// Sends a terminal's master where the user wants it.
Result<> send_terminal(const std::string& console_socket, int master);
Result<> send_pidfd(const std::string& pidfd_socket, int pidfd);
// Number of descriptors that systemd-style socket activation handed to this process.
int activation_fds();

}  // namespace proa::oci::runtime
