// The flags of `create`, which `run` and `sandbox create` have, too.
#pragma once

#include <array>
#include <cstddef>

#include "cli/common_flags.h"

namespace proa::cli::containers {

inline constexpr std::string_view kPulls[] = {"always", "missing", "never"};

inline constexpr Flag kCreateFlags[] = {
    {"add-host", "", Kind::kTexts, "HOST:IP", "add a line to /etc/hosts; host-gateway is the host's address"},
    {"annotation", "", Kind::kTexts, "NAME=VALUE", "annotation for the OCI runtime"},
    {"attach", "a", Kind::kTexts, "STREAM", "attach stdin, stdout or stderr only"},
    {"blkio-weight", "", Kind::kUnsigned, "WEIGHT", "share of block I/O, 10 to 1000"},
    {"blkio-weight-device", "", Kind::kTexts, "DEVICE:WEIGHT", "... of one device"},
    {"cap-add", "", Kind::kTexts, "CAPABILITY", "add a capability; ALL for every one"},
    {"cap-drop", "", Kind::kTexts, "CAPABILITY", "take a capability away; ALL for every one"},
    {"cgroup-parent", "", Kind::kText, "PATH", "control group to be below"},
    {"cgroupns", "", Kind::kText, "MODE", "control group namespace: private or host"},
    {"cidfile",
     "",
     Kind::kText,
     "FILE",
     "write the container's id to FILE, which must not exist",
     "",
     {},
     Offer::kFile},
    {"cpu-period", "", Kind::kInteger, "MICROSECONDS", "period of the CPU quota"},
    {"cpu-quota", "", Kind::kInteger, "MICROSECONDS", "CPU time in each period"},
    {"cpu-rt-period", "", Kind::kInteger, "MICROSECONDS", "period of real-time scheduling"},
    {"cpu-rt-runtime", "", Kind::kInteger, "MICROSECONDS", "real-time CPU time in each period"},
    {"cpu-shares", "c", Kind::kInteger, "WEIGHT", "share of CPU time when it is short"},
    {"cpus", "", Kind::kText, "NUMBER", "number of CPUs, 1.5 for one and a half"},
    {"cpuset-cpus", "", Kind::kText, "LIST", "CPUs to run on: 0-3,7"},
    {"cpuset-mems", "", Kind::kText, "LIST", "memory nodes to use"},
    {"device", "", Kind::kTexts, "HOST[:PATH[:rwm]]", "give a device of the host"},
    {"device-cgroup-rule", "", Kind::kTexts, "RULE", "allow devices: 'c 189:* rwm'"},
    {"device-read-bps", "", Kind::kTexts, "DEVICE:RATE", "limit reading, bytes a second"},
    {"device-read-iops", "", Kind::kTexts, "DEVICE:RATE", "limit reading, requests a second"},
    {"device-write-bps", "", Kind::kTexts, "DEVICE:RATE", "limit writing, bytes a second"},
    {"device-write-iops", "", Kind::kTexts, "DEVICE:RATE", "limit writing, requests a second"},
    hidden("cpu-count", "", Kind::kInteger),
    hidden("cpu-percent", "", Kind::kInteger),
    hidden("io-maxbandwidth", "", Kind::kBytes),
    hidden("io-maxiops", "", Kind::kUnsigned),
    hidden("isolation", "", Kind::kText),
    hidden("gpus", "", Kind::kText),
    hidden("use-api-socket", "", Kind::kBool),
    kContentTrust,
    {"dns", "", Kind::kTexts, "ADDRESS", "DNS server"},
    {"dns-option", "", Kind::kTexts, "OPTION", "option of resolv.conf"},
    hidden("dns-opt", "", Kind::kTexts),
    {"dns-search", "", Kind::kTexts, "DOMAIN", "domain to search; . for none"},
    {"domainname", "", Kind::kText, "NAME", "NIS domain name"},
    {"entrypoint", "", Kind::kText, "PROGRAM", "in place of the image's entrypoint; empty: none"},
    {"env", "e", Kind::kTexts, "NAME[=VALUE]", "environment variable; without a value, the caller's"},
    {"env-file", "", Kind::kTexts, "FILE", "read environment variables from FILE", "", {}, Offer::kFile},
    {"expose", "", Kind::kTexts, "PORT[/PROTOCOL]", "port for --publish-all"},
    {"group-add", "", Kind::kTexts, "GROUP", "one more group"},
    {"health-cmd", "", Kind::kText, "COMMAND", "command that checks the health"},
    {"health-interval", "", Kind::kDuration, "TIME", "time between checks (30s)"},
    {"health-retries", "", Kind::kUnsigned, "N", "failures until unhealthy (3)"},
    {"health-start-interval", "", Kind::kDuration, "TIME", "time between checks in the start period (5s)"},
    {"health-start-period", "", Kind::kDuration, "TIME", "time in which failures do not count"},
    {"health-timeout", "", Kind::kDuration, "TIME", "longest time of a check (30s)"},
    {"hostname", "h", Kind::kText, "NAME", "host name in the container"},
    {"init", "", Kind::kBool, "", "run a small init that passes signals on and reaps processes"},
    {"interactive", "i", Kind::kBool, "", "keep standard input open"},
    {"ip", "", Kind::kText, "ADDRESS", "IPv4 address"},
    {"ip6", "", Kind::kText, "ADDRESS", "IPv6 address"},
    {"ipc", "", Kind::kText, "MODE", "IPC namespace: private, host or container:NAME"},
    hidden("kernel-memory", "", Kind::kBytes),
    {"label", "l", Kind::kTexts, "NAME=VALUE", "label of the container"},
    {"label-file", "", Kind::kTexts, "FILE", "read labels from FILE", "", {}, Offer::kFile},
    {"link", "", Kind::kTexts, "CONTAINER[:ALIAS]", "know another container by a name"},
    {"link-local-ip", "", Kind::kTexts, "ADDRESS", "one more address of the interface, 169.254.x.x or fe80::x"},
    {"log-driver", "", Kind::kText, "DRIVER",
     "where output goes: json-file, local, k8s-file, journald, syslog, gelf, fluentd or none", "json-file"},
    {"log-opt", "", Kind::kTexts, "NAME=VALUE", "option of the log driver: max-size=100m, max-file=2, tag=..."},
    {"mac-address", "", Kind::kText, "ADDRESS", "MAC address"},
    {"memory", "m", Kind::kBytes, "SIZE", "memory limit"},
    {"memory-reservation", "", Kind::kBytes, "SIZE", "memory that is kept for it when memory is short"},
    {"memory-swap", "", Kind::kBytes, "SIZE", "limit of memory and swap together; -1: no limit"},
    {"memory-swappiness", "", Kind::kInteger, "PERCENT", "readiness to swap, 0 to 100", "-1"},
    {"mount", "", Kind::kTexts, "OPTIONS", "type=volume|bind|tmpfs,source=...,target=..."},
    {"name", "", Kind::kText, "NAME", "name of the container; one is made up without"},
    {"network", "", Kind::kTexts, "NETWORK", "network to be part of, none, host, or container:NAME"},
    hidden("net", "", Kind::kTexts),
    {"network-alias", "", Kind::kTexts, "NAME", "one more name in the network"},
    hidden("net-alias", "", Kind::kTexts),
    {"no-healthcheck", "", Kind::kBool, "", "no health check, whatever the image says"},
    {"oom-kill-disable", "", Kind::kBool, "", "wait for memory instead of being killed"},
    {"oom-score-adj", "", Kind::kInteger, "SCORE", "preference to be killed when memory is short"},
    {"pid", "", Kind::kText, "MODE", "PID namespace: host or container:NAME"},
    {"pids-limit", "", Kind::kInteger, "N", "most processes; -1: no limit"},
    kPlatform,
    {"privileged", "", Kind::kBool, "", "give every capability and device; unsafe"},
    {"publish", "p", Kind::kTexts, "[[IP:]PORT:]PORT[/PROTOCOL]", "publish a port on the host"},
    {"publish-all", "P", Kind::kBool, "", "publish all exposed ports on free ports of the host"},
    {"pull", "", Kind::kText, "WHEN", "pull the image: always, missing or never", "missing", kPulls},
    {"quiet", "q", Kind::kBool, "", "do not show a pull's progress"},
    {"read-only", "", Kind::kBool, "", "do not let the root file system be written"},
    {"restart", "", Kind::kText, "POLICY", "no, always, unless-stopped or on-failure[:N]", "no"},
    {"rm", "", Kind::kBool, "", "remove the container when it ends"},
    {"rootfs", "", Kind::kText, "DIR", "run on this folder instead of an image", "", {}, Offer::kFolder},
    hidden("runtime", "", Kind::kText),
    {"sandbox", "", Kind::kText, "NAME", "sandbox to be part of, with its networks and host name"},
    {"security-opt", "", Kind::kTexts, "OPTION", "no-new-privileges, seccomp=FILE|unconfined, systempaths=unconfined"},
    {"shm-size", "", Kind::kBytes, "SIZE", "size of /dev/shm (64m)"},
    {"stop-signal", "", Kind::kText, "SIGNAL", "signal that asks the program to end", "", {}, Offer::kSignal},
    {"stop-timeout", "", Kind::kInteger, "SECONDS", "seconds from that signal to SIGKILL (10)"},
    hidden("storage-opt", "", Kind::kTexts),
    {"sysctl", "", Kind::kTexts, "NAME=VALUE", "kernel parameter of the container's namespaces"},
    {"tmpfs", "", Kind::kTexts, "DIR[:OPTIONS]", "mount a tmpfs"},
    {"tty", "t", Kind::kBool, "", "give the program a terminal"},
    {"ulimit", "", Kind::kTexts, "NAME=SOFT[:HARD]", "limit of a process"},
    {"user", "u", Kind::kText, "USER[:GROUP]", "user to run as, by name or number"},
    {"userns", "", Kind::kText, "MODE",
     "user namespace: host, auto (ids of its own) or remap (ids that containers share)"},
    {"uts", "", Kind::kText, "MODE", "UTS namespace: host"},
    {"volume", "v", Kind::kTexts, "[SOURCE:]DIR[:OPTIONS]", "mount a volume or a folder of the host"},
    {"volume-driver", "", Kind::kText, "DRIVER", "driver of volumes made for it"},
    {"volumes-from", "", Kind::kTexts, "CONTAINER[:ro]", "mount the volumes of another container"},
    {"workdir", "w", Kind::kText, "DIR", "working directory"}};

template <typename Some, typename More>
constexpr auto joined(const Some& some, const More& more) {
  std::array<Flag, (sizeof(Some) + sizeof(More)) / sizeof(Flag)> out{};
  size_t at = 0;
  for (const Flag& flag : some) out[at++] = flag;
  for (const Flag& flag : more) out[at++] = flag;
  return out;
}

// Those of `create` with these names; one that is not there ends the compilation.
template <size_t N>
consteval std::array<Flag, N> of_create(const std::string_view (&names)[N]) {
  std::array<Flag, N> out{};
  for (size_t i = 0; i < N; ++i) {
    size_t at = 0;
    while (kCreateFlags[at].name != names[i]) ++at;
    out[i] = kCreateFlags[at];
  }
  return out;
}

}  // namespace proa::cli::containers
