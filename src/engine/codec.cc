#include "engine/codec.h"

#include <boost/json.hpp>
#include <concepts>
#include <type_traits>

#include "base/json.h"

namespace proa::engine {
namespace {

namespace bj = boost::json;

// Every field once, by name; what is done with it is the visitor's.
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, MountConfig>
void visit(V& v, T& t) {
  v("type", t.type), v("source", t.source), v("target", t.target), v("readOnly", t.read_only), v("noCopy", t.no_copy);
  v("nonRecursive", t.non_recursive), v("makeSource", t.make_source), v("propagation", t.propagation);
  v("options", t.options), v("driver", t.driver), v("driverOptions", t.driver_options), v("anonymous", t.anonymous);
  v("subpath", t.subpath), v("labels", t.labels), v("readOnlyBelow", t.read_only_below), v("idMapped", t.id_mapped);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, PortConfig>
void visit(V& v, T& t) {
  v("hostIP", t.host_ip), v("hostPort", t.host_port), v("port", t.container_port), v("protocol", t.protocol);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, NetworkConfig>
void visit(V& v, T& t) {
  v("name", t.name), v("aliases", t.aliases), v("ip", t.ip), v("ip6", t.ip6), v("mac", t.mac);
  v("linkLocal", t.link_local), v("driverOptions", t.driver_options);
  v("gatewayPriority", t.gateway_priority);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, HealthConfig>
void visit(V& v, T& t) {
  v("test", t.test), v("interval", t.interval), v("timeout", t.timeout), v("startPeriod", t.start_period);
  v("startInterval", t.start_interval), v("retries", t.retries);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, RestartPolicy>
void visit(V& v, T& t) {
  v("name", t.name), v("maxRetries", t.max_retries);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, LogConfig>
void visit(V& v, T& t) {
  v("driver", t.driver), v("options", t.options);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, UlimitConfig>
void visit(V& v, T& t) {
  v("name", t.name), v("soft", t.soft), v("hard", t.hard);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, DeviceConfig>
void visit(V& v, T& t) {
  v("host", t.host), v("container", t.container), v("permissions", t.permissions);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, DeviceRate>
void visit(V& v, T& t) {
  v("path", t.path), v("rate", t.rate);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, ResourceConfig>
void visit(V& v, T& t) {
  v("nanoCpus", t.nano_cpus), v("cpuShares", t.cpu_shares), v("cpuQuota", t.cpu_quota), v("cpuPeriod", t.cpu_period);
  v("cpuRtRuntime", t.cpu_rt_runtime), v("cpuRtPeriod", t.cpu_rt_period), v("cpusetCpus", t.cpuset_cpus);
  v("cpusetMems", t.cpuset_mems), v("memory", t.memory), v("memorySwap", t.memory_swap);
  v("memoryReservation", t.memory_reservation), v("kernelMemory", t.kernel_memory), v("pidsLimit", t.pids_limit);
  v("memorySwappiness", t.memory_swappiness), v("oomKillDisable", t.oom_kill_disable);
  v("blkioWeight", t.blkio_weight), v("blkioWeightDevice", t.blkio_weight_device),
      v("deviceReadBps", t.device_read_bps);
  v("deviceWriteBps", t.device_write_bps), v("deviceReadIops", t.device_read_iops);
  v("deviceWriteIops", t.device_write_iops);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, ContainerConfig>
void visit(V& v, T& t) {
  v("image", t.image), v("rootfs", t.rootfs), v("platform", t.platform), v("entrypoint", t.entrypoint);
  v("cmd", t.cmd), v("env", t.env), v("workingDir", t.working_dir), v("user", t.user), v("hostname", t.hostname);
  v("domainname", t.domainname), v("tty", t.tty), v("openStdin", t.open_stdin), v("stdinOnce", t.stdin_once);
  v("labels", t.labels), v("annotations", t.annotations), v("stopSignal", t.stop_signal);
  v("stopTimeout", t.stop_timeout), v("health", t.health), v("exposedPorts", t.exposed_ports), v("mounts", t.mounts);
  v("volumesFrom", t.volumes_from), v("volumeDriver", t.volume_driver), v("ports", t.ports);
  v("publishAll", t.publish_all), v("networkMode", t.network_mode), v("networks", t.networks);
  v("macAddress", t.mac_address), v("dns", t.dns), v("dnsSearch", t.dns_search), v("dnsOptions", t.dns_options);
  v("extraHosts", t.extra_hosts), v("links", t.links), v("capAdd", t.cap_add), v("capDrop", t.cap_drop);
  v("securityOpt", t.security_opt), v("privileged", t.privileged), v("devices", t.devices);
  v("deviceCgroupRules", t.device_cgroup_rules), v("ulimits", t.ulimits), v("sysctls", t.sysctls);
  v("shmSize", t.shm_size), v("restart", t.restart), v("autoRemove", t.auto_remove), v("log", t.log);
  v("pidMode", t.pid_mode), v("ipcMode", t.ipc_mode), v("utsMode", t.uts_mode), v("usernsMode", t.userns_mode);
  v("cgroupnsMode", t.cgroupns_mode), v("cgroupParent", t.cgroup_parent), v("readOnly", t.read_only);
  v("init", t.init), v("groupAdd", t.group_add), v("oomScoreAdj", t.oom_score_adj), v("resources", t.resources);
  v("sandbox", t.sandbox), v("shared", t.shared);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, Resolved>
void visit(V& v, T& t) {
  v("imageId", t.image_id), v("imageName", t.image_name), v("args", t.args), v("entrypointSize", t.entrypoint_size);
  v("env", t.env), v("workingDir", t.working_dir), v("user", t.user), v("stopSignal", t.stop_signal);
  v("labels", t.labels), v("health", t.health), v("exposedPorts", t.exposed_ports), v("mounts", t.mounts);
  v("snapshot", t.snapshot), v("idsFirst", t.ids_first), v("idsSize", t.ids_size);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, ExecConfig>
void visit(V& v, T& t) {
  v("args", t.args), v("env", t.env), v("user", t.user), v("workingDir", t.working_dir);
  v("detachKeys", t.detach_keys), v("tty", t.tty), v("stdin", t.stdin), v("privileged", t.privileged);
  v("forget", t.forget);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, Attachment>
void visit(V& v, T& t) {
  v("network", t.network), v("networkId", t.network_id), v("endpointId", t.endpoint_id), v("ip", t.ip);
  v("gateway", t.gateway), v("ip6", t.ip6), v("gateway6", t.gateway6), v("mac", t.mac), v("prefix", t.prefix);
  v("prefix6", t.prefix6), v("aliases", t.aliases);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, State>
void visit(V& v, T& t) {
  v("status", t.status), v("pid", t.pid), v("shim", t.shim), v("exitCode", t.exit_code), v("oomKilled", t.oom_killed);
  v("stoppedByUser", t.stopped_by_user), v("stoppedByHost", t.stopped_by_host), v("error", t.error),
      v("startedAt", t.started_at);
  v("finishedAt", t.finished_at), v("restartCount", t.restart_count), v("backoffMs", t.backoff_ms);
  v("boot", t.boot), v("networks", t.networks), v("ports", t.ports), v("pending", t.pending);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, HealthProbe>
void visit(V& v, T& t) {
  v("start", t.start), v("end", t.end), v("output", t.output), v("exitCode", t.exit_code);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, Health>
void visit(V& v, T& t) {
  v("status", t.status), v("failingStreak", t.failing_streak), v("log", t.log);
}
template <typename V, typename T>
  requires std::same_as<std::remove_const_t<T>, Container>
void visit(V& v, T& t) {
  v("id", t.id), v("name", t.name), v("created", t.created), v("config", t.config), v("resolved", t.resolved);
}

class Writer {
 public:
  bj::object object;

  template <typename T>
  void operator()(const char* name, const T& field) {
    if (bj::value value = write(field); !value.is_null()) object[name] = std::move(value);
  }

 private:
  static bj::value write(const std::string& text) { return text.empty() ? bj::value() : bj::value(text); }
  static bj::value write(bool on) { return on ? bj::value(true) : bj::value(); }
  template <std::integral T>
  static bj::value write(T number) {
    return number == 0 ? bj::value() : bj::value(number);
  }
  static bj::value write(const StringMap& map) {
    if (map.empty()) return {};
    bj::object out;
    for (const auto& [key, text] : map) out[key] = text;
    return out;
  }
  template <typename T>
  static bj::value write(const std::optional<T>& field) {
    if (!field) return {};
    if constexpr (std::integral<T>)
      return bj::value(*field);
    else
      return array(*field);
  }
  template <typename T>
  static bj::value write(const std::vector<T>& list) {
    return list.empty() ? bj::value() : array(list);
  }
  template <typename T>
  static bj::value array(const std::vector<T>& list) {
    bj::array out;
    for (const T& item : list) {
      if constexpr (std::same_as<T, std::string>)
        out.emplace_back(item);
      else
        out.emplace_back(structure(item));
    }
    return out;
  }
  template <typename T>
    requires std::is_class_v<T>
  static bj::value write(const T& field) {
    bj::object inner = structure(field);
    return inner.empty() ? bj::value() : bj::value(std::move(inner));
  }
  template <typename T>
  static bj::object structure(const T& field) {
    Writer inner;
    visit(inner, field);
    return std::move(inner.object);
  }
};

// A record is our own writing: what is not as expected is left at its initial value.
class Reader {
 public:
  explicit Reader(const bj::object& object) : object_(object) {}

  template <typename T>
  void operator()(const char* name, T& field) {
    if (const bj::value* value = object_.if_contains(name))
      read(*value, field);
    else
      clear(field);
  }

 private:
  // What was left out when written was empty, whatever the struct begins with.
  template <typename T>
  static void clear(T& field) {
    if constexpr (std::same_as<T, std::string> || std::integral<T>) field = T{};
  }
  static void read(const bj::value& value, std::string& field) {
    if (const auto* text = value.if_string()) field = std::string_view(*text);
  }
  static void read(const bj::value& value, bool& field) {
    if (const bool* on = value.if_bool()) field = *on;
  }
  template <std::integral T>
  static void read(const bj::value& value, T& field) {
    if (value.is_int64()) field = static_cast<T>(value.get_int64());
    if (value.is_uint64()) field = static_cast<T>(value.get_uint64());
  }
  static void read(const bj::value& value, StringMap& field) {
    if (const auto* object = value.if_object())
      for (const auto& member : *object)
        if (const auto* text = member.value().if_string()) field[member.key()] = std::string_view(*text);
  }
  template <typename T>
  static void read(const bj::value& value, std::optional<T>& field) {
    read(value, field.emplace());
  }
  template <typename T>
  static void read(const bj::value& value, std::vector<T>& field) {
    const auto* array = value.if_array();
    if (array == nullptr) return;
    for (const bj::value& item : *array) read(item, field.emplace_back());
  }
  template <typename T>
    requires std::is_class_v<T>
  static void read(const bj::value& value, T& field) {
    if (const auto* object = value.if_object()) {
      Reader inner(*object);
      visit(inner, field);
    }
  }
  const bj::object& object_;
};

template <typename T>
std::string emit(const T& value) {
  Writer writer;
  visit(writer, value);
  return json::to_line(writer.object) + "\n";
}

template <typename T>
Result<T> parse(std::string_view text) {
  const bj::value document = TRY(json::parse(text));
  const auto* object = document.if_object();
  if (object == nullptr) return fail("not an object");
  T value;
  Reader reader(*object);
  visit(reader, value);
  return value;
}

}  // namespace

std::string emit_container(const Container& container) { return emit(container); }
Result<Container> parse_container(std::string_view json) { return parse<Container>(json); }
std::string emit_state(const State& state) { return emit(state); }
Result<State> parse_state(std::string_view json) { return parse<State>(json); }
std::string emit_exec(const ExecConfig& exec) { return emit(exec); }
Result<ExecConfig> parse_exec(std::string_view json) { return parse<ExecConfig>(json); }
std::string emit_health(const Health& health) { return emit(health); }
Result<Health> parse_health(std::string_view json) { return parse<Health>(json); }

}  // namespace proa::engine
