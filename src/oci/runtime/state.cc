#include "oci/runtime/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/record.h"

namespace proa::oci::runtime {
namespace bj = boost::json;
namespace {

constexpr int64_t kStateVersion = 1;
constexpr mode_t kCreatingMode = 0700, kFinishedMode = 0711, kTracedMode = 01000;
constexpr const char* kRecordFile = "record";
constexpr const char* kStartSocket = "start.sock";

bj::object annotations_object(const StringMap& annotations) {
  bj::object object;
  for (const auto& [key, value] : annotations) object.emplace(key, value);
  return object;
}

bj::object location_object(const kernel::cgroup::Location& location) {
  bj::array hierarchies;
  for (const auto& hierarchy : location.hierarchies)
    hierarchies.push_back({{"controllers", hierarchy.controllers}, {"path", hierarchy.path}, {"made", hierarchy.made}});
  return {{"hierarchies", std::move(hierarchies)},
          {"unit", location.systemd_unit},
          {"userManager", location.systemd_user_manager},
          {"rootless", location.rootless}};
}

std::string state_text(const ContainerState& state) {
  const bj::object object{{"version", kStateVersion},
                          {"id", state.id},
                          {"ociVersion", state.oci_version},
                          {"bundle", state.bundle},
                          {"rootfs", state.rootfs},
                          {"created", state.created},
                          {"started", state.started},
                          {"pid", state.pid},
                          {"startTime", state.start_time},
                          {"owner", state.owner},
                          {"rootless", state.rootless},
                          {"noNewKeyring", state.no_new_keyring},
                          {"systemdCgroup", state.systemd_cgroup},
                          {"noCgroup", state.no_cgroup},
                          {"hostMount", state.host_mount},
                          {"resctrlGroup", state.resctrl_group},
                          {"resctrlMonitor", state.resctrl_monitor},
                          {"annotations", annotations_object(state.annotations)},
                          {"cgroup", location_object(state.cgroup)}};
  return bj::serialize(object);
}

kernel::cgroup::Location location_of(const bj::object& object) {
  kernel::cgroup::Location location;
  for (const bj::value& each : object.at("hierarchies").as_array())
    location.hierarchies.push_back({.controllers = bj::value_to<std::string>(each.at("controllers")),
                                    .path = bj::value_to<std::string>(each.at("path")),
                                    .made = bj::value_to<uint32_t>(each.at("made"))});
  location.systemd_unit = bj::value_to<std::string>(object.at("unit"));
  location.systemd_user_manager = object.at("userManager").as_bool();
  location.rootless = object.at("rootless").as_bool();
  return location;
}

// connect(2) and bind(2) take at most 108 bytes; through the folder's descriptor any path fits.
sockaddr_un socket_address(int dirfd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dirfd, kStartSocket);
  return address;
}

Result<Fd> unix_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(errno, "make socket");
  return Fd(fd);
}

std::string folder_path(const std::string& root, const std::string& id) { return cat(root, "/", id); }

