#include "oci/runtime/process_plan.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/sched/types.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/log.h"
#include "kernel/capability.h"
#include "kernel/names.h"
#include "oci/spec/number_list.h"

namespace proa::oci::runtime {
namespace {

using stage::kMayFail;
using stage::Step;

// With fewer descriptors than this the stage could not accept its start order.
constexpr uint64_t kFewDescriptors = 64;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void plan_rlimits(PlanBuilder& builder, const std::vector<Rlimit>& limits, bool late) {
  for (size_t i = 0; i < limits.size(); ++i) {
    const bool is_late = limits[i].resource == RLIMIT_NOFILE && limits[i].soft < kFewDescriptors;
    if (is_late != late) continue;
    const rlimit64 limit{limits[i].soft, limits[i].hard};
    const auto place = builder.bytes(&limit, sizeof limit);
    builder.step(SYS_prlimit64, {0, limits[i].resource, place, 0}, cat("process.rlimits[", i, "]"));
  }
}

void plan_scheduling(PlanBuilder& builder, const ProcessPlan& plan) {
  const Process& process = *plan.process;
  if (process.io_priority) {
    const int value = process.io_priority->io_class << kernel::kIoClassShift | process.io_priority->priority;
    builder.step(SYS_ioprio_set, {kernel::kIoPriorityOfProcess, 0, value}, "process.ioPriority");
  }
  if (process.scheduler) {
    const Scheduler& wanted = *process.scheduler;
    sched_attr attr{};
    attr.size = sizeof attr;
    attr.sched_policy = wanted.policy;
    attr.sched_flags = wanted.flags;
    attr.sched_nice = wanted.nice;
    attr.sched_priority = static_cast<uint32_t>(wanted.priority);
    attr.sched_runtime = wanted.runtime;
    attr.sched_deadline = wanted.deadline;
    attr.sched_period = wanted.period;
    builder.step(SYS_sched_setattr, {0, builder.bytes(&attr, sizeof attr), 0}, "process.scheduler");
  }
  if (plan.linux_ != nullptr && plan.linux_->personality) {
    uint64_t persona =
        kernel::number_of(kernel::personality_domain_names(), plan.linux_->personality->domain).value_or(0);
    for (const std::string& flag : plan.linux_->personality->flags)
      persona |= kernel::number_of(kernel::personality_flag_names(), flag).value_or(0);
    builder.step(SYS_personality, {persona}, "linux.personality");
  }
  if (plan.linux_ != nullptr && plan.linux_->memory_policy) {
    const MemoryPolicy& policy = *plan.linux_->memory_policy;
    uint64_t mode = kernel::number_of(kernel::memory_policy_mode_names(), policy.mode).value_or(0);
    for (const std::string& flag : policy.flags)
      mode |= kernel::number_of(kernel::memory_policy_flag_names(), flag).value_or(0);
    const std::vector<uint64_t> nodes =
        parse_number_list(policy.nodes, kMaxMemoryNodes).value_or(std::vector<uint64_t>{});
    const auto mask = builder.bytes(nodes.data(), nodes.size() * sizeof nodes[0]);
    // The kernel reads one bit less than it is told.
    const uint64_t bits = nodes.empty() ? 0 : nodes.size() * 64 + 1;
    builder.step(SYS_set_mempolicy, {mode, nodes.empty() ? PlanBuilder::Arg(0) : mask, bits}, "linux.memoryPolicy");
  }
}

// `available`: the bounding set that the process starts with.
void plan_bounding_set(PlanBuilder& builder, uint64_t available, uint64_t keep) {
  const uint64_t drop = available & ~keep;
  for (int number = 0; number < 64; ++number)
    if ((drop >> number & 1) != 0)
      builder.step(SYS_prctl, {PR_CAPBSET_DROP, number, 0, 0, 0}, "process.capabilities.bounding");
}

void plan_user(PlanBuilder& builder, const ProcessPlan& plan) {
  const User& user = plan.process->user;
  builder.step(SYS_prctl, {PR_SET_KEEPCAPS, 1, 0, 0, 0}, "process.user");
  const auto groups = builder.bytes(user.additional_gids.data(), user.additional_gids.size() * sizeof(uint32_t));
  // A user namespace made without privileges has setgroups(2) switched off; with none asked for that is as wanted.
  builder.step(SYS_setgroups, {user.additional_gids.size(), groups}, "process.user.additionalGids",
               plan.user_namespace && user.additional_gids.empty() ? kMayFail : stage::kFatal);
  builder.step(SYS_setresgid, {user.gid, user.gid, user.gid}, "process.user.gid");
  builder.step(SYS_setresuid, {user.uid, user.uid, user.uid}, "process.user.uid");
  builder.step(SYS_prctl, {PR_SET_KEEPCAPS, 0, 0, 0, 0}, "process.user");
}

void plan_capabilities(PlanBuilder& builder, const Capabilities& sets) {
  const __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const auto low = [](uint64_t mask) { return static_cast<uint32_t>(mask); };
  const auto high = [](uint64_t mask) { return static_cast<uint32_t>(mask >> 32); };
  const __user_cap_data_struct data[2] = {{low(sets.effective), low(sets.permitted), low(sets.inheritable)},
                                          {high(sets.effective), high(sets.permitted), high(sets.inheritable)}};
  const auto header_at = builder.bytes(&header, sizeof header);
  builder.step(SYS_capset, {header_at, builder.bytes(data, sizeof data)}, "process.capabilities");
  builder.step(SYS_prctl, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0}, "process.capabilities.ambient",
               kMayFail);
  // The kernel allows those that are permitted and inheritable; runtime-spec has the others fail silently.
  for (int number = 0; number < 64; ++number)
    if ((sets.ambient >> number & 1) != 0)
      builder.step(SYS_prctl, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0}, "process.capabilities.ambient",
                   kMayFail);
}

