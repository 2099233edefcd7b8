// Docker's commands on containers and volumes.
#include "cli/container_commands.h"
#include "cli/program_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace containers {

constexpr std::string_view kOutputs[] = {"table", "json", "yaml"};
constexpr std::string_view kDocuments[] = {"json", "yaml"};
constexpr std::string_view kPulls[] = {"always", "missing", "never"};

constexpr Flag kOutput{"output", "o", Kind::kText, "FORMAT", "table, json or yaml", "table", kOutputs};
constexpr Flag kFormat{"format", "", Kind::kText, "TEMPLATE", "json, a Go template for each line, or 'table TEMPLATE'"};
constexpr Flag kNoTrunc{"no-trunc", "", Kind::kBool, "", "show ids and texts in full"};
constexpr Flag kForce{"force", "f", Kind::kBool, "", "do not ask"};
constexpr Flag kFilter{"filter", "f", Kind::kTexts, "NAME=VALUE", "only what matches; may be repeated"};
constexpr Flag kPruneFilter{"filter", "", Kind::kTexts, "NAME=VALUE", "only what matches label or until"};
constexpr Flag kDetachKeys{"detach-keys",  "", Kind::kText, "KEYS", "keys that leave the container running",
                           "ctrl-p,ctrl-q"};
constexpr Flag kStopSignal{"signal", "s", Kind::kText, "SIGNAL", "signal to send first", "", {}, Offer::kSignal};
constexpr Flag kStopTime{"time", "t", Kind::kInteger, "SECONDS", "seconds until it is killed; -1: never"};
constexpr Flag kStopTimeout{"timeout", "", Kind::kInteger, "SECONDS", "the same", "", {}, Offer::kNothing, true};

