// What a container was asked to be, and what is remembered of it: plain structs. Their JSON form on disk
// (codec.h) leaves out what has its initial value.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace proa::engine {

using Strings = std::vector<std::string>;
using StringMap = std::map<std::string, std::string>;

// A volume, a bind mount or a tmpfs.
struct MountConfig {
  std::string type = "volume";  // volume, bind, tmpfs
  std::string source;           // volume's name (empty: anonymous), or host path
  std::string target;
  bool read_only = false;
  bool no_copy = false;          // volume: do not fill an empty one with what the image has there
  bool non_recursive = false;    // bind
  bool read_only_below = false;  // bind: mounts below a read-only one are read-only, too
  bool make_source = false;      // bind: make a missing source folder (-v does, --mount does not)
  bool id_mapped = false;        // bind: in a user namespace, ids on the disk are the container's (volumes always are)
  std::string propagation;       // bind: rprivate when empty
  std::string options;           // tmpfs: as for mount(8)
  std::string subpath;           // volume: a folder or file in it
  std::string driver;            // volume to be made: its driver, options and labels
  StringMap driver_options, labels;
  bool anonymous = false;  // made for this container: removed with it
  bool operator==(const MountConfig&) const = default;
};

struct PortConfig {
  std::string host_ip;
  uint16_t host_port = 0;  // 0: any free one
  uint16_t container_port = 0;
  std::string protocol = "tcp";  // tcp, udp, sctp
  bool operator==(const PortConfig&) const = default;
};

// One network to be part of.
struct NetworkConfig {
  std::string name;
  Strings aliases;
  std::string ip, ip6, mac;
  Strings link_local;            // further addresses of the interface
  StringMap driver_options;      // com.docker.network.endpoint.{ifname,sysctls}
  int64_t gateway_priority = 0;  // of several networks the highest has the default route
};

// Times in nanoseconds; 0: Docker's initial values (30 s, 30 s, 0, 5 s, 3).
struct HealthConfig {
  Strings test;  // {"CMD", ...}, {"CMD-SHELL", line}, {"NONE"}; empty: the image's
  int64_t interval = 0, timeout = 0, start_period = 0, start_interval = 0, retries = 0;
};

struct RestartPolicy {
  std::string name = "no";  // no, on-failure, always, unless-stopped
  int64_t max_retries = 0;  // on-failure; 0: no limit
  bool operator==(const RestartPolicy&) const = default;
};

struct LogConfig {
  std::string driver = "json-file";  // logs/options.h has all
  StringMap options;
  bool operator==(const LogConfig&) const = default;
};

struct UlimitConfig {
  std::string name;  // nofile
  int64_t soft = 0, hard = 0;
  bool operator==(const UlimitConfig&) const = default;
};

struct DeviceConfig {
  std::string host, container, permissions = "rwm";
  bool operator==(const DeviceConfig&) const = default;
};

struct DeviceRate {
  std::string path;
  uint64_t rate = 0;
  bool operator==(const DeviceRate&) const = default;
};

// Bytes, microseconds; -1: no limit; unset or 0: not limited.
struct ResourceConfig {
  int64_t nano_cpus = 0, cpu_shares = 0, cpu_quota = 0, cpu_period = 0, cpu_rt_runtime = 0, cpu_rt_period = 0;
  std::string cpuset_cpus, cpuset_mems;
  int64_t memory = 0, memory_swap = 0, memory_reservation = 0, kernel_memory = 0, pids_limit = 0;
  std::optional<int64_t> memory_swappiness;
  bool oom_kill_disable = false;
  int64_t blkio_weight = 0;
  std::vector<DeviceRate> blkio_weight_device, device_read_bps, device_write_bps, device_read_iops, device_write_iops;
};

