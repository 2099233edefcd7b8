// A process of config.json as steps of the stage: limits, credentials, seccomp, execution.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "kernel/lsm.h"
#include "kernel/seccomp.h"
#include "oci/runtime/plan.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {

struct ProcessPlan {
  const Process* process = nullptr;                // null: the container was created without one
  const Linux* linux_ = nullptr;                   // personality, memory policy; null for none
  const kernel::SeccompFilter* seccomp = nullptr;  // null for none
  std::string program;                             // executed as it stands; empty: args[0], looked for in $PATH
  std::string home;                                // $HOME when the configuration gives none
  bool user_namespace = false;
  bool cwd_as_user = false;  // the working folder could not be entered as root
  int preserve_fds = 0;
  int listen_fds = 0;  // LISTEN_FDS to hand on, with LISTEN_PID=1
  int listener = -1;   // start.sock; -1: execute at once
  int proc = -1;       // root of the host's procfs, for `labels`
  std::vector<kernel::LabelWrite> labels;
};

// Limits that this host lets us set: hard ones are clamped, with a warning, where raising them needs
// CAP_SYS_RESOURCE and we lack it.
std::vector<Rlimit> permitted_rlimits(const std::vector<Rlimit>& wanted);
// The sets without what the bounding set lacks, with a warning naming it.
Capabilities permitted_capabilities(const Capabilities& wanted, uint64_t bounding);

// The places where args[0] is looked for, in order, as execvpe(3) would.
std::vector<std::string> program_candidates(const Process& process);
// Whether `env` leaves $HOME to us: without one, or with an empty one.
bool needs_home(const std::vector<std::string>& env);

void plan_process(PlanBuilder& builder, const ProcessPlan& plan);

}  // namespace proa::oci::runtime
