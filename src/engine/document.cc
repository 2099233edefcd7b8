// Docker's document of a container (GET /containers/ID/json).
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "engine/engine.h"

namespace proa::engine {
namespace {

namespace bj = boost::json;

bj::array strings(const Strings& list) {
  bj::array out;
  for (const std::string& text : list) out.emplace_back(text);
  return out;
}
bj::value strings_or_null(const Strings& list) { return list.empty() ? bj::value() : bj::value(strings(list)); }
bj::object map_of(const StringMap& map) {
  bj::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}
std::string time_or_zero(const std::string& time) { return time.empty() ? "0001-01-01T00:00:00Z" : time; }

bj::object health_document(const HealthConfig& h) {
  return {{"Test", strings(h.test)},
          {"Interval", h.interval},
          {"Timeout", h.timeout},
          {"StartPeriod", h.start_period},
          {"StartInterval", h.start_interval},
          {"Retries", h.retries}};
}

bj::object state_document(const Container& c, const Health& health) {
  const State& s = c.state;
  bj::object out = {{"Status", s.status},
                    {"Running", is_running(s)},
                    {"Paused", s.status == "paused"},
                    {"Restarting", s.status == "restarting"},
                    {"OOMKilled", s.oom_killed},
                    {"Dead", s.status == "dead"},
                    {"Pid", s.pid},
                    {"ExitCode", s.exit_code},
                    {"Error", s.error},
                    {"StartedAt", time_or_zero(s.started_at)},
                    {"FinishedAt", time_or_zero(s.finished_at)}};
  if (health.status.empty()) return out;
  bj::array log;
  for (const HealthProbe& probe : health.log)
    log.push_back(
        {{"Start", probe.start}, {"End", probe.end}, {"ExitCode", probe.exit_code}, {"Output", probe.output}});
  out["Health"] = {{"Status", health.status}, {"FailingStreak", health.failing_streak}, {"Log", std::move(log)}};
  return out;
}

bj::object config_document(const Container& c) {
  const ContainerConfig& config = c.config;
  const Resolved& r = c.resolved;
  bj::object exposed, volumes;
  for (const std::string& port : r.exposed_ports) exposed[port] = bj::object();
  for (const MountConfig& mount : r.mounts)
    if (mount.anonymous) volumes[mount.target] = bj::object();
  const auto middle = r.args.begin() + static_cast<long>(r.entrypoint_size);
  bj::object out = {{"Hostname", config.hostname},
                    {"Domainname", config.domainname},
                    {"User", r.user},
                    {"AttachStdin", config.stdin_once},
                    {"AttachStdout", true},
                    {"AttachStderr", true},
                    {"ExposedPorts", std::move(exposed)},
                    {"Tty", config.tty},
                    {"OpenStdin", config.open_stdin},
                    {"StdinOnce", config.stdin_once},
                    {"Env", strings(r.env)},
                    {"Cmd", strings_or_null(Strings(middle, r.args.end()))},
                    {"Image", config.image.empty() ? config.rootfs : config.image},
                    {"Volumes", volumes.empty() ? bj::value() : bj::value(std::move(volumes))},
                    {"WorkingDir", r.working_dir},
                    {"Entrypoint", strings_or_null(Strings(r.args.begin(), middle))},
                    {"Labels", map_of(r.labels)},
                    {"StopSignal", r.stop_signal}};
  if (config.stop_timeout) out["StopTimeout"] = *config.stop_timeout;
  if (!r.health.test.empty()) out["Healthcheck"] = health_document(r.health);
  return out;
}

bj::value port_map(const std::vector<PortConfig>& ports) {
  bj::object out;
  for (const PortConfig& port : ports) {
    bj::value& list = out[cat(port.container_port, "/", port.protocol)];
    if (!list.is_array()) list = bj::array();
    list.get_array().push_back(
        {{"HostIp", port.host_ip}, {"HostPort", port.host_port == 0 ? "" : std::to_string(port.host_port)}});
  }
  return out;
}

bj::array rates(const std::vector<DeviceRate>& list, const char* name) {
  bj::array out;
  for (const DeviceRate& rate : list) out.push_back({{"Path", rate.path}, {name, rate.rate}});
  return out;
}

bj::object host_document(const Container& c) {
  const ContainerConfig& g = c.config;
  const ResourceConfig& r = g.resources;
  bj::array binds, mounts, devices, ulimits;
  bj::object tmpfs;
  for (const MountConfig& m : g.mounts) {
    if (m.type == "tmpfs")
      tmpfs[m.target] = m.options;
    else if (!m.source.empty())
      binds.emplace_back(cat(m.source, ":", m.target, m.read_only ? ":ro" : ""));
  }
  for (const DeviceConfig& d : g.devices)
    devices.push_back({{"PathOnHost", d.host}, {"PathInContainer", d.container}, {"CgroupPermissions", d.permissions}});
  for (const UlimitConfig& u : g.ulimits) ulimits.push_back({{"Name", u.name}, {"Soft", u.soft}, {"Hard", u.hard}});
  bj::object out = {{"Binds", binds.empty() ? bj::value() : bj::value(std::move(binds))},
                    {"ContainerIDFile", ""},
                    {"LogConfig", {{"Type", g.log.driver}, {"Config", map_of(g.log.options)}}},
                    {"NetworkMode", g.network_mode},
                    {"PortBindings", port_map(g.ports)},
                    {"RestartPolicy", {{"Name", g.restart.name}, {"MaximumRetryCount", g.restart.max_retries}}},
                    {"AutoRemove", g.auto_remove},
                    {"VolumeDriver", g.volume_driver},
                    {"VolumesFrom", strings_or_null(g.volumes_from)},
                    {"CapAdd", strings_or_null(g.cap_add)},
                    {"CapDrop", strings_or_null(g.cap_drop)},
                    {"CgroupnsMode", g.cgroupns_mode.empty() ? "private" : g.cgroupns_mode},
                    {"Dns", strings(g.dns)},
                    {"DnsOptions", strings(g.dns_options)},
                    {"DnsSearch", strings(g.dns_search)},
                    {"ExtraHosts", strings_or_null(g.extra_hosts)},
                    {"GroupAdd", strings_or_null(g.group_add)},
                    {"IpcMode", g.ipc_mode.empty() ? "private" : g.ipc_mode},
                    {"Cgroup", ""},
                    {"Links", strings_or_null(g.links)},
                    {"OomScoreAdj", g.oom_score_adj.value_or(0)},
                    {"PidMode", g.pid_mode},
                    {"Privileged", g.privileged},
                    {"PublishAllPorts", g.publish_all},
                    {"ReadonlyRootfs", g.read_only},
                    {"SecurityOpt", strings_or_null(g.security_opt)},
                    {"UTSMode", g.uts_mode},
                    {"UsernsMode", g.userns_mode},
                    {"ShmSize", g.shm_size == 0 ? 67108864 : g.shm_size},
                    {"Sysctls", map_of(g.sysctls)},
                    {"Runtime", "proa"},
                    {"Isolation", ""},
                    {"Init", g.init}};
  if (!tmpfs.empty()) out["Tmpfs"] = std::move(tmpfs);
  const bj::object limits = {{"CpuShares", r.cpu_shares},
                             {"Memory", r.memory},
                             {"NanoCpus", r.nano_cpus},
                             {"CgroupParent", g.cgroup_parent},
                             {"BlkioWeight", r.blkio_weight},
                             {"BlkioWeightDevice", rates(r.blkio_weight_device, "Weight")},
                             {"BlkioDeviceReadBps", rates(r.device_read_bps, "Rate")},
                             {"BlkioDeviceWriteBps", rates(r.device_write_bps, "Rate")},
                             {"BlkioDeviceReadIOps", rates(r.device_read_iops, "Rate")},
                             {"BlkioDeviceWriteIOps", rates(r.device_write_iops, "Rate")},
                             {"CpuPeriod", r.cpu_period},
                             {"CpuQuota", r.cpu_quota},
                             {"CpuRealtimePeriod", r.cpu_rt_period},
                             {"CpuRealtimeRuntime", r.cpu_rt_runtime},
                             {"CpusetCpus", r.cpuset_cpus},
                             {"CpusetMems", r.cpuset_mems},
                             {"Devices", std::move(devices)},
                             {"DeviceCgroupRules", strings_or_null(g.device_cgroup_rules)},
                             {"MemoryReservation", r.memory_reservation},
                             {"MemorySwap", r.memory > 0 && r.memory_swap == 0 ? 2 * r.memory : r.memory_swap},
                             {"MemorySwappiness", r.memory_swappiness ? bj::value(*r.memory_swappiness) : bj::value()},
                             {"OomKillDisable", r.oom_kill_disable},
                             {"PidsLimit", r.pids_limit == 0 ? bj::value() : bj::value(r.pids_limit)},
                             {"Ulimits", std::move(ulimits)}};
  for (const auto& member : limits) out[member.key()] = member.value();
  return out;
}

const NetworkConfig* asked_for(const ContainerConfig& config, const std::string& network) {
  const auto found = std::ranges::find(config.networks, network, &NetworkConfig::name);
  return found == config.networks.end() ? nullptr : &*found;
}

// The addresses that were asked for.
bj::value ipam_document(const ContainerConfig& config, const std::string& network) {
  const NetworkConfig* asked = asked_for(config, network);
  bj::object out;
  if (asked == nullptr) return {};
  if (!asked->ip.empty()) out["IPv4Address"] = asked->ip;
  if (!asked->ip6.empty()) out["IPv6Address"] = asked->ip6;
  if (!asked->link_local.empty()) out["LinkLocalIPs"] = strings_or_null(asked->link_local);
  return out.empty() ? bj::value() : bj::value(std::move(out));
}

bj::value driver_options_document(const ContainerConfig& config, const std::string& network) {
  const NetworkConfig* asked = asked_for(config, network);
  bj::object out;
  if (asked != nullptr)
    for (const auto& [name, value] : asked->driver_options) out[name] = value;
  return out.empty() ? bj::value() : bj::value(std::move(out));
}

bj::object network_document(const Container& c) {
  bj::object networks;
  for (const Attachment& a : c.state.networks)
    networks[a.network] = {{"IPAMConfig", ipam_document(c.config, a.network)},
                           {"DriverOpts", driver_options_document(c.config, a.network)},
                           {"Aliases", strings_or_null(a.aliases)},
                           {"NetworkID", a.network_id},
                           {"EndpointID", a.endpoint_id},
                           {"Gateway", a.gateway},
                           {"IPAddress", a.ip},
                           {"IPPrefixLen", a.prefix},
                           {"IPv6Gateway", a.gateway6},
                           {"GlobalIPv6Address", a.ip6},
                           {"GlobalIPv6PrefixLen", a.prefix6},
                           {"MacAddress", a.mac}};
  if (c.state.networks.empty())
    networks[c.config.network_mode] = {{"NetworkID", ""}, {"EndpointID", ""}, {"Gateway", ""},
                                       {"IPAddress", ""}, {"IPPrefixLen", 0}, {"MacAddress", ""}};
  const Attachment first = c.state.networks.empty() ? Attachment{} : c.state.networks.front();
  return {{"Ports", port_map(c.state.ports)},
          {"Gateway", first.gateway},
          {"IPAddress", first.ip},
          {"IPPrefixLen", first.prefix},
          {"MacAddress", first.mac},
          {"EndpointID", first.endpoint_id},
          {"GlobalIPv6Address", first.ip6},
          {"SandboxKey", c.state.pid == 0 ? "" : cat("/proc/", c.state.pid, "/ns/net")},
          {"Networks", std::move(networks)}};
}

}  // namespace

Result<std::string> Engine::document(const Container& c, bool size) {
  bj::array mounts;
  for (const MountConfig& m : c.resolved.mounts) {
    if (m.type == "tmpfs") {
      mounts.push_back({{"Type", "tmpfs"},
                        {"Source", ""},
                        {"Destination", m.target},
                        {"Mode", m.options},
                        {"RW", !m.read_only},
                        {"Propagation", ""}});
      continue;
    }
    bj::object mount = {{"Type", m.type}};
    std::string source = m.source;
    if (m.type == "volume") {
      mount["Name"] = m.source;
      source = folders_.volumes() + "/" + m.source + "/_data";
      mount["Driver"] = "local";
    }
    mount["Source"] = source;
    mount["Destination"] = m.target;
    mount["Mode"] = m.read_only ? "ro" : "";
    mount["RW"] = !m.read_only;
    mount["Propagation"] = m.type == "bind" ? (m.propagation.empty() ? "rprivate" : m.propagation) : "";
    mounts.emplace_back(std::move(mount));
  }
  const std::string folder = folders_.container(c.id);
  bj::object out = {
      {"Id", c.id},
      {"Created", c.created},
      {"Path", c.resolved.args.empty() ? "" : c.resolved.args.front()},
      {"Args", strings(Strings(c.resolved.args.begin() + (c.resolved.args.empty() ? 0 : 1), c.resolved.args.end()))},
      {"State", state_document(c, is_running(c.state) ? health(c) : Health{})},
      {"Image", c.resolved.image_id},
      {"ResolvConfPath", folder + "/resolv.conf"},
      {"HostnamePath", folder + "/hostname"},
      {"HostsPath", folder + "/hosts"},
      {"LogPath", c.config.log.driver == "none" ? "" : folder + "/log"},
      {"Name", "/" + c.name},
      {"RestartCount", c.state.restart_count},
      {"Driver", c.resolved.snapshot.empty() ? "folder" : "overlay2"},
      {"Platform", "linux"},
      {"MountLabel", ""},
      {"ProcessLabel", ""},
      {"AppArmorProfile", ""},
      {"ExecIDs", strings_or_null(exec_ids(c.id))},
      {"HostConfig", host_document(c)},
      {"GraphDriver", {{"Name", "overlay2"}, {"Data", bj::object()}}},
      {"Mounts", std::move(mounts)},
      {"Config", config_document(c)},
      {"NetworkSettings", network_document(c)}};
  if (size && !c.resolved.snapshot.empty()) out["SizeRw"] = images_.usage(c.resolved.snapshot).value_or(0);
  return json::to_line(out);
}

}  // namespace proa::engine