// Everything `create` was told. `image` or `rootfs` says what it runs on.
struct ContainerConfig {
  std::string image, rootfs, platform;
  std::optional<Strings> entrypoint;  // unset: the image's; {""} or {}: none
  Strings cmd;
  Strings env;  // NAME=VALUE; NAME alone takes it away
  std::string working_dir, user, hostname, domainname;
  bool tty = false, open_stdin = false, stdin_once = false;
  StringMap labels, annotations;
  std::string stop_signal;
  std::optional<int64_t> stop_timeout;  // seconds
  HealthConfig health;
  Strings exposed_ports;  // 80/tcp
  std::vector<MountConfig> mounts;
  Strings volumes_from;
  std::string volume_driver;
  std::vector<PortConfig> ports;
  bool publish_all = false;
  std::string network_mode;  // none, host, container:ID, or the name of networks[0]; empty: the default
  std::vector<NetworkConfig> networks;
  std::string mac_address;
  Strings dns, dns_search, dns_options, extra_hosts, links;
  Strings cap_add, cap_drop, security_opt;
  bool privileged = false;
  std::vector<DeviceConfig> devices;
  Strings device_cgroup_rules;
  std::vector<UlimitConfig> ulimits;
  StringMap sysctls;
  int64_t shm_size = 0;  // bytes; 0: 64 MiB
  RestartPolicy restart;
  bool auto_remove = false;
  LogConfig log;
  std::string pid_mode, ipc_mode, uts_mode, userns_mode, cgroupns_mode;
  std::string cgroup_parent;
  bool read_only = false, init = false;
  Strings group_add;
  std::optional<int64_t> oom_score_adj;
  ResourceConfig resources;
  // The sandbox to be part of: its id. The modes above then name its holder.
  std::string sandbox;
  // Not empty: this is the holder of a sandbox, and these of its namespaces (net, ipc, uts, pid) are for its
  // containers.
  Strings shared;
};

// What the image says, and what came of it and the config.
struct Resolved {
  std::string image_id, image_name;  // image_id: config digest
  Strings args;                      // entrypoint and command
  size_t entrypoint_size = 0;        // how many of args are the entrypoint
  Strings env;
  std::string working_dir, user, stop_signal = "SIGTERM";
  StringMap labels;
  HealthConfig health;
  Strings exposed_ports;
  std::vector<MountConfig> mounts;      // all, volumes with their names, by target
  std::string snapshot;                 // id in the image store; empty: rootfs
  int64_t ids_first = 0, ids_size = 0;  // the host's ids that the container's are; size 0: no user namespace
};

// One more program in a running container, as it was asked for.
struct ExecConfig {
  Strings args, env;
  std::string user, working_dir, detach_keys;
  bool tty = false, stdin = false, privileged = false;
  bool forget = false;  // it is gone with its end: nobody will ask
};

// What one network gave.
struct Attachment {
  std::string network, network_id, endpoint_id, ip, gateway, ip6, gateway6, mac;
  int64_t prefix = 0, prefix6 = 0;
  Strings aliases;
};

enum class Status : uint8_t { kCreated, kRunning, kPaused, kRestarting, kRemoving, kExited, kDead };

struct HealthProbe {
  std::string start, end, output;
  int64_t exit_code = 0;
};
struct Health {
  std::string status;  // starting, healthy, unhealthy; empty: no check
  int64_t failing_streak = 0;
  std::vector<HealthProbe> log;  // the last five
};

struct State {
  std::string status = "created";  // Status in words
  int64_t pid = 0, shim = 0;
  int64_t exit_code = 0;
  bool oom_killed = false;
  bool stopped_by_user = false;  // stop or kill: unless-stopped and on-failure heed it
  bool stopped_by_host = false;  // with the host: it does not come back before the next boot
  std::string error;
  std::string started_at, finished_at;  // RFC 3339
  std::string boot;                     // the host's boot id when it was started
  int64_t restart_count = 0;
  int64_t backoff_ms = 0;  // the last wait before a restart
  std::vector<Attachment> networks;
  std::vector<PortConfig> ports;  // as published
  // What is being done to it: start, pause, unpause, commit, restart; volumes: removed with its volumes. Written before
  // it begins; found again where nobody is at it any more, its doer was killed, and Engine::take_up() puts things
  // right.
  std::string pending;
};

struct Container {
  std::string id, name, created;  // created: RFC 3339
  ContainerConfig config;
  Resolved resolved;
  State state;
};

}  // namespace proa::engine
