#include "kernel/cgroup/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "kernel/cgroup/controllers.h"
#include "kernel/cgroup/folder.h"
#include "kernel/cgroup/freezer.h"
#include "kernel/cgroup/hosts.h"
#include "kernel/cgroup/limits.h"
#include "kernel/cgroup/state.h"
#include "kernel/cgroup/systemd.h"
#include "kernel/cgroup/top.h"
#include "kernel/cgroup/v2.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup {
namespace {

// How long remove() waits for the kernel to let go of dead processes, over all hierarchies.
constexpr int64_t kRemoveBudgetUs = 1'000'000;

bool is_permission(const Error& error) {
  return error.code() == EPERM || error.code() == EACCES || error.code() == EROFS;
}

// A container must not come into a cgroup that others use: its limits would hit them, its end kill them.
Result<> check_unused(const Location::Hierarchy& hierarchy) {
  const Folder folder(hierarchy.path);
  if (has_processes(folder))
    return fail_errno(EBUSY, "linux.cgroupsPath: the cgroup ", hierarchy.path, " has processes in it already");
  if (names_controller(hierarchy.controllers, "freezer") && TRY(frozen_v1(folder)))
    return fail("linux.cgroupsPath: the cgroup ", hierarchy.path, " is frozen");
  if (hierarchy.controllers.empty() && TRY(frozen_v2(folder)))
    return fail("linux.cgroupsPath: the cgroup ", hierarchy.path, " is frozen");
  return {};
}

void undo(const Location& location) {
  for (const auto& hierarchy : location.hierarchies) {
    int64_t budget = 0;
    if (hierarchy.made == 0) continue;
    static_cast<void>(remove_folder(hierarchy.path, budget));
    remove_empty_parents(hierarchy.path, hierarchy.made - 1);
  }
}

Result<> make_hierarchy(const Host& host, const Mount& mount, const std::string& cleaned, Location& location,
                        bool& fresh) {
  const std::string inner = inner_path(host, mount, cleaned);
  const uint32_t made = TRY(make_folder(mount.folder, inner));
  location.hierarchies.push_back({mount.controllers, cat(mount.folder, inner), made});
  const auto& hierarchy = location.hierarchies.back();
  if (made == 0) {
    fresh = false;
    TRY(check_unused(hierarchy));
  }
  if (host.pure_v2) TRY(enable_all(mount.folder, Folder(hierarchy.path)));
  return {};
}

// Which of the hierarchies a step is about.
enum class Part : uint8_t { kUnified, kOthers };

Result<> make_part(const Request& request, const Host& host, const std::string& inner, Part part, Location& location,
                   bool& fresh) {
  for (const Mount& mount : host.mounts) {
    if (mount.controllers.empty() != (part == Part::kUnified)) continue;
    auto done = make_hierarchy(host, mount, inner, location, fresh);
    if (done) continue;
    if (!(request.rootless && request.cgroups_path.empty() && is_permission(done.error())))
      return std::unexpected(std::move(done).error());
  }
  return {};
}

// What was there before stays: whoever cleans up after a failure must not take it, nor those in it.
void forget_found(Location& location) {
  std::erase_if(location.hierarchies, [](const Location::Hierarchy& each) { return each.made == 0; });
}

// "[CONTROLLER,...:]PATH" of exec --cgroup.
struct SubCgroup {
  std::string_view controllers;  // empty: every hierarchy
  std::string path;              // relative
};

SubCgroup parse_below(std::string_view below) {
  SubCgroup sub;
  if (const size_t colon = below.find(':'); colon != std::string_view::npos) {
    sub.controllers = below.substr(0, colon);
    below.remove_prefix(colon + 1);
  }
  sub.path = clean_path(below);
  if (sub.path.starts_with('/')) sub.path.erase(0, 1);
  return sub;
}

bool names_any(std::string_view list, std::string_view wanted) {
  while (!wanted.empty())
    if (names_controller(list, cut(wanted, ','))) return true;
  return false;
}

// The sub-cgroup asked for in this hierarchy; empty for the container's own folder.
std::string path_below(const Location::Hierarchy& hierarchy, std::span<const std::string> below) {
  std::string path;
  for (const std::string& one : below) {
    SubCgroup sub = parse_below(one);
    if (sub.controllers.empty() || names_any(hierarchy.controllers, sub.controllers)) path = std::move(sub.path);
  }
  return path;
}

Result<Fd> open_entry(const Location::Hierarchy& hierarchy, const std::string& below) {
  const char* file = hierarchy.controllers.empty() ? "cgroup.procs" : "tasks";
  if (below.empty()) return open_from_top(cat(hierarchy.path, "/", file), O_WRONLY);
  const Fd folder = TRY(open(hierarchy.path.c_str(), O_PATH | O_DIRECTORY));
  return TRY_CTX(open_beneath_no_links(folder.get(), cat(below, "/", file).c_str(), O_WRONLY), "--cgroup: below ",
                 hierarchy.path);
}

// Every controller that is named must be there to be entered.
Result<> check_below(const Location& location, std::span<const std::string> below) {
  for (const std::string& one : below) {
    std::string_view names = parse_below(one).controllers;
    while (!names.empty()) {
      const std::string_view name = cut(names, ',');
      if (find_v1(location, name) == nullptr)
        return fail("--cgroup ", one, ": the container is in no hierarchy with the ", name, " controller");
    }
  }
  return {};
}

}  // namespace

