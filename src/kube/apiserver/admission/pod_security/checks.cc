// The checks of the Pod Security Standards. A check may have several forms, each from one version on; a restricted
// check may stand in for a baseline one.
#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/admission/pod_security/levels.h"
#include "kube/validation/names.h"

namespace proa::kube::api::pod_security {
namespace {

using Texts = std::vector<std::string>;
using TextSet = std::set<std::string, std::less<>>;

struct Pod {
  const Value& metadata;
  const Value& spec;
  std::vector<Violation>& out;

  Value security() const { return spec.get("securityContext"); }
  void violates(std::string_view reason, std::string detail) const {
    out.push_back({std::string(reason), std::move(detail)});
  }
  bool windows() const { return spec.string({"os", "name"}) == "windows"; }
};

template <typename List>
std::string quote_all(const List& items) {
  std::string out;
  for (const auto& item : items) out.append(out.empty() ? "\"" : ", \"").append(item).append("\"");
  return out;
}
std::string_view plural(size_t count, std::string_view one, std::string_view many) { return count == 1 ? one : many; }
std::string containers(const Texts& names) {
  return cat(plural(names.size(), "container", "containers"), " ", quote_all(names));
}

// Names of the containers that `bad` holds for.
template <typename Bad>
Texts those(const Pod& pod, Bad&& bad) {
  Texts out;
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    if (bad(container)) out.emplace_back(container.string("name"));
  });
  return out;
}

// "pod and container "a"", of a field that pods and containers have.
std::string setters(bool pod, const Texts& names) {
  std::string out = pod ? "pod" : "";
  if (!names.empty()) out.append(pod ? " and " : "").append(containers(names));
  return out;
}

// --- baseline

bool allowed_armor(std::string_view type) { return type == "RuntimeDefault" || type == "Localhost"; }

