// Docker's commands on containers and volumes.
#include "cli/common_flags.h"
#include "cli/container_commands.h"
#include "cli/create_flags.h"
#include "cli/program_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace containers {

constexpr Flag kDetachKeys{"detach-keys",  "", Kind::kText, "KEYS", "keys that leave the container running",
                           "ctrl-p,ctrl-q"};
constexpr Flag kStopSignal{"signal", "s", Kind::kText, "SIGNAL", "signal to send first", "", {}, Offer::kSignal};
constexpr Flag kStopTimeout{"timeout", "t", Kind::kInteger, "SECONDS", "seconds until it is killed; -1: never"};
constexpr Flag kStopTime = hidden("time", "", Kind::kInteger);  // its name before Docker 28

constexpr Argument kContainer[] = {{"CONTAINER", "name, id, or the beginning of an id", true, false, Offer::kName}};
constexpr Argument kContainers[] = {{"CONTAINER", "name, id, or the beginning of an id", true, true, Offer::kName}};

// --- run and create

constexpr Flag kRunOwnFlags[] = {
    {"detach", "d", Kind::kBool, "", "run in the background and print the id"},
    kDetachKeys,
    {"sig-proxy", "", Kind::kBool, "", "pass signals on to the program", "true"},
};
constexpr auto kRunFlags = joined(kRunOwnFlags, kCreateFlags);

constexpr Argument kImageAndCommand[] = {
    {"IMAGE", "image to run; with --rootfs left out", false},
    {"COMMAND", "program and its arguments, in place of the image's", false, true},
};
constexpr Example kRunExamples[] = {
    {"{command} --rm alpine echo hello", "run a program and remove the container"},
    {"{command} -it alpine", "a shell on a terminal"},
    {"{command} -d --name web -p 8080:80 nginx", "a server in the background, on port 8080"},
    {"{command} --rm --network none --rootfs /srv/root /bin/sh -c 'id'", "on a folder, without an image"},
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
constexpr Example kCreateExamples[] = {{"{command} --name web nginx", "make a container to be started later"}};
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
    hidden("checkpoint", "", Kind::kText),
    hidden("checkpoint-dir", "", Kind::kText),
    kDetachKeys,
    {"interactive", "i", Kind::kBool, "", "attach to its standard input"},
};
constexpr Example kStartExamples[] = {{"{command} web", "start container web"}};
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
constexpr Example kAttachExamples[] = {{"{command} web", "see what web prints from now on"}};
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
    kDetachKeys,
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
constexpr Example kExecExamples[] = {{"{command} -it web sh", "a shell in container web"},
                                     {"{command} web cat /etc/hosts", "one program"}};
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

constexpr Flag kStopFlags[] = {kStopSignal, kStopTimeout, kStopTime};
constexpr Example kStopExamples[] = {{"{command} -t 30 web", "give web half a minute to end"}};
constinit const Command kStop{
    .name = "stop",
    .summary = "Stop running containers",
    .description = "Sends the stop signal, and SIGKILL if the container has not ended after 10 seconds.",
    .flags = kStopFlags,
    .arguments = kContainers,
    .examples = kStopExamples,
    .handler = container_stop,
};
constexpr Example kRestartExamples[] = {{"{command} web", "stop and start web"}};
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
constexpr Example kKillExamples[] = {{"{command} -s HUP web", "have web read its configuration again"}};
constinit const Command kKill{
    .name = "kill",
    .summary = "Send a signal to running containers",
    .description = "Sends SIGKILL or another signal to the first process of each container.",
    .flags = kKillFlags,
    .arguments = kContainers,
    .examples = kKillExamples,
    .handler = container_kill,
};
constexpr Example kPauseExamples[] = {{"{command} web", "freeze all processes of web"}};
constinit const Command kPause{
    .name = "pause",
    .summary = "Freeze containers",
    .description = "Freezes all processes of each container.",
    .arguments = kContainers,
    .examples = kPauseExamples,
    .handler = container_pause,
};
constexpr Example kUnpauseExamples[] = {{"{command} web", "let web go on"}};
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
    {"link", "l", Kind::kBool, "", "end a link, named CONTAINER/ALIAS, and remove no container"},
    {"volumes", "v", Kind::kBool, "", "remove their anonymous volumes too"},
};
constexpr Example kRmExamples[] = {{"{command} web", "remove container web"},
                                   {"{command} -f web", "... even if it runs"}};