Cgroup::Cgroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
Cgroup::Cgroup(Cgroup&&) noexcept = default;
Cgroup& Cgroup::operator=(Cgroup&&) noexcept = default;
Cgroup::~Cgroup() = default;

const Location& Cgroup::location() const { return state_->location; }

Result<Cgroup> Cgroup::create(const Request& request) {
  Cgroup cgroup = TRY(begin(request));
  auto completed = cgroup.complete();
  if (completed) return cgroup;
  undo(cgroup.state_->location);
  return std::unexpected(std::move(completed).error());
}

Result<Cgroup> Cgroup::begin(const Request& request) {
  auto state = std::make_unique<State>();
  state->fresh = true;
  state->location.rootless = request.rootless;
  state->request = request;
  if (request.driver == Driver::kSystemd) {
    TRY(systemd::choose_unit(request, state->location));
    return Cgroup(std::move(state));
  }
  state->inner = clean_path(request.cgroups_path.empty() ? request.id : request.cgroups_path);
  if (state->inner.empty()) return fail("linux.cgroupsPath: \"", request.cgroups_path, "\" names no cgroup");
  state->host = TRY(find_host(request.filesystem_root, !state->inner.starts_with('/')));
  if (state->host.mounts.empty() && !request.rootless)
    return fail("no cgroup hierarchy is mounted").hint("mount cgroup2 at /sys/fs/cgroup");
  auto made = make_part(request, state->host, state->inner, Part::kUnified, state->location, state->fresh);
  if (made) return Cgroup(std::move(state));
  undo(state->location);
  return std::unexpected(std::move(made).error());
}

Result<> Cgroup::complete() {
  State& state = *state_;
  auto made = make_part(state.request, state.host, state.inner, Part::kOthers, state.location, state.fresh);
  if (!made) forget_found(state.location);
  return made;
}

Result<Cgroup> Cgroup::find(const Request& request) {
  auto state = std::make_unique<State>();
  state->location.rootless = request.rootless;
  state->request = request;
  std::string cleaned = clean_path(request.cgroups_path.empty() ? request.id : request.cgroups_path);
  if (request.driver == Driver::kSystemd) {
    TRY(systemd::choose_unit(request, state->location));
    cleaned = TRY(systemd::usual_path(request));
  }
  const Host host = TRY(find_host(request.filesystem_root, !cleaned.starts_with('/')));
  for (const Mount& mount : host.mounts) {
    std::string path = cat(mount.folder, inner_path(host, mount, cleaned));
    if (!cleaned.empty() && path_exists(path.c_str()))
      state->location.hierarchies.push_back({mount.controllers, std::move(path), 1});
  }
  return Cgroup(std::move(state));
}