constexpr Argument kContainer[] = {{"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName}};
constexpr Argument kContainers[] = {{"CONTAINER", "name, id, or the beginning of an id", true, true, Offer::kName}};

constexpr Flag hidden(std::string_view name, std::string_view letters, Kind kind) {
  return {name, letters,         kind, kind == Kind::kBool ? "" : "VALUE", "taken for compatibility", "",
          {},   Offer::kNothing, true};
}

// --- run and create

#define PROA_CREATE_FLAGS                                                                                           \
  {"add-host", "", Kind::kTexts, "HOST:IP", "add a line to /etc/hosts; host-gateway is the host's address"},        \
      {"annotation", "", Kind::kTexts, "NAME=VALUE", "annotation for the OCI runtime"},                             \
      {"attach", "a", Kind::kTexts, "STREAM", "attach stdin, stdout or stderr only"},                               \
      {"blkio-weight", "", Kind::kUnsigned, "WEIGHT", "share of block I/O, 10 to 1000"},                            \
      {"blkio-weight-device", "", Kind::kTexts, "DEVICE:WEIGHT", "... of one device"},                              \
      {"cap-add", "", Kind::kTexts, "CAPABILITY", "add a capability; ALL for every one"},                           \
      {"cap-drop", "", Kind::kTexts, "CAPABILITY", "take a capability away; ALL for every one"},                    \
      {"cgroup-parent", "", Kind::kText, "PATH", "control group to be below"},                                      \
      {"cgroupns", "", Kind::kText, "MODE", "control group namespace: private or host"},                            \
      {"cidfile", "", Kind::kText, "FILE", "write the container's id to FILE, which must not exist",                \
       "",        {}, Offer::kFile},                                                                                \
      {"cpu-period", "", Kind::kInteger, "MICROSECONDS", "period of the CPU quota"},                                \
      {"cpu-quota", "", Kind::kInteger, "MICROSECONDS", "CPU time in each period"},                                 \
      {"cpu-rt-period", "", Kind::kInteger, "MICROSECONDS", "period of real-time scheduling"},                      \
      {"cpu-rt-runtime", "", Kind::kInteger, "MICROSECONDS", "real-time CPU time in each period"},                  \
      {"cpu-shares", "c", Kind::kInteger, "WEIGHT", "share of CPU time when it is short"},                          \
      {"cpus", "", Kind::kText, "NUMBER", "number of CPUs, 1.5 for one and a half"},                                \
      {"cpuset-cpus", "", Kind::kText, "LIST", "CPUs to run on: 0-3,7"},                                            \
      {"cpuset-mems", "", Kind::kText, "LIST", "memory nodes to use"},                                              \
      {"device", "", Kind::kTexts, "HOST[:PATH[:rwm]]", "give a device of the host"},                               \
      {"device-cgroup-rule", "", Kind::kTexts, "RULE", "allow devices: 'c 189:* rwm'"},                             \
      {"device-read-bps", "", Kind::kTexts, "DEVICE:RATE", "limit reading, bytes a second"},                        \
      {"device-read-iops", "", Kind::kTexts, "DEVICE:RATE", "limit reading, requests a second"},                    \
      {"device-write-bps", "", Kind::kTexts, "DEVICE:RATE", "limit writing, bytes a second"},                       \
      {"device-write-iops", "", Kind::kTexts, "DEVICE:RATE", "limit writing, requests a second"},                   \
      hidden("disable-content-trust", "", Kind::kBool), {"dns", "", Kind::kTexts, "ADDRESS", "DNS server"},         \
      {"dns-option", "", Kind::kTexts, "OPTION", "option of resolv.conf"}, hidden("dns-opt", "", Kind::kTexts),     \
      {"dns-search", "", Kind::kTexts, "DOMAIN", "domain to search; . for none"},                                   \
      {"domainname", "", Kind::kText, "NAME", "NIS domain name"},                                                   \
      {"entrypoint", "", Kind::kText, "PROGRAM", "in place of the image's entrypoint; empty: none"},                \
      {"env", "e", Kind::kTexts, "NAME[=VALUE]", "environment variable; without a value, the caller's"},            \
      {"env-file", "", Kind::kTexts, "FILE", "read environment variables from FILE", "", {}, Offer::kFile},         \
      {"expose", "", Kind::kTexts, "PORT[/PROTOCOL]", "port for --publish-all"},                                    \
      {"group-add", "", Kind::kTexts, "GROUP", "one more group"},                                                   \
      {"health-cmd", "", Kind::kText, "COMMAND", "command that checks the health"},                                 \
      {"health-interval", "", Kind::kDuration, "TIME", "time between checks (30s)"},                                \
      {"health-retries", "", Kind::kUnsigned, "N", "failures until unhealthy (3)"},                                 \
      {"health-start-interval", "", Kind::kDuration, "TIME", "time between checks in the start period (5s)"},       \
      {"health-start-period", "", Kind::kDuration, "TIME", "time in which failures do not count"},                  \
      {"health-timeout", "", Kind::kDuration, "TIME", "longest time of a check (30s)"},                             \
      {"hostname", "h", Kind::kText, "NAME", "host name in the container"},                                         \
      {"init", "", Kind::kBool, "", "run a small init that passes signals on and reaps processes"},                 \
      {"interactive", "i", Kind::kBool, "", "keep standard input open"},                                            \
      {"ip", "", Kind::kText, "ADDRESS", "IPv4 address"}, {"ip6", "", Kind::kText, "ADDRESS", "IPv6 address"},      \
      {"ipc", "", Kind::kText, "MODE", "IPC namespace: private, host or container:NAME"},                           \
      {"kernel-memory", "", Kind::kBytes, "SIZE", "kernel memory limit", "", {}, Offer::kNothing, true},            \
      {"label", "l", Kind::kTexts, "NAME=VALUE", "label of the container"},                                         \
      {"label-file", "", Kind::kTexts, "FILE", "read labels from FILE", "", {}, Offer::kFile},                      \
      {"link", "", Kind::kTexts, "CONTAINER[:ALIAS]", "know another container by a name"},                          \
      {"log-driver", "", Kind::kText, "DRIVER", "json-file, local, k8s-file or none", "json-file"},                 \
      {"log-opt", "", Kind::kTexts, "NAME=VALUE", "max-size (100m), max-file (2)"},                                 \
      {"mac-address", "", Kind::kText, "ADDRESS", "MAC address"},                                                   \
      {"memory", "m", Kind::kBytes, "SIZE", "memory limit"},                                                        \
      {"memory-reservation", "", Kind::kBytes, "SIZE", "memory that is kept for it when memory is short"},          \
      {"memory-swap", "", Kind::kBytes, "SIZE", "limit of memory and swap together; -1: no limit"},                 \
      {"memory-swappiness", "", Kind::kInteger, "PERCENT", "readiness to swap, 0 to 100", "-1"},                    \
      {"mount", "", Kind::kTexts, "OPTIONS", "type=volume|bind|tmpfs,source=...,target=..."},                       \
      {"name", "", Kind::kText, "NAME", "name of the container; one is made up without"},                           \
      {"network", "", Kind::kTexts, "NETWORK", "network to be part of, none, host, or container:NAME"},             \
      hidden("net", "", Kind::kTexts), {"network-alias", "", Kind::kTexts, "NAME", "one more name in the network"}, \
      hidden("net-alias", "", Kind::kTexts),                                                                        \
      {"no-healthcheck", "", Kind::kBool, "", "no health check, whatever the image says"},                          \
      {"oom-kill-disable", "", Kind::kBool, "", "wait for memory instead of being killed"},                         \
      {"oom-score-adj", "", Kind::kInteger, "SCORE", "preference to be killed when memory is short"},               \
      {"pid", "", Kind::kText, "MODE", "PID namespace: host or container:NAME"},                                    \
      {"pids-limit", "", Kind::kInteger, "N", "most processes; -1: no limit"},                                      \
      {"platform", "", Kind::kText, "OS/ARCH", "of an image for several platforms, this one"},                      \
      {"privileged", "", Kind::kBool, "", "give every capability and device; unsafe"},                              \
      {"publish", "p", Kind::kTexts, "[[IP:]PORT:]PORT[/PROTOCOL]", "publish a port on the host"},                  \
      {"publish-all", "P", Kind::kBool, "", "publish all exposed ports on free ports of the host"},                 \
      {"pull", "", Kind::kText, "WHEN", "pull the image: always, missing or never", "missing", kPulls},             \
      {"quiet", "q", Kind::kBool, "", "do not show a pull's progress"},                                             \
      {"read-only", "", Kind::kBool, "", "do not let the root file system be written"},                             \
      {"restart", "", Kind::kText, "POLICY", "no, always, unless-stopped or on-failure[:N]", "no"},                 \
      {"rm", "", Kind::kBool, "", "remove the container when it ends"},                                             \
      {"rootfs", "", Kind::kText, "DIR", "run on this folder instead of an image", "", {}, Offer::kFolder},         \
      {"runtime", "", Kind::kText, "NAME", "taken for compatibility", "", {}, Offer::kNothing, true},               \
      {"security-opt", "", Kind::kTexts, "OPTION",                                                                  \
       "no-new-privileges, seccomp=FILE|unconfined, systempaths=unconfined"},                                       \
      {"shm-size", "", Kind::kBytes, "SIZE", "size of /dev/shm (64m)"},                                             \
      {"stop-signal", "", Kind::kText, "SIGNAL", "signal that asks the program to end", "", {}, Offer::kSignal},    \
      {"stop-timeout", "", Kind::kInteger, "SECONDS", "seconds from that signal to SIGKILL (10)"},                  \
      {"storage-opt", "", Kind::kTexts, "OPTION", "taken for compatibility", "", {}, Offer::kNothing, true},        \
      {"sysctl", "", Kind::kTexts, "NAME=VALUE", "kernel parameter of the container's namespaces"},                 \
      {"tmpfs", "", Kind::kTexts, "DIR[:OPTIONS]", "mount a tmpfs"},                                                \
      {"tty", "t", Kind::kBool, "", "give the program a terminal"},                                                 \
      {"ulimit", "", Kind::kTexts, "NAME=SOFT[:HARD]", "limit of a process"},                                       \
      {"user", "u", Kind::kText, "USER[:GROUP]", "user to run as, by name or number"},                              \
      {"userns", "", Kind::kText, "MODE", "user namespace: host"},                                                  \
      {"uts", "", Kind::kText, "MODE", "UTS namespace: host"},                                                      \
      {"volume", "v", Kind::kTexts, "[SOURCE:]DIR[:OPTIONS]", "mount a volume or a folder of the host"},            \
      {"volume-driver", "", Kind::kText, "DRIVER", "driver of volumes made for it"},                                \
      {"volumes-from", "", Kind::kTexts, "CONTAINER[:ro]", "mount the volumes of another container"},               \
      {"workdir", "w", Kind::kText, "DIR", "working directory"}

constexpr Flag kCreateFlags[] = {PROA_CREATE_FLAGS};
constexpr Flag kRunFlags[] = {
    {"detach", "d", Kind::kBool, "", "run in the background and print the id"},
    {"detach-keys", "", Kind::kText, "KEYS", "keys that leave the container running", "ctrl-p,ctrl-q"},
    {"sig-proxy", "", Kind::kBool, "", "pass signals on to the program", "true"},
    PROA_CREATE_FLAGS};
#undef PROA_CREATE_FLAGS

constexpr Argument kImageAndCommand[] = {
    {"IMAGE", "image to run; with --rootfs left out", false},
    {"COMMAND", "program and its arguments, in place of the image's", false, true},
};
constexpr Example kRunExamples[] = {
    {"{program} --rm alpine echo hello", "run a program and remove the container"},
    {"{program} -it alpine", "a shell on a terminal"},
    {"{program} -d --name web -p 8080:80 nginx", "a server in the background, on port 8080"},
    {"{program} --rm --network none --rootfs /srv/root /bin/sh -c 'id'", "on a folder, without an image"},
};
constinit const Command kRun{
    .name = "run",
    .summary = "Run a program in a new container",
    .description =
        "Creates a container from an image and starts it. Exits with the program's status, 125 if the container could "
        "not be made, 126 if its program cannot be executed and 127 if it was not found.",
    .flags = kRunFlags,
    .arguments = kImageAndCommand,
    .examples = kRunExamples,
    .handler = container_run,
    .verbatim_after = 1,
    .error_status = 125,
};
constexpr Example kCreateExamples[] = {{"{program} --name web nginx", "make a container to be started later"}};
constinit const Command kCreate{
    .name = "create",
    .summary = "Make a container without starting it",
    .description = "Does what 'run' does up to the start, and prints the id.",
    .flags = kCreateFlags,
    .arguments = kImageAndCommand,
    .examples = kCreateExamples,
    .handler = container_create,
    .verbatim_after = 1,
    .error_status = 125,
};

constexpr Flag kStartFlags[] = {
    {"attach", "a", Kind::kBool, "", "attach to its output and pass signals on"},
    kDetachKeys,
    {"interactive", "i", Kind::kBool, "", "attach to its standard input"},
};
constexpr Example kStartExamples[] = {{"{program} web", "start container web"}};
constinit const Command kStart{
    .name = "start",
    .summary = "Start containers that do not run",
    .description = "Starts each container. Those that run already are left alone.",
    .flags = kStartFlags,
    .arguments = kContainers,
    .examples = kStartExamples,
    .handler = container_start,
};

constexpr Flag kAttachFlags[] = {
    kDetachKeys,
    {"no-stdin", "", Kind::kBool, "", "do not attach standard input"},
    {"sig-proxy", "", Kind::kBool, "", "pass signals on to the program", "true"},
};
constexpr Example kAttachExamples[] = {{"{program} web", "see what web prints from now on"}};
constinit const Command kAttach{
    .name = "attach",
    .summary = "Attach to a running container",
    .description = "Connects standard input, output and error with those of the container's program.",
    .flags = kAttachFlags,
    .arguments = kContainer,
    .examples = kAttachExamples,
    .handler = container_attach,
};

constexpr Flag kExecFlags[] = {
    {"detach", "d", Kind::kBool, "", "run in the background"},
    {"detach-keys", "", Kind::kText, "KEYS", "taken for compatibility", "", {}, Offer::kNothing, true},
    {"env", "e", Kind::kTexts, "NAME=VALUE", "environment variable"},
    {"env-file", "", Kind::kTexts, "FILE", "read environment variables from FILE", "", {}, Offer::kFile},
    {"interactive", "i", Kind::kBool, "", "keep standard input open"},
    {"privileged", "", Kind::kBool, "", "give every capability"},
    {"tty", "t", Kind::kBool, "", "give the program a terminal"},
    {"user", "u", Kind::kText, "USER[:GROUP]", "user to run as, by name or number"},
    {"workdir", "w", Kind::kText, "DIR", "working directory"},
};
constexpr Argument kExecArguments[] = {
    {"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName},
    {"COMMAND", "program and its arguments", true, true},
};
constexpr Example kExecExamples[] = {{"{program} -it web sh", "a shell in container web"},
                                     {"{program} web cat /etc/hosts", "one program"}};
constinit const Command kExec{
    .name = "exec",
    .summary = "Run a program in a running container",
    .description = "Exits with the program's status, 126 if it cannot be executed and 127 if it was not found.",
    .flags = kExecFlags,
    .arguments = kExecArguments,
    .examples = kExecExamples,
    .handler = container_exec,
    .verbatim_after = 1,
};

// --- changes

constexpr Flag kStopFlags[] = {kStopSignal, kStopTime, kStopTimeout};
constexpr Example kStopExamples[] = {{"{program} -t 30 web", "give web half a minute to end"}};
constinit const Command kStop{
    .name = "stop",
    .summary = "Stop running containers",
    .description = "Sends the stop signal, and SIGKILL if the container has not ended after 10 seconds.",
    .flags = kStopFlags,
    .arguments = kContainers,
    .examples = kStopExamples,
    .handler = container_stop,
};
constexpr Example kRestartExamples[] = {{"{program} web", "stop and start web"}};
constinit const Command kRestart{
    .name = "restart",
    .summary = "Stop and start containers",
    .description = "Stops each container as 'stop' does and starts it again.",
    .flags = kStopFlags,
    .arguments = kContainers,
    .examples = kRestartExamples,
    .handler = container_restart,
};
constexpr Flag kKillFlags[] = {{"signal", "s", Kind::kText, "SIGNAL", "signal to send", "KILL", {}, Offer::kSignal}};
constexpr Example kKillExamples[] = {{"{program} -s HUP web", "have web read its configuration again"}};
constinit const Command kKill{
    .name = "kill",
    .summary = "Send a signal to running containers",
    .description = "Sends SIGKILL or another signal to the first process of each container.",
    .flags = kKillFlags,
    .arguments = kContainers,
    .examples = kKillExamples,
    .handler = container_kill,
};
constexpr Example kPauseExamples[] = {{"{program} web", "freeze all processes of web"}};
constinit const Command kPause{
    .name = "pause",
    .summary = "Freeze containers",
    .description = "Freezes all processes of each container.",
    .arguments = kContainers,
    .examples = kPauseExamples,
    .handler = container_pause,
};
constexpr Example kUnpauseExamples[] = {{"{program} web", "let web go on"}};
constinit const Command kUnpause{
    .name = "unpause",
    .summary = "Let frozen containers go on",
    .description = "Thaws all processes of each container.",
    .arguments = kContainers,
    .examples = kUnpauseExamples,
    .handler = container_unpause,
};
constexpr Flag kRmFlags[] = {
    {"force", "f", Kind::kBool, "", "kill running ones; missing ones are no error"},
    {"link", "l", Kind::kBool, "", "taken for compatibility", "", {}, Offer::kNothing, true},
    {"volumes", "v", Kind::kBool, "", "remove their anonymous volumes too"},
};
constexpr Example kRmExamples[] = {{"{program} web", "remove container web"},
                                   {"{program} -f web", "... even if it runs"}};
constinit const Command kRm{
    .name = "rm",
    .summary = "Remove containers",
    .description = "Removes containers with all they wrote.",
    .flags = kRmFlags,
    .arguments = kContainers,
    .examples = kRmExamples,
    .handler = container_rm,
};
constexpr Example kWaitExamples[] = {{"{program} web", "print web's exit status when it has ended"}};
constinit const Command kWait{
    .name = "wait",
    .summary = "Wait for containers to end",
    .description = "Prints the exit status of each container.",
    .arguments = kContainers,
    .examples = kWaitExamples,
    .handler = container_wait,
};
constexpr Argument kRenameArguments[] = {
    {"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName},
    {"NAME", "the new name"},
};
constexpr Example kRenameExamples[] = {{"{program} web shop", "web is called shop from now on"}};
constinit const Command kRename{
    .name = "rename",
    .summary = "Rename a container",
    .description = "Gives a container another name.",
    .arguments = kRenameArguments,
    .examples = kRenameExamples,
    .handler = container_rename,
};
constexpr Flag kUpdateFlags[] = {
    {"blkio-weight", "", Kind::kUnsigned, "WEIGHT", "share of block I/O, 10 to 1000"},
    {"cpu-period", "", Kind::kInteger, "MICROSECONDS", "period of the CPU quota"},
    {"cpu-quota", "", Kind::kInteger, "MICROSECONDS", "CPU time in each period"},
    {"cpu-rt-period", "", Kind::kInteger, "MICROSECONDS", "period of real-time scheduling"},
    {"cpu-rt-runtime", "", Kind::kInteger, "MICROSECONDS", "real-time CPU time in each period"},
    {"cpu-shares", "c", Kind::kInteger, "WEIGHT", "share of CPU time when it is short"},
    {"cpus", "", Kind::kText, "NUMBER", "number of CPUs"},
    {"cpuset-cpus", "", Kind::kText, "LIST", "CPUs to run on: 0-3,7"},
    {"cpuset-mems", "", Kind::kText, "LIST", "memory nodes to use"},
    {"memory", "m", Kind::kBytes, "SIZE", "memory limit"},
    {"memory-reservation", "", Kind::kBytes, "SIZE", "memory that is kept for it"},
    {"memory-swap", "", Kind::kBytes, "SIZE", "limit of memory and swap together; -1: no limit"},
    {"pids-limit", "", Kind::kInteger, "N", "most processes; -1: no limit"},
    {"restart", "", Kind::kText, "POLICY", "no, always, unless-stopped or on-failure[:N]"},
};
constexpr Example kUpdateExamples[] = {{"{program} -m 512m --cpus 1 web", "limit web from now on"}};
constinit const Command kUpdate{
    .name = "update",
    .summary = "Change limits and restart policies of containers",
    .description = "Changes what is named and leaves the rest; running containers get it at once.",
    .flags = kUpdateFlags,
    .arguments = kContainers,
    .examples = kUpdateExamples,
    .handler = container_update,
};
constexpr Flag kPruneFlags[] = {kPruneFilter, kForce};
constexpr Example kPruneExamples[] = {{"{program} -f", "remove them without asking"}};
constexpr Command kPrune{
    .name = "prune",
    .summary = "Remove all containers that do not run",
    .description = "Asks first, and tells how much space was won.",
    .flags = kPruneFlags,
    .examples = kPruneExamples,
    .handler = container_prune,
};
constexpr Flag kCommitFlags[] = {
    {"author", "a", Kind::kText, "NAME", "author of the image"},
    {"change", "c", Kind::kTexts, "LINE", "Dockerfile instruction to apply"},
    {"message", "m", Kind::kText, "TEXT", "comment in the image's history"},
    {"pause", "p", Kind::kBool, "", "freeze the container meanwhile", "true"},
};
constexpr Argument kCommitArguments[] = {
    {"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName},
    {"NAME", "the image's name", false},
};
constexpr Example kCommitExamples[] = {
    {"{program} -m 'with tools' web web:tools", "make an image of what web has become"}};
constinit const Command kCommit{
    .name = "commit",
    .summary = "Make an image of a container's changes",
    .description = "What the container changed becomes one more layer on its image.",
    .flags = kCommitFlags,
    .arguments = kCommitArguments,
    .examples = kCommitExamples,
    .handler = container_commit,
};

// --- looking

constexpr Flag kLsFlags[] = {
    {"all", "a", Kind::kBool, "", "those that do not run too"},
    kFilter,
    kFormat,
    {"last", "n", Kind::kInteger, "N", "the N made last, running or not", "-1"},
    {"latest", "l", Kind::kBool, "", "the one made last"},
    kNoTrunc,
    kOutput,
    {"quiet", "q", Kind::kBool, "", "show ids only"},
    {"size", "s", Kind::kBool, "", "show how much they wrote"},
};
constexpr Example kLsExamples[] = {
    {"{program} -a", "all containers, the newest first"},
    {"{program} -q -f status=exited", "ids of those that ended"},
    {"{program} --format '{{.Names}} {{.Status}}'", "in a form of choice"},
};
constexpr Command list_command(std::string_view name) {
  return {.name = name,
          .summary = "List containers",
          .description =
              "Lists running containers, or all of them. Filters: ancestor, before, exited, expose, health, id, "
              "label, name, network, publish, since, status, volume.",
          .flags = kLsFlags,
          .examples = kLsExamples,
          .handler = container_ls};
}
constinit const Command kPs = list_command("ps");
constexpr Command kLs = list_command("ls");
constexpr Flag kInspectFlags[] = {
    {"format", "f", Kind::kText, "TEMPLATE", "json, or a Go template for each container"},
    {"output", "o", Kind::kText, "FORMAT", "json or yaml", "json", kDocuments},
    {"size", "s", Kind::kBool, "", "with the sizes of files"},
    {"type", "", Kind::kText, "TYPE", "container, image, volume or network only"},
};
constexpr Example kInspectExamples[] = {{"{program} -f '{{.State.Status}}' web", "the state of web"}};
constexpr Argument kObjects[] = {{"NAME", "name, id, or the beginning of an id", true, true, Offer::kName}};
constinit const Command kInspect{
    .name = "inspect",
    .summary = "Show everything about containers",
    .description = "Prints an array with one object for each, in the form of Docker's.",
    .flags = kInspectFlags,
    .arguments = kObjects,
    .examples = kInspectExamples,
    .handler = container_inspect,
};
constexpr Flag kLogsFlags[] = {
    {"details", "", Kind::kBool, "", "taken for compatibility", "", {}, Offer::kNothing, true},
    {"follow", "f", Kind::kBool, "", "go on as more is printed"},
    {"since", "", Kind::kText, "TIME", "from a time on: 2026-01-02T15:04:05Z, or 10m for ten minutes ago"},
    {"tail", "n", Kind::kText, "N", "the last N lines only", "all"},
    {"timestamps", "t", Kind::kBool, "", "with the time of each line"},
    {"until", "", Kind::kText, "TIME", "up to a time"},
};
constexpr Example kLogsExamples[] = {{"{program} -f --tail 10 web", "the last lines of web, and those to come"}};
constinit const Command kLogs{
    .name = "logs",
    .summary = "Show what a container printed",
    .description = "Prints the logged output, standard output and standard error each to their own.",
    .flags = kLogsFlags,
    .arguments = kContainer,
    .examples = kLogsExamples,
    .handler = container_logs,
};
constexpr Argument kTopArguments[] = {
    {"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName},
    {"OPTION", "for ps(1)", false, true},
};
constexpr Example kTopExamples[] = {{"{program} web -o pid,args", "its processes and their arguments"}};
constinit const Command kTop{
    .name = "top",
    .summary = "List the processes of a container",
    .description = "Shows the table of ps(1), limited to the container's processes.",
    .arguments = kTopArguments,
    .examples = kTopExamples,
    .handler = container_top,
    .verbatim_after = 1,
};
constexpr Flag kStatsFlags[] = {
    {"all", "a", Kind::kBool, "", "those that do not run too"},
    kFormat,
    {"no-stream", "", Kind::kBool, "", "once, then end"},
    kNoTrunc,
};
constexpr Argument kSomeContainers[] = {
    {"CONTAINER", "name, id, or the beginning of an id", false, true, Offer::kName}};
constexpr Example kStatsExamples[] = {{"{program} --no-stream", "what all containers use at the moment"}};
constinit const Command kStats{
    .name = "stats",
    .summary = "Show what containers use",
    .description = "Shows CPU, memory, network and block I/O each second.",
    .flags = kStatsFlags,
    .arguments = kSomeContainers,
    .examples = kStatsExamples,
    .handler = container_stats,
};
constexpr Argument kPortArguments[] = {
    {"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName},
    {"PORT[/PROTOCOL]", "of the container", false},
};
constexpr Example kPortExamples[] = {{"{program} web 80", "where port 80 of web is published"}};
constinit const Command kPort{
    .name = "port",
    .summary = "List published ports",
    .description = "Shows where on the host the container's ports are.",
    .arguments = kPortArguments,
    .examples = kPortExamples,
    .handler = container_port,
};
constexpr Example kDiffExamples[] = {{"{program} web", "what web changed in its image's files"}};
constinit const Command kDiff{
    .name = "diff",
    .summary = "List what a container changed",
    .description = "A: added, C: changed, D: deleted.",
    .arguments = kContainer,
    .examples = kDiffExamples,
    .handler = container_diff,
};
constexpr Flag kCpFlags[] = {
    {"archive", "a", Kind::kBool, "", "keep owners"},
    {"follow-link", "L", Kind::kBool, "", "copy what a link at SOURCE points to"},
    {"quiet", "q", Kind::kBool, "", "print nothing"},
};
constexpr Argument kCpArguments[] = {
    {"SOURCE", "CONTAINER:PATH, a path of the host, or - for a tar archive on stdin", true, false, Offer::kFile},
    {"TARGET", "CONTAINER:PATH, a path of the host, or - for a tar archive on stdout", true, false, Offer::kFile},
};
constexpr Example kCpExamples[] = {{"{program} web:/etc/nginx .", "copy a folder out"},
                                   {"{program} site.conf web:/etc/nginx/conf.d/", "copy a file in"}};
constinit const Command kCp{
    .name = "cp",
    .summary = "Copy files into and out of containers",
    .description = "Works on running and stopped containers. Links never lead out of the container.",
    .flags = kCpFlags,
    .arguments = kCpArguments,
    .examples = kCpExamples,
    .handler = container_cp,
};
constexpr Flag kEventsFlags[] = {
    kFilter,
    {"format", "", Kind::kText, "TEMPLATE", "json, or a Go template for each event"},
    {"since", "", Kind::kText, "TIME", "from a time on"},
    {"until", "", Kind::kText, "TIME", "up to a time, then end"},
};
constexpr Example kEventsExamples[] = {{"{program} --since 1h --until 0s", "what happened in the last hour"}};
constinit const Command kEvents{
    .name = "events",
    .summary = "Show what happens",
    .description = "Prints an event of containers and volumes a line, as they happen.",
    .flags = kEventsFlags,
    .examples = kEventsExamples,
    .handler = program_events,
};

constexpr const Command* kContainerCommands[] = {
    &kAttach, &kCommit, &kCp,      &kCreate, &kDiff, &kExec,  &kInspect, &kKill, &kLogs, &kLs,      &kPause,  &kPort,
    &kPrune,  &kRename, &kRestart, &kRm,     &kRun,  &kStart, &kStats,   &kStop, &kTop,  &kUnpause, &kUpdate, &kWait};

// --- volumes

constexpr Flag kVolumeCreateFlags[] = {
    {"driver", "d", Kind::kText, "DRIVER", "only local", "local"},
    {"label", "", Kind::kTexts, "NAME=VALUE", "label of the volume"},
    {"opt", "o", Kind::kTexts, "NAME=VALUE", "type, device and o: what is mounted there, as for mount(8)"},
};
constexpr Argument kNewVolume[] = {{"VOLUME", "its name; one is made up without", false}};
constexpr Example kVolumeCreateExamples[] = {
    {"{program} data", "make a volume"},
    {"{program} -o type=tmpfs -o device=tmpfs -o o=size=100m scratch", "one in memory"}};
constexpr Command kVolumeCreate{
    .name = "create",
    .summary = "Make a volume",
    .description = "Prints its name. One that is there already is left as it is.",
    .flags = kVolumeCreateFlags,
    .arguments = kNewVolume,
    .examples = kVolumeCreateExamples,
    .handler = volume_create,
};
constexpr Flag kVolumeLsFlags[] = {kFilter, kFormat, kOutput, {"quiet", "q", Kind::kBool, "", "show names only"}};
constexpr Example kVolumeLsExamples[] = {{"{program} -f dangling=true", "those that no container uses"}};
constexpr Command kVolumeLs{
    .name = "ls",
    .summary = "List volumes",
    .description = "Filters: dangling, driver, label, name.",
    .flags = kVolumeLsFlags,
    .examples = kVolumeLsExamples,
    .handler = volume_ls,
};
constexpr Argument kVolumes[] = {{"VOLUME", "its name", true, true}};
constexpr Flag kVolumeInspectFlags[] = {
    {"format", "f", Kind::kText, "TEMPLATE", "json, or a Go template for each volume"},
    {"output", "o", Kind::kText, "FORMAT", "json or yaml", "json", kDocuments},
};
constexpr Example kVolumeInspectExamples[] = {{"{program} -f '{{.Mountpoint}}' data", "where its files are"}};
constexpr Command kVolumeInspect{
    .name = "inspect",
    .summary = "Show everything about volumes",
    .description = "Prints an array with one object for each.",
    .flags = kVolumeInspectFlags,
    .arguments = kVolumes,
    .examples = kVolumeInspectExamples,
    .handler = volume_inspect,
};
constexpr Flag kVolumeRmFlags[] = {{"force", "f", Kind::kBool, "", "missing ones are no error"}};
constexpr Example kVolumeRmExamples[] = {{"{program} data", "remove a volume with its files"}};
constexpr Command kVolumeRm{
    .name = "rm",
    .summary = "Remove volumes",
    .description = "Removes volumes that no container has.",
    .flags = kVolumeRmFlags,
    .arguments = kVolumes,
    .examples = kVolumeRmExamples,
    .handler = volume_rm,
};
constexpr Flag kVolumePruneFlags[] = {{"all", "a", Kind::kBool, "", "those with a name too"}, kPruneFilter, kForce};
constexpr Example kVolumePruneExamples[] = {{"{program} -f", "remove unused anonymous volumes without asking"}};
constexpr Command kVolumePrune{
    .name = "prune",
    .summary = "Remove volumes that no container has",
    .description = "Asks first, and tells how much space was won.",
    .flags = kVolumePruneFlags,
    .examples = kVolumePruneExamples,
    .handler = volume_prune,
};
constexpr const Command* kVolumeCommands[] = {&kVolumeCreate, &kVolumeInspect, &kVolumeLs, &kVolumePrune, &kVolumeRm};

constexpr Example kContainerExamples[] = {{"{program} ls -a", "all containers"},
                                          {"{program} prune", "remove those that ended"}};
constexpr Example kVolumeExamples[] = {{"{program} create data", "make a volume"}, {"{program} ls", "list them"}};

}  // namespace containers

using namespace containers;

constinit const Command kContainerRoot{
    .name = "container",
    .summary = "Containers: all commands on them",
    .description = "The same commands are there without the word 'container'.",
    .examples = kContainerExamples,
    .commands = kContainerCommands,
};
constinit const Command kVolumeRoot{
    .name = "volume",
    .summary = "Volumes: files that outlive containers",
    .description = "Volumes are folders with a name that containers mount.",
    .examples = kVolumeExamples,
    .commands = kVolumeCommands,
};

}  // namespace proa::cli