// Opens and locks <root>/<id>; the lock may be waited for or not.
Result<Fd> lock_folder(const std::string& path, bool wait) {
  Fd dir = TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  while (::flock(dir.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path);
  // It may have been removed while we waited.
  const struct stat info = TRY(kernel::stat_fd(dir.get()));
  if (info.st_nlink == 0) return fail_errno(ENOENT, "open ", path);
  return dir;
}

bool process_alive(const ContainerState& state) {
  if (state.pid <= 0) return false;
  const auto started = kernel::process_start_time(state.pid);
  return started && *started == state.start_time;
}

Result<> kill_init(const ContainerState& state) {
  if (!process_alive(state)) return {};
  auto pidfd = kernel::pidfd_open(state.pid);
  if (!pidfd) return {};
  // Between the check and the open the number may have passed to another process.
  if (!process_alive(state)) return {};
  (void)kernel::send_signal(pidfd->get(), SIGKILL);
  if (!TRY(kernel::wait_gone(pidfd->get(), 10'000))) return fail("process ", state.pid, " does not die");
  return {};
}

}  // namespace

Result<uint64_t> mount_id(const std::string& path) {
  struct statx info{};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &info) != 0) return fail_errno(errno, "statx ", path);
  return info.stx_mnt_id;
}

std::string_view status_name(Status status) {
  switch (status) {
    case Status::kCreating: return "creating";
    case Status::kCreated: return "created";
    case Status::kRunning: return "running";
    case Status::kStopped: return "stopped";
    case Status::kPaused: return "paused";
  }
  return "unknown";
}

Result<std::string> state_root(const Globals& globals) {
  if (!globals.root.empty()) return globals.root;
  const bool rootless = globals.rootless == Rootless::kYes || (globals.rootless == Rootless::kAuto && ::geteuid() != 0);
  if (!rootless) return std::string("/run/proa/runtime");
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  if (runtime_dir != nullptr && *runtime_dir != '\0') return cat(runtime_dir, "/proa/runtime");
  return cat("/tmp/proa-", ::geteuid(), "/runtime");
}

Result<> check_id(std::string_view id) { return check_container_id(id); }

Result<StateFolder> StateFolder::create(const Globals& globals, const std::string& id) {
  TRY(check_id(id));
  const std::string root = TRY(state_root(globals));
  StateFolder folder;
  folder.path_ = folder_path(root, id);
  for (int attempt = 0;; ++attempt) {
    int made = ::mkdir(folder.path_.c_str(), kCreatingMode);
    if (made != 0 && errno == ENOENT) {
      TRY_CTX(kernel::make_dirs(root, 0711), "state root");
      made = ::mkdir(folder.path_.c_str(), kCreatingMode);
    }
    if (made == 0) break;
    if (errno != EEXIST) return fail_errno(errno, "make ", folder.path_);
    auto left = open(globals, id, false);
    if (attempt == 0 && left) {
      auto locked = lock_folder(folder.path_, false);
      auto state = left->load();
      const bool abandoned = locked && ((state && state->creating) || (!state && state.error().code() == ENOENT));
      if (abandoned) {
        log::info("taking away container ", id, ", whose creation was cut short");
        TRY(destroy(*left, state ? *state : ContainerState{}));
        continue;
      }
    }
    if (attempt == 0 && !left && left.error().code() == ENOENT) continue;
    return fail_errno(EEXIST, "container with given ID already exists: ", id)
        .hint("choose another id, or remove it with `delete`");
  }
  auto dir = lock_folder(folder.path_, true);
  // Between our mkdir and our lock somebody who tidies up took it for a dead creator's.
  if (!dir && dir.error().code() == ENOENT) return create(globals, id);
  if (!dir) {
    ::rmdir(folder.path_.c_str());
    return std::unexpected(std::move(dir).error());
  }
  folder.dir_ = *std::move(dir);
  return folder;
}

Result<StateFolder> StateFolder::open(const Globals& globals, const std::string& id, bool lock) {
  TRY(check_id(id));
  StateFolder folder;
  folder.path_ = folder_path(TRY(state_root(globals)), id);
  auto dir =
      lock ? lock_folder(folder.path_, true) : kernel::open(folder.path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) {
    // runc's words; engines look for them.
    if (dir.error().code() == ENOENT) return fail_errno(ENOENT, "container does not exist: ", id);
    return std::unexpected(std::move(dir).error());
  }
  folder.dir_ = *std::move(dir);
  return folder;
}

Result<> StateFolder::begin(const ContainerState& state, std::string_view config) const {
  const Fd file = TRY(kernel::open_at(dir_.get(), kRecordFile, O_WRONLY | O_CREAT | O_EXCL, 0600));
  TRY_CTX(kernel::write_all(file.get(), first_record(config, state_text(state))), path_, "/", kRecordFile);
  return {};
}

Result<> StateFolder::save(const ContainerState& state) const {
  const Fd file = TRY(kernel::open_at(dir_.get(), kRecordFile, O_WRONLY | O_APPEND));
  TRY_CTX(kernel::write_all(file.get(), next_record(state_text(state))), path_, "/", kRecordFile);
  return {};
}

Result<> StateFolder::replace(const ContainerState& state, std::string_view config) const {
  return kernel::replace_file(cat("/proc/self/fd/", dir_.get(), "/", kRecordFile),
                              first_record(config, state_text(state)), 0600);
}

Result<> StateFolder::finish(bool traced) const {
  if (::fchmod(dir_.get(), kFinishedMode | (traced ? kTracedMode : 0)) != 0) return fail_errno(errno, "finish ", path_);
  return {};
}

Result<ContainerState> StateFolder::load() const {
  const std::string text = TRY(kernel::read_file_at(dir_.get(), kRecordFile));
  const Record record = TRY_CTX(read_record(text), path_, "/", kRecordFile);
  return TRY_CTX(parse(record.state), path_, "/", kRecordFile);
}

Result<ContainerState> StateFolder::parse(std::string_view text) const {
  const bj::value value = TRY(json::parse(text));
  try {
    const bj::object& object = value.as_object();
    if (object.at("version").as_int64() != kStateVersion)
      return fail("version ", object.at("version").as_int64(), " is not known")
          .hint("it was written by another release of proa");
    ContainerState state;
    state.id = bj::value_to<std::string>(object.at("id"));
    state.oci_version = bj::value_to<std::string>(object.at("ociVersion"));
    state.bundle = bj::value_to<std::string>(object.at("bundle"));
    state.rootfs = bj::value_to<std::string>(object.at("rootfs"));
    state.created = bj::value_to<std::string>(object.at("created"));
    const mode_t mode = TRY(kernel::stat_fd(dir_.get())).st_mode;
    state.creating = (mode & 0777) != kFinishedMode;
    state.traced = (mode & kTracedMode) != 0;
    state.started = object.at("started").as_bool();
    state.pid = bj::value_to<pid_t>(object.at("pid"));
    state.start_time = bj::value_to<uint64_t>(object.at("startTime"));
    state.owner = bj::value_to<uint32_t>(object.at("owner"));
    state.rootless = object.at("rootless").as_bool();
    state.no_new_keyring = object.at("noNewKeyring").as_bool();
    state.systemd_cgroup = object.at("systemdCgroup").as_bool();
    state.no_cgroup = object.at("noCgroup").as_bool();
    state.host_mount = bj::value_to<uint64_t>(object.at("hostMount"));
    state.resctrl_group = bj::value_to<std::string>(object.at("resctrlGroup"));
    state.resctrl_monitor = bj::value_to<std::string>(object.at("resctrlMonitor"));
    for (const auto& member : object.at("annotations").as_object())
      state.annotations.emplace(member.key(), bj::value_to<std::string>(member.value()));
    state.cgroup = location_of(object.at("cgroup").as_object());
    return state;
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

Result<Spec> StateFolder::load_config() const {
  const std::string text = TRY(kernel::read_file_at(dir_.get(), kRecordFile));
  const Record record = TRY_CTX(read_record(text), path_, "/", kRecordFile);
  return TRY_CTX(parse_spec(record.config), path_, "/", kRecordFile);
}

Result<WholeRecord> StateFolder::load_whole() const {
  const std::string text = TRY(kernel::read_file_at(dir_.get(), kRecordFile));
  const Record record = TRY_CTX(read_record(text), path_, "/", kRecordFile);
  return WholeRecord{.state = TRY_CTX(parse(record.state), path_, "/", kRecordFile),
                     .spec = TRY_CTX(parse_spec(record.config), path_, "/", kRecordFile)};
}

Result<Fd> StateFolder::listen() const {
  Fd socket = TRY(unix_socket());
  const sockaddr_un address = socket_address(dir_.get());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "bind ", path_, "/", kStartSocket);
  if (::listen(socket.get(), 16) != 0) return fail_errno(errno, "listen on ", path_, "/", kStartSocket);
  return socket;
}

Result<Fd> StateFolder::connect() const {
  Fd socket = TRY(unix_socket());
  const sockaddr_un address = socket_address(dir_.get());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "connect to ", path_, "/", kStartSocket);
  return socket;
}

void StateFolder::unlock() const { ::flock(dir_.get(), LOCK_UN); }

Result<bool> StateFolder::lock_again() const {
  while (::flock(dir_.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path_);
  return TRY(kernel::stat_fd(dir_.get())).st_nlink != 0;
}

void StateFolder::forget_start() const { ::unlinkat(dir_.get(), kStartSocket, 0); }

Result<> StateFolder::remove() {
  // The record goes last: until then the next command can finish the work.
  for (const char* name : {kStartSocket, kRecordFile})
    if (::unlinkat(dir_.get(), name, 0) != 0 && errno != ENOENT) return fail_errno(errno, "remove ", path_, "/", name);
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return {};
  if (errno != ENOTEMPTY) return fail_errno(errno, "remove ", path_);
  return kernel::remove_tree(path_);  // a half-written file of a process that was killed
}

Result<Status> current_status(const StateFolder& folder, const ContainerState& state) {
  if (state.creating) return Status::kCreating;
  if (!process_alive(state)) return Status::kStopped;
  if (!state.cgroup.hierarchies.empty()) {
    auto cgroup = kernel::cgroup::Cgroup::open(state.cgroup);
    if (cgroup) {
      const auto frozen = cgroup->frozen();
      // Asked first: a frozen process would leave the connection below unanswered.
      if (frozen && *frozen) return Status::kPaused;
    }
  }
  if (!state.started && folder.connect()) return Status::kCreated;
  return Status::kRunning;
}

std::string state_document(const ContainerState& state, Status status, pid_t pid) {
  bj::object object{{"ociVersion", state.oci_version}, {"id", state.id}, {"status", status_name(status)}};
  if (status != Status::kStopped) object.emplace("pid", pid);
  object.emplace("bundle", state.bundle);
  if (!state.annotations.empty()) object.emplace("annotations", annotations_object(state.annotations));
  return bj::serialize(object);
}

kernel::cgroup::Request cgroup_request(const ContainerState& state, const Linux& linux_, const StringMap& annotations) {
  kernel::cgroup::Request request;
  request.driver = state.systemd_cgroup ? kernel::cgroup::Driver::kSystemd : kernel::cgroup::Driver::kCgroupfs;
  request.cgroups_path = linux_.cgroups_path;
  request.id = state.id;
  request.rootless = state.rootless;
  for (const auto& [key, value] : annotations)
    if (key.starts_with("org.systemd.property.")) request.systemd_properties.emplace_back(key, value);
  return request;
}

namespace {

Result<> remove_cgroup(kernel::cgroup::Cgroup& cgroup) {
  if (cgroup.remove_empty()) return {};
  auto left = cgroup.processes();
  if (left && !left->empty()) TRY_CTX(cgroup.signal_all(SIGKILL), "kill what is left in the cgroup");
  TRY_CTX(cgroup.remove(), "remove the cgroup");
  return {};
}

// A creator that died may have made the cgroup and not told: its request says where it is.
Result<> remove_unrecorded_cgroup(const StateFolder& folder, const ContainerState& state) {
  if (state.no_cgroup) return {};
  const auto spec = folder.load_config();
  if (!spec || !spec->linux_) return {};
  // The creator's child dies with it, but takes a moment; a cgroup that others stay in is not ours.
  auto cgroup = TRY(kernel::cgroup::Cgroup::find(cgroup_request(state, *spec->linux_, spec->annotations)));
  for (int wait_ms = 1; wait_ms <= 256; wait_ms *= 2) {
    const auto removed = cgroup.remove();
    if (removed || removed.error().code() != EBUSY) return removed;
    ::usleep(static_cast<useconds_t>(wait_ms) * 1000);
  }
  return {};
}

}  // namespace

namespace {

Result<> destroy_cgroup(const StateFolder& folder, const ContainerState& state) {
  if (state.cgroup.hierarchies.empty() && state.cgroup.systemd_unit.empty())
    return state.creating ? remove_unrecorded_cgroup(folder, state) : Result<>{};
  auto cgroup = TRY(kernel::cgroup::Cgroup::open(state.cgroup));
  return remove_cgroup(cgroup);
}

Result<> destroy_resctrl(const ContainerState& state) {
  for (const std::string& group : {state.resctrl_monitor, state.resctrl_group})
    if (!group.empty() && ::rmdir(group.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove ", group);
  return {};
}

// What is mounted there now may be the user's own, as it was before.
Result<> destroy_host_mounts(const ContainerState& state) {
  if (state.host_mount == 0) return {};
  const auto now = mount_id(state.rootfs);
  if (!now && now.error().code() == ENOENT) return {};
  if (!now) return std::unexpected(now.error());
  if (*now != state.host_mount && ::umount2(state.rootfs.c_str(), MNT_DETACH) != 0)
    return fail_errno(errno, "unmount ", state.rootfs);
  return {};
}

}  // namespace

Result<> destroy(StateFolder& folder, const ContainerState& state) {
  TRY(kill_init(state));
  auto cgroup = destroy_cgroup(folder, state);
  // What never came to be (a path that is no path, a systemd that is not there) must not keep the rest alive.
  if (!cgroup && !state.creating) return cgroup;
  if (!cgroup) log::debug("container ", state.id, ": ", cgroup.error().message());
  TRY(destroy_resctrl(state));
  TRY(destroy_host_mounts(state));
  return folder.remove();
}

namespace {

bool is_unfinished(const Result<ContainerState>& state) {
  return state ? state->creating : state.error().code() == ENOENT;
}

}  // namespace

Result<std::vector<std::string>> container_ids(const Globals& globals) {
  const std::string root = TRY(state_root(globals));
  DIR* dir = ::opendir(root.c_str());
  if (dir == nullptr) {
    if (errno == ENOENT) return std::vector<std::string>{};
    return fail_errno(errno, "read ", root);
  }
  Defer close_dir([dir] { ::closedir(dir); });
  std::vector<std::string> ids;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string id = entry->d_name;
    if (entry->d_type != DT_DIR || !check_id(id)) continue;
    auto folder = StateFolder::open(globals, id, false);
    if (!folder) continue;
    if (is_unfinished(folder->load())) {
      auto locked = lock_folder(folder->path(), false);
      // Once more under the lock: its creator may just have finished.
      auto state = folder->load();
      if (locked && is_unfinished(state)) {
        log::info("taking away container ", id, ", whose creation was cut short");
        const auto done = destroy(*folder, state ? *state : ContainerState{});
        if (!done) log::warning("container ", id, ": ", done.error().message());
        if (done) continue;
      }
    }
    ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace proa::oci::runtime
