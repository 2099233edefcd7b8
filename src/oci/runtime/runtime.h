// The OCI runtime: runc's commands as functions. The command line (cli/) only reads flags and prints.
// Each call is one short-lived process's whole work: single-threaded, may fork.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci::runtime {

enum class Rootless : uint8_t { kAuto, kYes, kNo };

// Global flags.
struct Globals {
  std::string root;  // state folder; empty: /run/proa/runtime, or $XDG_RUNTIME_DIR/proa/runtime when rootless
  bool systemd_cgroup = false;
  bool no_cgroup = false;  // --cgroup-manager=disabled: stay in the caller's cgroups
  Rootless rootless = Rootless::kAuto;
};

struct CreateOptions {
  std::string bundle = ".";
  std::string config;  // file to read instead of the bundle's config.json; empty: that one
  std::string console_socket;
  std::string pidfd_socket;
  std::string pid_file;
  bool no_pivot = false;
  bool no_new_keyring = false;
  int preserve_fds = 0;
  // run only:
  bool detach = false;
  bool keep = false;
  bool no_subreaper = false;
};

struct ExecOptions {
  std::string process_file;  // --process; empty: the fields below
  std::vector<std::string> args;
  std::optional<std::string> cwd, user;  // user: UID[:GID]
  std::vector<std::string> env, capabilities, additional_gids;
  bool tty = false;
  bool detach = false;
  std::optional<bool> no_new_privileges;
  std::string console_socket, pidfd_socket, pid_file, apparmor, selinux_label;
  std::vector<std::string> cgroups;  // sub-cgroups, each [CONTROLLER,...:]PATH
  bool ignore_paused = false;
  int preserve_fds = 0;
};

// `update`: limits as on runc's command line; unset ones stay. resources_file ("-" = stdin) excludes the others.
struct UpdateOptions {
  std::string resources_file;
  std::optional<uint64_t> blkio_weight, cpu_period, cpu_share, cpu_burst, cpu_rt_period;
  std::optional<int64_t> cpu_quota, cpu_rt_runtime, cpu_idle;
  std::optional<std::string> cpuset_cpus, cpuset_mems;
  std::optional<int64_t> memory, memory_reservation, memory_swap, pids_limit, kernel_memory, kernel_memory_tcp;
  std::string l3_cache_schema, mem_bw_schema;
};

struct CheckpointOptions {
  std::string image_path = "checkpoint", work_path, parent_path, status_fd, page_server, manage_cgroups_mode = "soft",
              criu = "criu";
  bool leave_running = false, tcp_established = false, tcp_skip_in_flight = false, link_remap = false,
       ext_unix_sk = false, shell_job = false, lazy_pages = false, file_locks = false, pre_dump = false,
       auto_dedup = false;
  std::string lsm_profile, lsm_mount_context;  // restore: TYPE:NAME and an SELinux context
  std::vector<std::string> empty_ns;
};

struct ListOptions {
  bool quiet = false;
  bool json = false;
};

Result<> create(const Globals&, const std::string& id, const CreateOptions&);
Result<> start(const Globals&, const std::string& id);
// The container process's exit status (128+n for a signal); 0 at once when detached.
Result<int> run(const Globals&, const std::string& id, const CreateOptions&);
Result<int> exec(const Globals&, const std::string& id, const ExecOptions&);
// The state document of the OCI runtime-spec, pretty-printed JSON.
Result<std::string> state(const Globals&, const std::string& id);
// `signal`: a name with or without SIG, or a number.
Result<> kill(const Globals&, const std::string& id, std::string_view signal, bool all);
Result<> remove(const Globals&, const std::string& id, bool force);
Result<> pause(const Globals&, const std::string& id);
Result<> resume(const Globals&, const std::string& id);
Result<> update(const Globals&, const std::string& id, const UpdateOptions&);
// One document to stdout when `once`, else one each interval and each OOM until the container stops.
Result<> events(const Globals&, const std::string& id, bool once, double interval_seconds);
// Text for stdout: a JSON array of pids, or ps(1)'s table limited to the container's processes.
Result<std::string> ps(const Globals&, const std::string& id, bool json, const std::vector<std::string>& ps_args);
Result<std::string> list(const Globals&, const ListOptions&);
// Writes a starting config.json into the bundle; refuses to overwrite one.
Result<> write_template(const std::string& bundle, bool rootless);
// The features document (features.md of the runtime-spec).
std::string features();
Result<> checkpoint(const Globals&, const std::string& id, const CheckpointOptions&);
Result<int> restore(const Globals&, const std::string& id, const CreateOptions&, const CheckpointOptions&);

}  // namespace proa::oci::runtime