constinit const Command kRm{
    .name = "rm",
    .aliases = kRemoveAliases,
    .summary = "Remove containers",
    .description = "Removes containers with all they wrote, or with --link what 'run --link' made.",
    .flags = kRmFlags,
    .arguments = kContainers,
    .examples = kRmExamples,
    .handler = container_rm,
};
constexpr Example kWaitExamples[] = {{"{command} web", "print web's exit status when it has ended"}};
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
constexpr Example kRenameExamples[] = {{"{command} web shop", "web is called shop from now on"}};
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
    hidden("kernel-memory", "", Kind::kBytes),
    {"memory", "m", Kind::kBytes, "SIZE", "memory limit"},
    {"memory-reservation", "", Kind::kBytes, "SIZE", "memory that is kept for it"},
    {"memory-swap", "", Kind::kBytes, "SIZE", "limit of memory and swap together; -1: no limit"},
    {"pids-limit", "", Kind::kInteger, "N", "most processes; -1: no limit"},
    {"restart", "", Kind::kText, "POLICY", "no, always, unless-stopped or on-failure[:N]"},
};
constexpr Example kUpdateExamples[] = {{"{command} -m 512m --cpus 1 web", "limit web from now on"}};
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
constexpr Example kPruneExamples[] = {{"{command} -f", "remove them without asking"}};
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
    {"{command} -m 'with tools' web web:tools", "make an image of what web has become"}};
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
    kQuiet,
    {"size", "s", Kind::kBool, "", "show how much they wrote"},
};
constexpr Example kLsExamples[] = {
    {"{command} -a", "all containers, the newest first"},
    {"{command} -q -f status=exited", "ids of those that ended"},
    {"{command} --format '{{.Names}} {{.Status}}'", "in a form of choice"},
};
constexpr std::string_view kContainerListAliases[] = {"list", "ps"};
constexpr Command list_command(std::string_view name, std::span<const std::string_view> aliases = {}) {
  return {.name = name,
          .aliases = aliases,
          .summary = "List containers",
          .description =
              "Lists running containers, or all of them. Filters: ancestor, before, exited, expose, health, id, "
              "label, name, network, publish, since, status, volume.",
          .flags = kLsFlags,
          .examples = kLsExamples,
          .handler = container_ls};
}
constinit const Command kPs = list_command("ps");
constexpr Command kLs = list_command("ls", kContainerListAliases);
constexpr std::string_view kObjectTypes[] = {"container", "image", "network", "volume", "sandbox", "exec"};
constexpr Flag kInspectFlags[] = {
    format_of("json, or a Go template for each object"),
    kDocument,
    {"size", "s", Kind::kBool, "", "with the sizes of files"},
    {"type", "", Kind::kText, "TYPE", "container, image, network, volume, sandbox or exec only", "", kObjectTypes},
};
constexpr Flag kContainerInspectFlags[] = {
    format_of("json, or a Go template for each container"),
    kDocument,
    {"size", "s", Kind::kBool, "", "with the sizes of files"},
    {"type", "", Kind::kText, "TYPE", "only containers are looked for", "container", kObjectTypes, Offer::kNothing,
     true},
};
constexpr Example kInspectExamples[] = {{"{command} -f '{{.State.Status}}' web", "the state of web"}};
constexpr Argument kObjects[] = {{"NAME", "name, id, or the beginning of an id", true, true, Offer::kName}};
constinit const Command kInspect{
    .name = "inspect",
    .summary = "Show everything about containers, images, networks and volumes",
    .description =
        "Prints an array with one object for each name, in the form of Docker's. A name is looked for among "
        "containers, "
        "images, networks and volumes, in this order.",
    .flags = kInspectFlags,
    .arguments = kObjects,
    .examples = kInspectExamples,
    .handler = program_inspect,
};
constexpr Command kContainerInspect{
    .name = "inspect",
    .summary = "Show everything about containers",
    .description = "Prints an array with one object for each, in the form of Docker's.",
    .flags = kContainerInspectFlags,
    .arguments = kContainers,
    .examples = kInspectExamples,
    .handler = program_inspect,
};
constexpr Flag kLogsFlags[] = {
    {"details", "", Kind::kBool, "", "show tag, labels and variables that --log-opt names, too"},
    {"follow", "f", Kind::kBool, "", "go on as more is printed"},
    {"since", "", Kind::kText, "TIME", "from a time on: 2026-01-02T15:04:05Z, or 10m for ten minutes ago"},
    {"tail", "n", Kind::kText, "N", "the last N lines only", "all"},
    {"timestamps", "t", Kind::kBool, "", "with the time of each line"},
    {"until", "", Kind::kText, "TIME", "up to a time"},
};
constexpr Example kLogsExamples[] = {{"{command} -f --tail 10 web", "the last lines of web, and those to come"}};
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
constexpr Example kTopExamples[] = {{"{command} web -o pid,args", "its processes and their arguments"}};
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
constexpr Example kStatsExamples[] = {{"{command} --no-stream", "what all containers use at the moment"}};
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
constexpr Example kPortExamples[] = {{"{command} web 80", "where port 80 of web is published"}};
constinit const Command kPort{
    .name = "port",
    .summary = "List published ports",
    .description = "Shows where on the host the container's ports are.",
    .arguments = kPortArguments,
    .examples = kPortExamples,
    .handler = container_port,
};
constexpr Example kDiffExamples[] = {{"{command} web", "what web changed in its image's files"}};
constinit const Command kDiff{
    .name = "diff",
    .summary = "List what a container changed",
    .description = "A: added, C: changed, D: deleted.",
    .arguments = kContainer,
    .examples = kDiffExamples,
    .handler = container_diff,
};
constexpr Flag kCpFlags[] = {
    {"archive", "a", Kind::kBool, "", "keep owners, by their numbers"},
    {"follow-link", "L", Kind::kBool, "", "copy what a link at SOURCE points to"},
    {"quiet", "q", Kind::kBool, "", "print nothing"},
};
constexpr Argument kCpArguments[] = {
    {"SOURCE", "CONTAINER:PATH, a path of the host, or - for a tar archive on stdin", true, false, Offer::kFile},
    {"TARGET", "CONTAINER:PATH, a path of the host, or - for a tar archive on stdout", true, false, Offer::kFile},
};
constexpr Example kCpExamples[] = {{"{command} web:/etc/nginx .", "copy a folder out"},
                                   {"{command} site.conf web:/etc/nginx/conf.d/", "copy a file in"}};