void app_armor(const Pod& pod) {
  TextSet values;
  const auto bad = [&](const Value& context) {
    const Value profile = context.get("appArmorProfile");
    if (!profile.is_object() || allowed_armor(profile.string("type"))) return false;
    values.emplace(profile.string("type"));
    return true;
  };
  const bool whole = bad(pod.security());
  const Texts names = those(pod, [&](const Value& container) { return bad(container.get("securityContext")); });
  std::string who = setters(whole, names);
  TextSet annotations;
  for (const Member& member : pod.metadata.get("annotations").members()) {
    const std::string_view value = member.value.as_string();
    if (member.key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !value.empty() &&
        value != "runtime/default" && !value.starts_with("localhost/"))
      annotations.insert(cat(member.key, "=", quoted(value)));
  }
  Texts list(values.begin(), values.end());
  list.insert(list.end(), annotations.begin(), annotations.end());
  if (!annotations.empty())
    who.append(who.empty() ? "" : " and ").append(plural(annotations.size(), "annotation", "annotations"));
  if (!who.empty())
    pod.violates(plural(list.size(), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
                 cat(who, " must not set AppArmor profile type to ", quote_all(list)));
}

void capabilities_baseline(const Pod& pod) {
  static constexpr std::string_view kAllowed[] = {"AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID",
                                                  "KILL",        "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                                                  "SETPCAP",     "SETUID", "SYS_CHROOT"};
  TextSet added;
  const Texts names = those(pod, [&](const Value& container) {
    bool bad = false;
    for (const Value& capability : container.get({"securityContext", "capabilities", "add"}).items())
      if (std::ranges::find(kAllowed, capability.as_string()) == std::end(kAllowed)) {
        bad = true;
        added.emplace(capability.as_string());
      }
    return bad;
  });
  if (!names.empty())
    pod.violates("non-default capabilities", cat(containers(names), " must not include ", quote_all(added),
                                                 " in securityContext.capabilities.add"));
}

void host_namespaces(const Pod& pod) {
  Texts used;
  for (const std::string_view field : {"hostNetwork", "hostPID", "hostIPC"})
    if (pod.spec.get(field).as_bool()) used.push_back(cat(field, "=true"));
  if (!used.empty()) pod.violates("host namespaces", join(used, ", "));
}

void host_path_volumes(const Pod& pod) {
  Texts names;
  for (const Value& volume : pod.spec.get("volumes").items())
    if (volume.find("hostPath") != nullptr) names.emplace_back(volume.string("name"));
  if (!names.empty())
    pod.violates("hostPath volumes", cat(plural(names.size(), "volume", "volumes"), " ", quote_all(names)));
}

void host_ports(const Pod& pod) {
  TextSet ports;
  const Texts names = those(pod, [&](const Value& container) {
    bool bad = false;
    for (const Value& port : container.get("ports").items())
      if (port.get("hostPort").as_int() != 0) {
        bad = true;
        ports.insert(cat(port.get("hostPort").as_int()));
      }
    return bad;
  });
  if (names.empty()) return;
  pod.violates("hostPort",
               cat(containers(names), " ", plural(names.size(), "uses", "use"), " ",
                   plural(ports.size(), "hostPort", "hostPorts"), " ", join(Texts(ports.begin(), ports.end()), ", ")));
}

void probe_hosts(const Pod& pod) {
  TextSet names, hosts;
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    const auto look = [&](const Value& handler) {
      for (const std::string_view kind : {"httpGet", "tcpSocket"})
        if (const std::string_view host = handler.string({kind, "host"}); !host.empty()) {
          names.emplace(container.string("name"));
          hosts.emplace(host);
        }
    };
    for (const std::string_view probe : {"livenessProbe", "readinessProbe", "startupProbe"}) look(container.get(probe));
    for (const std::string_view hook : {"postStart", "preStop"}) look(container.get({"lifecycle", hook}));
  });
  if (names.empty()) return;
  pod.violates("probe or lifecycle host",
               cat(containers(Texts(names.begin(), names.end())), " ", plural(names.size(), "uses", "use"), " ",
                   plural(hosts.size(), "probe or lifecycle host", "probe or lifecycle hosts"), " ", quote_all(hosts)));
}

void privileged(const Pod& pod) {
  const Texts names =
      those(pod, [](const Value& container) { return container.get({"securityContext", "privileged"}).as_bool(); });
  if (!names.empty())
    pod.violates("privileged", cat(containers(names), " must not set securityContext.privileged=true"));
}

void proc_mount(const Pod& pod) {
  TextSet types;
  const Texts names = those(pod, [&](const Value& container) {
    const Value type = container.get({"securityContext", "procMount"});
    if (!type.is_string() || type.as_string() == "Default") return false;
    types.emplace(type.as_string());
    return true;
  });
  if (!names.empty())
    pod.violates("procMount", cat(containers(names), " must not set securityContext.procMount to ", quote_all(types)));
}

void selinux(const Pod& pod, bool engine) {
  TextSet types;
  bool user = false, role = false;
  const auto bad = [&](const Value& options) {
    if (!options.is_object()) return false;
    const std::string_view type = options.string("type");
    const bool known = type.empty() || type == "container_t" || type == "container_init_t" ||
                       type == "container_kvm_t" || (engine && type == "container_engine_t");
    if (!known) types.emplace(type);
    user |= !options.string("user").empty();
    role |= !options.string("role").empty();
    return !known || !options.string("user").empty() || !options.string("role").empty();
  };
  const bool whole = bad(pod.security().get("seLinuxOptions"));
  const Texts names =
      those(pod, [&](const Value& container) { return bad(container.get({"securityContext", "seLinuxOptions"})); });
  if (!whole && names.empty()) return;
  Texts data;
  if (!types.empty()) data.push_back(cat(plural(types.size(), "type", "types"), " ", quote_all(types)));
  if (user) data.emplace_back("user may not be set");
  if (role) data.emplace_back("role may not be set");
  pod.violates("seLinuxOptions",
               cat(setters(whole, names), " set forbidden securityContext.seLinuxOptions: ", join(data, "; ")));
}
void selinux_1_0(const Pod& pod) { selinux(pod, false); }
void selinux_1_31(const Pod& pod) { selinux(pod, true); }

