#include "oci/runtime/idmap.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/sync.h"

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

std::vector<IdMapping> parse_mapping_text(std::string_view text) {
  std::vector<IdMapping> mappings;
  std::array<uint32_t, 3> numbers{};
  size_t count = 0;
  while (!text.empty()) {
    const size_t start = std::min(text.find_first_not_of(" \n"), text.size());
    text.remove_prefix(start);
    if (text.empty()) break;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), numbers[count]);
    if (ec != std::errc()) break;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (++count < numbers.size()) continue;
    mappings.push_back({numbers[0], numbers[1], numbers[2]});
    count = 0;
  }
  return mappings;
}

Result<> write_mappings(pid_t pid, const Linux& linux_) {
  if (!privileged() && is_own_single(linux_.gid_mappings, ::getegid()))
    TRY_CTX(kernel::write_file(cat("/proc/", pid, "/setgroups").c_str(), "deny"), "linux.gidMappings");
  TRY_CTX(write_map(pid, "uid_map", "newuidmap", linux_.uid_mappings, ::geteuid()), "linux.uidMappings");
  TRY_CTX(write_map(pid, "gid_map", "newgidmap", linux_.gid_mappings, ::getegid()), "linux.gidMappings");
  return {};
}

namespace {

Result<std::vector<IdMapping>> read_map(pid_t pid, const char* file) {
  return parse_mapping_text(TRY(kernel::read_file(cat("/proc/", pid, "/", file).c_str())));
}

Result<> check_same(const char* field, std::vector<IdMapping> configured, std::vector<IdMapping> found) {
  const auto key = [](const IdMapping& each) { return std::tuple(each.container_id, each.host_id, each.size); };
  std::ranges::sort(configured, {}, key);
  std::ranges::sort(found, {}, key);
  if (std::ranges::equal(configured, found, {}, key, key)) return {};
  return fail(field, ": differs from the mapping of the user namespace that is joined by path");
}

}  // namespace

Result<> check_joined_mappings(int fd, const Linux& linux_) {
  if (linux_.uid_mappings.empty() && linux_.gid_mappings.empty()) return {};
  // Only a process shows a namespace's mappings.
  auto [ours, theirs] = TRY(Sync::make_pair());
  kernel::Child child = TRY(kernel::clone_process(0));
  if (child.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto joined = kernel::join_namespaces(fd, CLONE_NEWUSER);
    if (joined)
      (void)theirs.send('M');
    else
      theirs.send_error(joined.error());
    for (;;) ::pause();
  }
  Defer reap([&] {
    (void)kernel::send_signal(child.pidfd.get(), SIGKILL);
    (void)kernel::wait_child(child.pid);
  });
  TRY(ours.expect('M'));
  std::vector<IdMapping> uids = TRY(read_map(child.pid, "uid_map"));
  std::vector<IdMapping> gids = TRY(read_map(child.pid, "gid_map"));
  TRY(check_same("linux.uidMappings", linux_.uid_mappings, std::move(uids)));
  return check_same("linux.gidMappings", linux_.gid_mappings, std::move(gids));
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