Result<Cgroup> Cgroup::open(Location location, std::string filesystem_root) {
  auto state = std::make_unique<State>();
  state->location = std::move(location);
  state->request.filesystem_root = std::move(filesystem_root);
  return Cgroup(std::move(state));
}

Result<> Cgroup::apply(const Resources& resources) {
  return write_limits(state_->location, resources, {.fresh = state_->fresh, .create = true});
}

Result<> Cgroup::update(const Resources& resources) {
  if (!state_->location.systemd_unit.empty()) {
    const Resources whole = complete_limits(state_->location, resources);
    // systemd writes the limits the moment it is told, so what must be looked at first is looked at here.
    const auto* unified = find_unified(state_->location);
    if (unified != nullptr && resources.memory) TRY(v2::check_usage(Folder(unified->path), *resources.memory));
    TRY(systemd::update_unit(state_->request.filesystem_root, state_->location, whole));
  }
  Journal journal;
  auto written = write_limits(state_->location, resources, {});
  if (written) return {};
  for (const std::string& file : journal.take_back())
    log::warning("update: ", file, " could not be set back to what it was");
  return written;
}

Result<std::vector<Fd>> Cgroup::entry_files(bool unified, std::span<const std::string> below) const {
  TRY(check_below(state_->location, below));
  std::vector<Fd> files;
  files.reserve(state_->location.hierarchies.size());
  for (const auto& hierarchy : state_->location.hierarchies) {
    if (hierarchy.controllers.empty() && !unified) continue;
    files.push_back(TRY(open_entry(hierarchy, path_below(hierarchy, below))));
  }
  return files;
}

Result<Fd> Cgroup::unified_folder() const {
  const auto* unified = find_unified(state_->location);
  if (unified == nullptr) return Fd();
  return open_from_top(unified->path, O_PATH | O_DIRECTORY);
}