void seccomp_annotations(const Pod& pod) {
  TextSet bad;
  const Value annotations = pod.metadata.get("annotations");
  const auto look = [&](const std::string& key) {
    const Value* value = annotations.find(key);
    if (value == nullptr) return;
    const std::string_view text = value->as_string();
    if (text != "runtime/default" && text != "docker/default" && !text.starts_with("localhost/"))
      bad.insert(cat(key, "=", quoted(text)));
  };
  look("seccomp.security.alpha.kubernetes.io/pod");
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    look(cat("container.seccomp.security.alpha.kubernetes.io/", container.string("name")));
  });
  if (!bad.empty())
    pod.violates("seccompProfile", cat("forbidden ", plural(bad.size(), "annotation", "annotations"), " ",
                                       join(Texts(bad.begin(), bad.end()), ", ")));
}

bool allowed_seccomp(std::string_view type) { return type == "Localhost" || type == "RuntimeDefault"; }

// `wanted`: without a profile is bad as well.
void seccomp_profile(const Pod& pod, bool wanted) {
  TextSet values;
  Texts named, silent;
  const auto bad = [&](const Value& profile) {
    if (!profile.is_object() || allowed_seccomp(profile.string("type"))) return false;
    values.emplace(profile.string("type"));
    return true;
  };
  const Value own = pod.security().get("seccompProfile");
  const bool whole = bad(own);
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    const Value profile = container.get({"securityContext", "seccompProfile"});
    if (bad(profile)) named.emplace_back(container.string("name"));
    if (!profile.is_object() && (whole || !own.is_object())) silent.emplace_back(container.string("name"));
  });
  if (whole || !named.empty())
    pod.violates("seccompProfile", cat(setters(whole, named), " must not set securityContext.seccompProfile.type to ",
                                       quote_all(values)));
  else if (wanted && !silent.empty())
    pod.violates("seccompProfile",
                 cat("pod or ", containers(silent),
                     R"( must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"));
}
void seccomp_1_19(const Pod& pod) { seccomp_profile(pod, false); }

struct Sysctl {
  std::string_view name;
  int since;
};
constexpr Sysctl kSysctls[] = {{"kernel.shm_rmid_forced", 0},
                               {"net.ipv4.ip_local_port_range", 0},
                               {"net.ipv4.tcp_syncookies", 0},
                               {"net.ipv4.ping_group_range", 0},
                               {"net.ipv4.ip_unprivileged_port_start", 0},
                               {"net.ipv4.ip_local_reserved_ports", 27},
                               {"net.ipv4.tcp_keepalive_time", 29},
                               {"net.ipv4.tcp_fin_timeout", 29},
                               {"net.ipv4.tcp_keepalive_intvl", 29},
                               {"net.ipv4.tcp_keepalive_probes", 29},
                               {"net.ipv4.tcp_rmem", 32},
                               {"net.ipv4.tcp_wmem", 32}};

void sysctls(const Pod& pod, int minor) {
  Texts bad;
  for (const Value& sysctl : pod.security().get("sysctls").items())
    if (std::ranges::none_of(
            kSysctls, [&](const Sysctl& known) { return known.name == sysctl.string("name") && known.since <= minor; }))
      bad.emplace_back(sysctl.string("name"));
  if (!bad.empty()) pod.violates("forbidden sysctls", join(bad, ", "));
}
template <int Minor>
void sysctls_of(const Pod& pod) {
  sysctls(pod, Minor);
}