constinit const Command kCp{
    .name = "cp",
    .summary = "Copy files into and out of containers",
    .description =
        "Works on running and stopped containers. What is copied in is root's, and what is copied out the caller's, "
        "unless --archive is given. Links never lead out of the container.",
    .flags = kCpFlags,
    .arguments = kCpArguments,
    .examples = kCpExamples,
    .handler = container_cp,
};
constexpr Flag kExportFlags[] = {
    {"output", "o", Kind::kText, "FILE", "write to FILE instead of stdout", "", {}, Offer::kFile}};
constexpr Example kExportExamples[] = {{"{command} -o web.tar web", "all files of web in one archive"}};
constinit const Command kExport{
    .name = "export",
    .summary = "Write a container's files as a tar archive",
    .description = "Writes the root file system without what is mounted in it, of running and stopped containers.",
    .flags = kExportFlags,
    .arguments = kContainer,
    .examples = kExportExamples,
    .handler = container_export,
};
constexpr Flag kEventsFlags[] = {
    kFilter,
    {"format", "", Kind::kText, "TEMPLATE", "json, or a Go template for each event"},
    {"since", "", Kind::kText, "TIME", "from a time on"},
    {"until", "", Kind::kText, "TIME", "up to a time, then end"},
};
constexpr Example kEventsExamples[] = {{"{command} --since 1h --until 0s", "what happened in the last hour"}};
constinit const Command kEvents{
    .name = "events",
    .summary = "Show what happens",
    .description = "Prints an event of containers and volumes a line, as they happen.",
    .flags = kEventsFlags,
    .examples = kEventsExamples,
    .handler = program_events,
};

constexpr const Command* kContainerCommands[] = {
    &kAttach, &kCommit, &kCp,    &kCreate, &kDiff, &kExec,  &kExport,  &kContainerInspect,
    &kKill,   &kLogs,   &kLs,    &kPause,  &kPort, &kPrune, &kRename,  &kRestart,
    &kRm,     &kRun,    &kStart, &kStats,  &kStop, &kTop,   &kUnpause, &kUpdate,
    &kWait};

constexpr Example kContainerExamples[] = {{"{program} ls -a", "all containers"},
                                          {"{program} prune", "remove those that ended"}};

}  // namespace containers

using namespace containers;

constinit const Command kContainerRoot{
    .name = "container",
    .summary = "Containers: all commands on them",
    .description = "The same commands are there without the word 'container'.",
    .examples = kContainerExamples,
    .commands = kContainerCommands,
};

}  // namespace proa::cli