Result<Fd> Cgroup::unified_folder_of(pid_t pid) const {
  const auto* unified = find_unified(state_->location);
  if (unified == nullptr) return Fd();
  const std::string text = TRY(read_file(cat("/proc/", pid, "/cgroup").c_str(), 1u << 20));
  for (const Mount& mount : parse_own_cgroups(text)) {
    if (!mount.controllers.empty()) continue;
    const std::vector<Folder> above = ancestors(Folder(unified->path));
    const std::string inner = unified->path.substr(above.empty() ? 0 : above.front().path().size());
    // What a mount or cgroup namespace hides comes before the part that both paths share.
    const size_t at = cat(mount.own, "/").find(cat(inner, "/"));
    if (at == std::string::npos) break;
    const size_t end = std::min(mount.own.size(), at + inner.size());
    return kernel::open(cat(unified->path, mount.own.substr(end)).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
  }
  return fail("process ", pid, " is not in the container's cgroup ", unified->path);
}

Result<> Cgroup::attach(pid_t pid, const Resources& resources) {
  if (state_->request.driver == Driver::kSystemd && state_->location.hierarchies.empty()) {
    state_->fresh = false;  // systemd writes limits and a device program of its own
    return systemd::start_unit(state_->request, pid, resources, state_->location);
  }
  const std::string text = cat(pid);
  for (const auto& hierarchy : state_->location.hierarchies)
    TRY(Folder(hierarchy.path).set("enter the cgroup", "cgroup.procs", text));
  return {};
}

Result<> Cgroup::delegate(uid_t uid) {
  const auto* unified = find_unified(state_->location);
  if (unified == nullptr) return {};
  const Fd folder = TRY(kernel::open(unified->path.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fchown(folder.get(), uid, static_cast<gid_t>(-1)) != 0) return fail_errno(errno, "chown ", unified->path);
  const std::string list = read_file(cat(state_->request.filesystem_root, "/sys/kernel/cgroup/delegate").c_str())
                               .value_or("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
  for (std::string_view rest = list; !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty() || name.find('/') != std::string::npos) continue;
    if (::fchownat(folder.get(), name.c_str(), uid, static_cast<gid_t>(-1), AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != ENOENT)
      return fail_errno(errno, "chown ", unified->path, "/", name);
  }
  return {};
}

Result<> Cgroup::freeze() {
  if (const auto* v1 = find_v1(state_->location, "freezer")) return freeze_v1(Folder(v1->path));
  if (const auto* v2 = find_unified(state_->location)) return freeze_v2(Folder(v2->path));
  return fail("this container has no cgroup to freeze");
}

Result<> Cgroup::thaw() {
  if (const auto* v1 = find_v1(state_->location, "freezer")) return thaw_v1(Folder(v1->path));
  if (const auto* v2 = find_unified(state_->location)) return thaw_v2(Folder(v2->path));
  return fail("this container has no cgroup to thaw");
}

Result<bool> Cgroup::frozen() const {
  if (const auto* v1 = find_v1(state_->location, "freezer")) return frozen_v1(Folder(v1->path));
  if (const auto* v2 = find_unified(state_->location)) return frozen_v2(Folder(v2->path));
  return false;
}

Result<std::vector<pid_t>> Cgroup::processes() const {
  const Location& location = state_->location;
  if (location.hierarchies.empty()) return fail("this container has no cgroup");
  const auto* hierarchy = find_unified(location);
  if (hierarchy == nullptr) hierarchy = &location.hierarchies.front();
  std::vector<pid_t> pids;
  TRY(collect_processes(Folder(hierarchy->path), pids));
  std::ranges::sort(pids);
  pids.erase(std::ranges::unique(pids).begin(), pids.end());
  return pids;
}

Result<> Cgroup::signal_all(int signal) {
  const auto* unified = find_unified(state_->location);
  if (signal == SIGKILL && unified != nullptr && Folder(unified->path).put("cgroup.kill", "1") >= 0) {
    if (frozen().value_or(false)) TRY(thaw());
    return {};
  }
  // Frozen, nobody can fork away from the list that is walked.
  const bool was_frozen = frozen().value_or(false);
  const bool holding = !was_frozen && freeze().has_value();
  auto pids = processes();
  if (pids) {
    for (const pid_t pid : *pids)
      if (pid != ::getpid()) (void)::kill(pid, signal);
  }
  if (holding || (was_frozen && signal == SIGKILL)) TRY(thaw());
  if (!pids) return std::unexpected(std::move(pids).error());
  return {};
}

Result<> Cgroup::remove() {
  Location& location = state_->location;
  if (!location.systemd_unit.empty()) TRY(systemd::stop_unit(state_->request.filesystem_root, location));
  int64_t budget = kRemoveBudgetUs;
  Result<> first_failure;
  for (const auto& hierarchy : location.hierarchies) {
    auto removed = remove_folder(hierarchy.path, budget);
    if (removed && hierarchy.made > 1) remove_empty_parents(hierarchy.path, hierarchy.made - 1);
    if (!removed && first_failure) first_failure = std::move(removed);
  }
  return first_failure;
}

bool Cgroup::remove_empty() {
  if (!state_->location.systemd_unit.empty()) return false;
  for (const auto& hierarchy : state_->location.hierarchies) {
    if (!remove_empty_folder(hierarchy.path)) return false;
    if (hierarchy.made > 1) remove_empty_parents(hierarchy.path, hierarchy.made - 1);
  }
  return true;
}

std::vector<std::string> ignored_fields(const Resources& resources) {
  std::vector<std::string> notes;
  if (resources.memory && resources.memory->kernel.value_or(0) != 0)
    notes.emplace_back("linux.resources.memory.kernel is ignored: kernels no longer limit kernel memory by itself");
  return notes;
}

}  // namespace proa::kernel::cgroup