void windows_host_process(const Pod& pod) {
  const auto host = [](const Value& context) { return context.get({"windowsOptions", "hostProcess"}).as_bool(); };
  const Texts names = those(pod, [&](const Value& container) { return host(container.get("securityContext")); });
  const bool whole = host(pod.security());
  if (whole || !names.empty())
    pod.violates("hostProcess",
                 cat(setters(whole, names), " must not set securityContext.windowsOptions.hostProcess=true"));
}

// --- restricted

void privilege_escalation(const Pod& pod) {
  const Texts names = those(pod, [](const Value& container) {
    const Value allowed = container.get({"securityContext", "allowPrivilegeEscalation"});
    return !allowed.is_bool() || allowed.as_bool();
  });
  if (!names.empty())
    pod.violates("allowPrivilegeEscalation != false",
                 cat(containers(names), " must set securityContext.allowPrivilegeEscalation=false"));
}

void capabilities_restricted(const Pod& pod) {
  Texts keeping, adding;
  TextSet added;
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    const Value capabilities = container.get({"securityContext", "capabilities"});
    const std::span<Value> drop = capabilities.get("drop").items();
    if (std::ranges::none_of(drop, [](const Value& dropped) { return dropped.as_string() == "ALL"; }))
      keeping.emplace_back(container.string("name"));
    bool bad = false;
    for (const Value& capability : capabilities.get("add").items())
      if (capability.as_string() != "NET_BIND_SERVICE") {
        bad = true;
        added.emplace(capability.as_string());
      }
    if (bad) adding.emplace_back(container.string("name"));
  });
  Texts parts;
  if (!keeping.empty())
    parts.push_back(cat(containers(keeping), R"( must set securityContext.capabilities.drop=["ALL"])"));
  if (!adding.empty())
    parts.push_back(
        cat(containers(adding), " must not include ", quote_all(added), " in securityContext.capabilities.add"));
  if (!parts.empty()) pod.violates("unrestricted capabilities", join(parts, "; "));
}

void restricted_volumes(const Pod& pod) {
  static constexpr std::string_view kAllowed[] = {"configMap", "csi",   "downwardAPI",           "emptyDir",
                                                  "ephemeral", "image", "persistentVolumeClaim", "projected",
                                                  "secret"};
  Texts names;
  TextSet types;
  for (const Value& volume : pod.spec.get("volumes").items()) {
    std::string_view source = "unknown";
    for (const Member& member : volume.members())
      if (member.key != "name") source = member.key;
    if (std::ranges::find(kAllowed, source) != std::end(kAllowed)) continue;
    names.emplace_back(volume.string("name"));
    types.emplace(source);
  }
  if (!names.empty())
    pod.violates(
        "restricted volume types",
        cat(plural(names.size(), "volume", "volumes"), " ", quote_all(names), " ", plural(names.size(), "uses", "use"),
            " ", plural(types.size(), "restricted volume type", "restricted volume types"), " ", quote_all(types)));
}

void run_as_non_root(const Pod& pod) {
  const Value own = pod.security().get("runAsNonRoot");
  const bool whole = own.is_bool() && !own.as_bool();
  Texts root, silent;
  each_container(pod.spec, [&](const Value& container, std::string_view) {
    const Value asked = container.get({"securityContext", "runAsNonRoot"});
    if (asked.is_bool() && !asked.as_bool()) root.emplace_back(container.string("name"));
    if (!asked.is_bool() && !own.as_bool()) silent.emplace_back(container.string("name"));
  });
  if (whole || !root.empty())
    pod.violates("runAsNonRoot != true", cat(setters(whole, root), " must not set securityContext.runAsNonRoot=false"));
  else if (!silent.empty())
    pod.violates("runAsNonRoot != true",
                 cat("pod or ", containers(silent), " must set securityContext.runAsNonRoot=true"));
}

