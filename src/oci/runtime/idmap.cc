#include "oci/runtime/idmap.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/process.h"

namespace proa::oci::runtime {
namespace {

bool privileged() { return ::geteuid() == 0; }

// user_namespaces(7): without privileges only one's own id may be mapped, and setgroups must be off.
bool is_own_single(std::span<const IdMapping> mappings, uint32_t own) {
  return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host_id == own;
}

Result<> run_mapper(const char* program, pid_t pid, std::span<const IdMapping> mappings) {
  std::vector<std::string> argv{program, std::to_string(pid)};
  for (const IdMapping& each : mappings)
    for (const uint32_t number : {each.container_id, each.host_id, each.size}) argv.push_back(std::to_string(number));
  const auto result = TRY_CTX(
      kernel::run_command(
          {.path = cat("/usr/bin/", program), .argv = argv, .env = {}, .input = {}, .timeout_ms = 10'000, .cwd = {}}),
      program);
  if (result.status != 0)
    return fail(program, ": ", result.output)
        .hint("check /etc/subuid and /etc/subgid, and that the package uidmap is installed");
  return {};
}

Result<> write_map(pid_t pid, const char* file, const char* mapper, std::span<const IdMapping> mappings, uint32_t own) {
  if (mappings.empty()) return {};
  const bool direct = privileged() || is_own_single(mappings, own);
  if (!direct) return run_mapper(mapper, pid, mappings);
  return kernel::write_file(cat("/proc/", pid, "/", file).c_str(), mapping_text(mappings));
}

}  // namespace

std::string mapping_text(std::span<const IdMapping> mappings) {
  std::string text;
  for (const IdMapping& each : mappings) text += cat(each.container_id, " ", each.host_id, " ", each.size, "\n");
  return text;
}

Result<> write_mappings(pid_t pid, const Linux& linux_) {
  if (!privileged() && is_own_single(linux_.gid_mappings, ::getegid()))
    TRY_CTX(kernel::write_file(cat("/proc/", pid, "/setgroups").c_str(), "deny"), "linux.gidMappings");
  TRY_CTX(write_map(pid, "uid_map", "newuidmap", linux_.uid_mappings, ::geteuid()), "linux.uidMappings");
  TRY_CTX(write_map(pid, "gid_map", "newgidmap", linux_.gid_mappings, ::getegid()), "linux.gidMappings");
  return {};
}

Result<Fd> make_mapping_namespace(const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids) {
  kernel::Child child = TRY(kernel::clone_process(CLONE_NEWUSER));
  if (child.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  Defer reap([&] {
    (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
    (void)kernel::wait_child(child.pid);
  });
  TRY_CTX(kernel::write_file(cat("/proc/", child.pid, "/uid_map").c_str(), mapping_text(uids)), "uidMappings");
  TRY_CTX(kernel::write_file(cat("/proc/", child.pid, "/gid_map").c_str(), mapping_text(gids)), "gidMappings");
  return kernel::open(cat("/proc/", child.pid, "/ns/user").c_str(), O_RDONLY);
}

}  // namespace proa::oci::runtime