void plan_seccomp(PlanBuilder& builder, const kernel::SeccompFilter& filter) {
  sock_fprog program{static_cast<unsigned short>(filter.program.size()), nullptr};
  const auto code = builder.bytes(filter.program.data(), filter.program.size() * sizeof filter.program[0]);
  const auto place = builder.bytes_with_pointer(&program, sizeof program, offsetof(sock_fprog, filter), code);
  const unsigned flags = filter.flags | (filter.needs_listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
  log::debug("seccomp filter flags: ", flags);  // runc's words; its tests look for them
  builder.step(SYS_seccomp, {SECCOMP_SET_MODE_FILTER, flags, place}, "linux.seccomp");
  if (filter.needs_listener) builder.step(Step::kNotifyFd, {}, "linux.seccomp.listenerPath");
}

std::string_view value_of(const std::vector<std::string>& env, std::string_view name) {
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry)
    if (entry->size() > name.size() && entry->starts_with(name) && (*entry)[name.size()] == '=')
      return std::string_view(*entry).substr(name.size() + 1);
  return {};
}

// The last entry of each name, in order: getenv(3) would take the first, and what comes later was meant to
// replace it. An empty $HOME counts as none.
std::vector<std::string> final_env(const std::vector<std::string>& env) {
  std::vector<std::string> out;
  out.reserve(env.size());
  std::unordered_set<std::string_view> seen;
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry) {
    const bool last = seen.insert(std::string_view(*entry).substr(0, entry->find('='))).second;
    if (last && *entry != "HOME=") out.push_back(*entry);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

void plan_execution(PlanBuilder& builder, const ProcessPlan& plan) {
  const Process& process = *plan.process;
  std::vector<std::string> env = process.env;
  if (needs_home(env) && !plan.home.empty()) env.push_back(cat("HOME=", plan.home));
  if (plan.listen_fds > 0) {
    env.push_back(cat("LISTEN_FDS=", plan.listen_fds));
    env.push_back("LISTEN_PID=1");
  }
  const auto paths = builder.texts(plan.program.empty() ? program_candidates(process) : std::vector{plan.program});
  const auto argv = builder.texts(process.args);
  builder.step(Step::kExecute, {paths, argv, builder.texts(final_env(env))},
               cat("exec: \"", process.args.front(), "\""));
}

}  // namespace

std::vector<std::string> program_candidates(const Process& process) {
  const std::string& program = process.args.front();
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = value_of(process.env, "PATH");
  if (path.empty()) path = kDefaultPath;
  std::vector<std::string> out;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    const std::string_view folder = path.substr(at, end - at);
    out.push_back(folder.empty() ? program : cat(folder, "/", program));
    at = end + 1;
  }
  return out;
}

bool needs_home(const std::vector<std::string>& env) { return value_of(env, "HOME").empty(); }