void run_as_user(const Pod& pod) {
  const auto root = [](const Value& context) {
    const Value user = context.get("runAsUser");
    return user.is_int() && user.as_int() == 0;
  };
  const Texts names = those(pod, [&](const Value& container) { return root(container.get("securityContext")); });
  const bool whole = root(pod.security());
  if (whole || !names.empty()) pod.violates("runAsUser=0", cat(setters(whole, names), " must not set runAsUser=0"));
}

void seccomp_restricted(const Pod& pod) { seccomp_profile(pod, true); }

// Since 1.25 what only Linux has is not asked of Windows.
template <void (*Check)(const Pod&)>
void on_linux(const Pod& pod) {
  if (!pod.windows()) Check(pod);
}

struct Check {
  std::string_view id;
  Level level;
  int since;
  void (*run)(const Pod&);
  std::string_view instead_of = {};  // a baseline check
};

// In the order of their ids, baseline first; of one id, older forms first.
constexpr Check kChecks[] = {
    {"appArmorProfile", Level::kBaseline, 0, app_armor},
    {"capabilities_baseline", Level::kBaseline, 0, capabilities_baseline},
    {"hostNamespaces", Level::kBaseline, 0, host_namespaces},
    {"hostPathVolumes", Level::kBaseline, 0, host_path_volumes},
    {"hostPorts", Level::kBaseline, 0, host_ports},
    {"hostProbesAndHostLifecycle", Level::kBaseline, 34, probe_hosts},
    {"privileged", Level::kBaseline, 0, privileged},
    {"procMount", Level::kBaseline, 0, proc_mount},
    {"seLinuxOptions", Level::kBaseline, 0, selinux_1_0},
    {"seLinuxOptions", Level::kBaseline, 31, selinux_1_31},
    {"seccompProfile_baseline", Level::kBaseline, 0, seccomp_annotations},
    {"seccompProfile_baseline", Level::kBaseline, 19, seccomp_1_19},
    {"sysctls", Level::kBaseline, 0, sysctls_of<0>},
    {"sysctls", Level::kBaseline, 27, sysctls_of<27>},
    {"sysctls", Level::kBaseline, 29, sysctls_of<29>},
    {"sysctls", Level::kBaseline, 32, sysctls_of<32>},
    {"windowsHostProcess", Level::kBaseline, 0, windows_host_process},
    {"allowPrivilegeEscalation", Level::kRestricted, 8, privilege_escalation},
    {"allowPrivilegeEscalation", Level::kRestricted, 25, on_linux<privilege_escalation>},
    {"capabilities_restricted", Level::kRestricted, 22, capabilities_restricted, "capabilities_baseline"},
    {"capabilities_restricted", Level::kRestricted, 25, on_linux<capabilities_restricted>, "capabilities_baseline"},
    {"restrictedVolumes", Level::kRestricted, 0, restricted_volumes, "hostPathVolumes"},
    {"runAsNonRoot", Level::kRestricted, 0, run_as_non_root},
    {"runAsUser", Level::kRestricted, 23, run_as_user},
    {"seccompProfile_restricted", Level::kRestricted, 19, seccomp_restricted, "seccompProfile_baseline"},
    {"seccompProfile_restricted", Level::kRestricted, 25, on_linux<seccomp_restricted>, "seccompProfile_baseline"},
};

}  // namespace

std::vector<Violation> violations(LevelVersion policy, const Value& metadata, const Value& spec) {
  std::vector<Violation> out;
  if (policy.level == Level::kPrivileged) return out;
  // The form of each check that counts at this version.
  std::vector<const Check*> now;
  for (const Check& check : kChecks) {
    if (check.level > policy.level || check.since > policy.minor) continue;
    if (!now.empty() && now.back()->id == check.id)
      now.back() = &check;
    else
      now.push_back(&check);
  }
  const Pod pod{metadata, spec, out};
  for (const Check* check : now)
    if (std::ranges::none_of(now, [&](const Check* other) { return other->instead_of == check->id; })) check->run(pod);
  return out;
}

}  // namespace proa::kube::api::pod_security
