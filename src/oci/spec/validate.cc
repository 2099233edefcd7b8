#include "oci/spec/validate.h"

#include <linux/sched.h>

#include <charconv>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "kernel/names.h"
#include "oci/runtime/mount_options.h"
#include "oci/spec/number_list.h"

namespace proa::oci {
namespace {

constexpr size_t kMaxUtsName = 64;
constexpr uint32_t kMaxUmask = 0777;

bool is_absolute(std::string_view path) { return path.starts_with('/'); }

// --- process

Result<> check_command(const Process& process) {
  if (!is_absolute(process.cwd)) return fail("process.cwd: must be an absolute path, found ", json::quote(process.cwd));
  if (process.args.empty()) return fail("process.args: must not be empty");
  for (size_t i = 0; i < process.env.size(); ++i) {
    const size_t equals = process.env[i].find('=');
    if (equals == std::string::npos || equals == 0)
      return fail("process.env[", i, "]: must be NAME=VALUE, found ", json::quote(process.env[i]));
  }
  return {};
}

Result<> check_user(const Process& process) {
  if (process.user.umask && *process.user.umask > kMaxUmask)
    return fail("process.user.umask: must be 0 to 511 (octal 777), found ", *process.user.umask);
  if (process.oom_score_adj && (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000))
    return fail("process.oomScoreAdj: must be -1000 to 1000, found ", *process.oom_score_adj);
  return {};
}

Result<> check_rlimits(const Process& process) {
  uint64_t seen = 0;
  for (size_t i = 0; i < process.rlimits.size(); ++i) {
    const Rlimit& limit = process.rlimits[i];
    const uint64_t bit = uint64_t{1} << limit.resource;
    if ((seen & bit) != 0)
      return fail("process.rlimits[", i,
                  "].type: ", kernel::name_of(kernel::rlimit_names(), static_cast<uint64_t>(limit.resource)),
                  " is given twice");
    seen |= bit;
    if (limit.soft > limit.hard)
      return fail("process.rlimits[", i, "].soft: ", limit.soft, " is above the hard limit ", limit.hard);
  }
  return {};
}

// sched_setattr(2).
Result<> check_scheduler(const Process& process) {
  if (!process.scheduler) return {};
  const Scheduler& s = *process.scheduler;
  const std::string_view policy = kernel::name_of(kernel::scheduler_policy_names(), s.policy);
  const bool real_time = s.policy == SCHED_FIFO || s.policy == SCHED_RR;
  if (s.nice < -20 || s.nice > 19) return fail("process.scheduler.nice: must be -20 to 19, found ", s.nice);
  if (real_time && (s.priority < 1 || s.priority > 99))
    return fail("process.scheduler.priority: must be 1 to 99 with ", policy, ", found ", s.priority);
  if (!real_time && s.priority != 0)
    return fail("process.scheduler.priority: only SCHED_FIFO and SCHED_RR have one, not ", policy);
  if (s.policy != SCHED_DEADLINE)
    for (const auto& [name, value] : {std::pair{"runtime", s.runtime}, {"deadline", s.deadline}, {"period", s.period}})
      if (value != 0) return fail("process.scheduler.", name, ": only SCHED_DEADLINE has one, not ", policy);
  return {};
}

Result<> check_io_priority(const Process& process) {
  if (process.io_priority && (process.io_priority->priority < 0 || process.io_priority->priority > 7))
    return fail("process.ioPriority.priority: must be 0 to 7, found ", process.io_priority->priority);
  return {};
}

Result<> check_affinity(const Process& process) {
  if (!process.exec_cpu_affinity) return {};
  TRY_CTX(parse_number_list(process.exec_cpu_affinity->initial, kMaxCpus), "process.execCPUAffinity.initial");
  TRY_CTX(parse_number_list(process.exec_cpu_affinity->final, kMaxCpus), "process.execCPUAffinity.final");
  return {};
}

// --- the document's other parts

// Takes a run of digits off the front: 0, or a number that does not begin with 0 (semver.org, 2).
bool take_number(std::string_view& text, unsigned& number) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const size_t length = static_cast<size_t>(end - text.data());
  if (ec != std::errc() || (length > 1 && text.front() == '0')) return false;
  text.remove_prefix(length);
  return true;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// "1.2.0", "1.0.2-dev", "1.3.0+build": the major version, 0 when it is no such thing.
bool semantic_version(std::string_view text, unsigned& major) {
  unsigned minor = 0, patch = 0;
  if (!take_number(text, major) || !take(text, '.') || !take_number(text, minor) || !take(text, '.') ||
      !take_number(text, patch))
    return false;
  if (text.empty()) return true;
  if (!text.starts_with('-') && !text.starts_with('+')) return false;
  text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-.+") ==
                              std::string_view::npos;
}

Result<> check_version(const Spec& spec) {
  unsigned major = 0;
  if (!semantic_version(spec.oci_version, major))
    return fail("ociVersion: ", json::quote(spec.oci_version), " is not a version (MAJOR.MINOR.PATCH)");
  if (major != 1)
    return fail("ociVersion: ", json::quote(spec.oci_version), " is not supported").hint("versions 1.x are supported");
  return {};
}

Result<> check_root(const Spec& spec) {
  if (!spec.root) return fail("root: is required");
  if (spec.root->path.empty()) return fail("root.path: must not be empty");
  return {};
}

Result<> check_uts_name(const Spec& spec, std::string_view field, std::string_view name) {
  if (name.empty()) return {};
  if (!spec.linux_ || spec.linux_->find(NamespaceType::kUts) == nullptr)
    return fail(field, ": needs a uts namespace of the container").hint("add {\"type\": \"uts\"} to linux.namespaces");
  if (name.size() > kMaxUtsName) return fail(field, ": longer than ", kMaxUtsName, " bytes");
  return {};
}

Result<> check_names(const Spec& spec) {
  TRY(check_uts_name(spec, "hostname", spec.hostname));
  return check_uts_name(spec, "domainname", spec.domainname);
}

Result<> check_mount(const Spec& spec, const Mount& mount) {
  if (mount.destination.empty()) return fail("destination: must not be empty");
  TRY(check_id_mappings("uidMappings", mount.uid_mappings));
  TRY(check_id_mappings("gidMappings", mount.gid_mappings));
  const Linux* container = spec.linux_ ? &*spec.linux_ : nullptr;
  const runtime::MountOptions options = TRY_CTX(runtime::parse_mount_options(mount, container), "options");
  // config.md, "Mounts": it is the options that make a bind mount, and its type is a dummy.
  const bool typed = options.is_bind() || options.is_remount();
  if (!typed && mount.type == "bind") return fail("options: a mount of type bind needs the option bind or rbind");
  if (!typed && mount.type.empty()) return fail("type: must not be empty, unless the options have bind or rbind");
  if (options.copy_symlink && (options.source_nofollow || options.dest_nofollow))
    return fail("options: copy-symlink excludes src-nofollow and dest-nofollow");
  // The kernel ignores them without a word; real configurations have them, so they are only warned of.
  if (options.is_bind() && !options.is_remount() && !options.data.empty())
    log::warning("mounts (", mount.destination, "): a bind mount takes no filesystem options, ignored: ", options.data);
  if (options.idmap == runtime::IdMapMode::kNone) return {};
  if (!options.is_bind()) return fail("options: idmap needs a bind mount");
  if (options.uid_mappings.empty() && (container == nullptr || container->find(NamespaceType::kUser) == nullptr))
    return fail("options: idmap needs uidMappings and gidMappings, or a user namespace of the container");
  return {};
}

Result<> check_mounts(const Spec& spec) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    if (auto checked = check_mount(spec, mount); !checked) return fail("mounts[", i, "].", checked.error().message());
    if (!is_absolute(mount.destination))
      log::warning("mounts[", i, "].destination: ", json::quote(mount.destination),
                   " is relative, which is deprecated; it is taken from the container's root");
  }
  return {};
}