std::vector<Rlimit> permitted_rlimits(const std::vector<Rlimit>& wanted) {
  std::vector<Rlimit> out = wanted;
  if (out.empty()) return out;
  const auto sets = kernel::get_capabilities();
  if (sets && (sets->effective >> CAP_SYS_RESOURCE & 1) != 0) return out;
  for (Rlimit& limit : out) {
    rlimit own{};
    if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &own) != 0 || limit.hard <= own.rlim_max) continue;
    log::warning("process.rlimits: ", kernel::name_of(kernel::rlimit_names(), static_cast<uint64_t>(limit.resource)),
                 " hard limit ", limit.hard, " is over the host's ", own.rlim_max,
                 ", which cannot be raised without CAP_SYS_RESOURCE; clamped");
    limit.hard = own.rlim_max;
    limit.soft = std::min(limit.soft, limit.hard);
  }
  return out;
}

Capabilities permitted_capabilities(const Capabilities& wanted, uint64_t bounding) {
  const uint64_t missing = (wanted.bounding | wanted.permitted | wanted.effective) & ~bounding;
  if (missing == 0) return wanted;
  std::string names;
  for (const std::string& name : kernel::capability_names_of(missing)) names += cat(names.empty() ? "" : ", ", name);
  log::warning("process.capabilities: not available on this host, left out: ", names);
  return {.bounding = wanted.bounding & bounding,
          .effective = wanted.effective & bounding,
          .inheritable = wanted.inheritable & bounding,
          .permitted = wanted.permitted & bounding,
          .ambient = wanted.ambient & bounding};
}

void plan_process(PlanBuilder& builder, const ProcessPlan& plan) {
  // Nothing of ours survives the final execution, whatever was inherited (CVE-2024-21626).
  builder.step(SYS_close_range, {3 + plan.preserve_fds, ~0u, CLOSE_RANGE_CLOEXEC}, "close descriptors");
  builder.step(SYS_prctl, {PR_SET_PDEATHSIG, 0, 0, 0, 0}, "outlive the runtime");
  if (plan.process == nullptr) {
    builder.step(Step::kReady, {}, "ready");
    builder.step(Step::kAwaitStart, {plan.listener}, "await start");
    return;
  }
  const Process& process = *plan.process;
  // Whoever is in a user namespace of its own has every capability there (user_namespaces(7)).
  const uint64_t available = plan.user_namespace ? kernel::all_capabilities() : kernel::bounding_capabilities();
  const Capabilities sets = permitted_capabilities(process.capabilities.value_or(Capabilities{}), available);
  const std::vector<Rlimit> rlimits = permitted_rlimits(process.rlimits);
  const bool seccomp_early = plan.seccomp != nullptr && !process.no_new_privileges;
  // A listener is handed over while the creator still listens; any other filter goes on last of all, so
  // that it need not allow our own steps.
  const bool seccomp_before_ready = plan.seccomp != nullptr && !seccomp_early && plan.seccomp->needs_listener;
  const bool seccomp_last = plan.seccomp != nullptr && !seccomp_early && !seccomp_before_ready;
  plan_scheduling(builder, plan);
  plan_rlimits(builder, rlimits, false);
  plan_bounding_set(builder, available, sets.bounding);
  if (process.no_new_privileges) builder.step(SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0}, "process.noNewPrivileges");
  // Without no_new_privs a filter needs CAP_SYS_ADMIN (seccomp(2)), so it goes on before that is dropped.
  if (seccomp_early) plan_seccomp(builder, *plan.seccomp);
  plan_user(builder, plan);
  if (process.user.umask) builder.step(SYS_umask, {*process.user.umask}, "process.user.umask");
  if (plan.cwd_as_user) builder.step(SYS_chdir, {builder.text(process.cwd)}, cat("process.cwd ", process.cwd));
  plan_capabilities(builder, sets);
  if (seccomp_before_ready) plan_seccomp(builder, *plan.seccomp);
  if (plan.listener >= 0) {
    builder.step(Step::kReady, {}, "ready");
    builder.step(Step::kAwaitStart, {plan.listener}, "await start");
  }
  for (const kernel::LabelWrite& each : plan.labels) {
    const auto path = builder.text(each.path);
    builder.step(Step::kWriteLabel, {plan.proc, path, builder.text(each.text), each.text.size()},
                 cat("security label ", each.text));
  }
  plan_rlimits(builder, rlimits, true);
  if (seccomp_last) plan_seccomp(builder, *plan.seccomp);
  plan_execution(builder, plan);
}

}  // namespace proa::oci::runtime