Result<> check_hook_list(std::string_view stage, const std::vector<Hook>& hooks) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    if (!is_absolute(hooks[i].path))
      return fail("hooks.", stage, "[", i, "].path: must be an absolute path, found ", json::quote(hooks[i].path));
    if (hooks[i].timeout && *hooks[i].timeout <= 0)
      return fail("hooks.", stage, "[", i, "].timeout: must be above 0, found ", *hooks[i].timeout);
  }
  return {};
}

Result<> check_hooks(const Spec& spec) {
  TRY(check_hook_list("prestart", spec.hooks.prestart));
  TRY(check_hook_list("createRuntime", spec.hooks.create_runtime));
  TRY(check_hook_list("createContainer", spec.hooks.create_container));
  TRY(check_hook_list("startContainer", spec.hooks.start_container));
  TRY(check_hook_list("poststart", spec.hooks.poststart));
  return check_hook_list("poststop", spec.hooks.poststop);
}

}  // namespace

Result<> validate(const Process& process) {
  for (const auto check :
       {check_command, check_user, check_rlimits, check_scheduler, check_io_priority, check_affinity})
    TRY(check(process));
  return {};
}

namespace {

// Capabilities nobody knows: an error in 1.0, since 1.1 "MUST be logged as a warning" (config.md,
// "Linux Process").
Result<> check_unknown_capabilities(const Spec& spec) {
  if (!spec.process || !spec.process->capabilities || spec.process->capabilities->unknown.empty()) return {};
  const std::string& name = spec.process->capabilities->unknown.front();
  if (spec.oci_version.starts_with("1.0.")) return fail("process.capabilities: capability ", name, " is not known");
  log::warning("process.capabilities: capability ", json::quote(name), " is not known and is ignored");
  return {};
}

}  // namespace

Result<> validate(const Spec& spec) {
  for (const auto check :
       {check_version, check_root, check_names, check_mounts, check_hooks, check_unknown_capabilities})
    TRY(check(spec));
  if (spec.process) TRY(validate(*spec.process));
  if (spec.linux_) TRY(validate(*spec.linux_));
  return {};
}

}  // namespace proa::oci
