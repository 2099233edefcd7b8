// The runtime's command line: runc 1.4's, and the flags of crun that its users pass.
#include "cli/program_commands.h"
#include "cli/runtime_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr std::string_view kLogFormats[] = {"text", "json", ""};
constexpr std::string_view kLogLevels[] = {"debug", "info", "warning", "error"};
constexpr std::string_view kManagers[] = {"cgroupfs", "systemd", "disabled"};
constexpr std::string_view kListFormats[] = {"table", "json"};

constexpr Flag kGlobals[] = {
    {"root",
     "",
     Kind::kText,
     "DIR",
     "folder of the containers' state; in memory (tmpfs), one user's",
     "",
     {},
     Offer::kFolder},
    {"log",
     "",
     Kind::kText,
     "FILE",
     "append log messages to FILE instead of writing them to stderr",
     "",
     {},
     Offer::kFile},
    {"log-format", "", Kind::kText, "FORMAT", "form of log messages: text or json", "text", kLogFormats},
    {"log-level", "", Kind::kText, "LEVEL", "least level of messages: debug, info, warning or error", "", kLogLevels},
    {"debug", "", Kind::kBool, "", "log debug messages too"},
    {"systemd-cgroup", "", Kind::kBool, "", "let systemd make cgroups; cgroupsPath is then SLICE:PREFIX:NAME"},
    {"cgroup-manager", "", Kind::kText, "MANAGER", "who makes cgroups: cgroupfs, systemd or disabled", "", kManagers},
    {"rootless", "", Kind::kText, "WHEN", "pass over cgroups that may not be written: true, false or auto", "auto"},
    {"criu", "", Kind::kText, "PATH", "criu program to use", "criu", {}, Offer::kFile, true},
    {"version", "vV", Kind::kBool, "", "show the version"},
};

constexpr Argument kId[] = {{"CONTAINER", "the container's id", true, false, Offer::kContainer}};
constexpr Argument kNewId[] = {{"CONTAINER", "id of the new container, unique below --root"}};

// Flags that several commands share.
constexpr Flag kBundle{"bundle", "b", Kind::kText, "DIR", "folder holding config.json", ".", {}, Offer::kFolder};
constexpr Flag kConfig{"config", "f", Kind::kText, "FILE", "file to read instead of config.json in the bundle",
                       "",       {},  Offer::kFile};
constexpr Flag kConsoleSocket{
    "console-socket", "", Kind::kText, "SOCKET", "unix socket that receives the terminal's descriptor", "", {},
    Offer::kFile};
constexpr Flag kPidfdSocket{
    "pidfd-socket", "", Kind::kText, "SOCKET", "unix socket that receives a pidfd of the process", "", {},
    Offer::kFile};
constexpr Flag kPidFile{"pid-file", "", Kind::kText, "FILE", "write the process id to FILE", "", {}, Offer::kFile};
constexpr Flag kNoPivot{"no-pivot", "", Kind::kBool, "",
                        "chroot instead of pivot_root, for a root file system on a ramdisk; less safe"};
constexpr Flag kNoNewKeyring{"no-new-keyring", "", Kind::kBool, "", "keep the caller's session keyring"};
constexpr Flag kPreserveFds{"preserve-fds", "", Kind::kUnsigned, "N",
                            "pass N more descriptors, beyond stdio and $LISTEN_FDS"};
constexpr Flag kDetach{"detach", "d", Kind::kBool, "", "return once the process runs"};
constexpr Flag kNoSubreaper{"no-subreaper", "", Kind::kBool, "", "do not become the parent of orphaned processes"};
constexpr Flag kImagePath{"image-path", "", Kind::kText,   "DIR", "folder of the checkpoint's images",
                          "",           {}, Offer::kFolder};
constexpr Flag kWorkPath{"work-path", "", Kind::kText,   "DIR", "folder of criu's work files and logs",
                         "",          {}, Offer::kFolder};
constexpr Flag kTcpEstablished{"tcp-established", "", Kind::kBool, "", "allow open TCP connections"};
constexpr Flag kExternalSockets{"ext-unix-sk", "", Kind::kBool, "", "allow unix sockets whose other end is outside"};
constexpr Flag kShellJob{"shell-job", "", Kind::kBool, "", "allow a process on somebody else's terminal"};
constexpr Flag kLazyPages{"lazy-pages", "", Kind::kBool, "", "move memory when it is touched, by userfaultfd"};
constexpr Flag kFileLocks{"file-locks", "", Kind::kBool, "", "keep file locks"};
constexpr std::string_view kCgroupModes[] = {"soft", "full", "strict", "ignore", ""};
constexpr Flag kManageCgroups{
    "manage-cgroups-mode", "", Kind::kText, "MODE", "how criu treats cgroups: soft, full, strict or ignore", "",
    kCgroupModes};
constexpr std::string_view kEmptyNamespaces[] = {"network"};
constexpr Flag kEmptyNs{
    "empty-ns",      "", Kind::kTexts, "NAMESPACE", "make the namespace but restore nothing in it: network", "",
    kEmptyNamespaces};
constexpr Flag kAutoDedup{"auto-dedup", "", Kind::kBool, "", "drop pages from older images that newer ones hold"};
constexpr Flag kRegex{"regex", "r", Kind::kBool, "",
                      "CONTAINER is an extended regular expression; all ids that match are meant"};

constexpr Flag kCreateFlags[] = {kBundle,  kConfig,  kConsoleSocket, kPidfdSocket,
                                 kPidFile, kNoPivot, kNoNewKeyring,  kPreserveFds};
constexpr Example kCreateExamples[] = {
    {"{program} create --bundle /srv/web web", "make container web from /srv/web/config.json"},
    {"{program} create -b /srv/web --pid-file /run/web.pid web", "... and write its process id to a file"},
    {"{program} start web", "then run its program"},
};
constexpr Command kCreate{
    .name = "create",
    .summary = "Make a container without starting its program",
    .description =
        "Makes the namespaces, cgroups and root file system that the bundle's config.json asks for and "
        "leaves the container waiting for 'start'.",
    .flags = kCreateFlags,
    .arguments = kNewId,
    .examples = kCreateExamples,
    .handler = runtime_create,
};

constexpr Flag kRunFlags[] = {kBundle,
                              kConfig,
                              kConsoleSocket,
                              kPidfdSocket,
                              kPidFile,
                              kDetach,
                              {"keep", "", Kind::kBool, "", "do not delete the container when it ends"},
                              kNoSubreaper,
                              kNoPivot,
                              kNoNewKeyring,
                              kPreserveFds};
constexpr Example kRunExamples[] = {
    {"{program} run -b /srv/web web", "run container web and wait for its end"},
    {"{program} run -d --pid-file /run/web.pid -b /srv/web web", "run it in the background"},
};
constexpr Command kRun{
    .name = "run",
    .summary = "Make a container and start its program",
    .description =
        "Does what 'create' and 'start' do. Without --detach it waits, exits with the program's own exit "
        "status (128 + signal number when a signal ended it) and deletes the container.",
    .flags = kRunFlags,
    .arguments = kNewId,
    .examples = kRunExamples,
    .handler = runtime_run,
};

constexpr Example kStartExamples[] = {{"{program} start web", "run the program of the created container web"}};
constexpr Command kStart{
    .name = "start",
    .summary = "Run the program of a created container",
    .description = "Lets a container made by 'create' run its program. A container is started only once.",
    .arguments = kId,
    .examples = kStartExamples,
    .handler = runtime_start,
};

constexpr Example kStateExamples[] = {{"{program} state web", "status, process id and bundle of container web"}};
constexpr Command kState{
    .name = "state",
    .summary = "Show a container's state as JSON",
    .description = "Prints the state document of the OCI runtime specification.",
    .arguments = kId,
    .examples = kStateExamples,
    .handler = runtime_state,
};

constexpr Flag kKillFlags[] = {
    {"all", "a", Kind::kBool, "", "send it to every process of the container"},
    kRegex,
};
constexpr Argument kKillArguments[] = {
    {"CONTAINER", "the container's id", true, false, Offer::kContainer},
    {"SIGNAL", "name with or without SIG, or number; TERM when left out", false, false, Offer::kSignal},
};
constexpr Example kKillExamples[] = {
    {"{program} kill web", "ask container web to end (SIGTERM)"},
    {"{program} kill web KILL", "end it at once"},
    {"{program} kill --all web 9", "end every process of it"},
};
constexpr Command kKill{
    .name = "kill",
    .summary = "Send a signal to a container's first process",
    .description = "Sends SIGNAL to the container's first process, or with --all to all of them.",
    .flags = kKillFlags,
    .arguments = kKillArguments,
    .examples = kKillExamples,
    .handler = runtime_kill,
    .verbatim_after = 1,
};

constexpr Flag kDeleteFlags[] = {
    {"force", "f", Kind::kBool, "", "kill a running container first; a missing one is no error"},
    kRegex,
};
constexpr Example kDeleteExamples[] = {
    {"{program} delete web", "delete the stopped container web"},
    {"{program} delete -f web", "... even if it runs"},
    {"{program} delete --force --regex '^test-'", "delete every container whose id begins with test-"},
};
constexpr Command kDelete{
    .name = "delete",
    .summary = "Delete a stopped container",
    .description = "Removes the container's cgroups and state and runs its poststop hooks.",
    .flags = kDeleteFlags,
    .arguments = kId,
    .examples = kDeleteExamples,
    .handler = runtime_delete,
};

constexpr Flag kExecFlags[] = {
    {"env", "e", Kind::kTexts, "NAME=VALUE", "set an environment variable; may be repeated"},
    {"cwd", "", Kind::kText, "DIR", "working directory in the container"},
    {"user", "u", Kind::kText, "UID[:GID]", "run as this user and group"},
    {"additional-gids", "g", Kind::kTexts, "GID", "add a group; may be repeated"},
    {"tty", "t", Kind::kBool, "", "give the process a terminal"},
    kDetach,
    {"process",
     "p",
     Kind::kText,
     "FILE",
     "read the process from FILE, the process object of config.json",
     "",
     {},
     Offer::kFile},
    {"cap", "c", Kind::kTexts, "CAPABILITY", "add a capability; may be repeated"},
    {"no-new-privs", "", Kind::kBool, "", "set no_new_privs"},
    {"apparmor", "", Kind::kText, "PROFILE", "AppArmor profile"},
    {"process-label", "", Kind::kText, "LABEL", "SELinux label"},
    {"cgroup", "", Kind::kTexts, "[CONTROLLER,...:]PATH",
     "sub-cgroup to run in; must exist; may be repeated on cgroup v1"},
    {"ignore-paused", "", Kind::kBool, "", "allow a paused container; the process waits for 'resume'"},
    kConsoleSocket,
    kPidfdSocket,
    kPidFile,
    kPreserveFds,
};
constexpr Argument kExecArguments[] = {
    {"CONTAINER", "the container's id", true, false, Offer::kContainer},
    {"COMMAND", "program and its arguments, taken as they stand", false, true},
};
constexpr Example kExecExamples[] = {
    {"{program} exec web ps -ef", "run ps -ef in container web"},
    {"{program} exec -t -e TERM=xterm web sh", "a shell with a terminal"},
    {"{program} exec --process debug.json web", "the process described in a file"},
};
constexpr Command kExec{
    .name = "exec",
    .summary = "Run another process in a running container",
    .description = "Runs COMMAND inside the container and exits with its exit status; 255 when it could not be run.",
    .flags = kExecFlags,
    .arguments = kExecArguments,
    .examples = kExecExamples,
    .handler = runtime_exec,
    .verbatim_after = 1,
    .error_status = 255,
};

constexpr Flag kPsFlags[] = {
    {"format", "f", Kind::kText, "FORMAT", "table or json (process ids only)", "table", kListFormats},
};
constexpr Argument kPsArguments[] = {
    {"CONTAINER", "the container's id", true, false, Offer::kContainer},
    {"PS-OPTION", "options of ps(1); -ef when left out", false, true},
};
constexpr Example kPsExamples[] = {
    {"{program} ps web", "the processes of container web"},
    {"{program} ps web -o pid,rss,args", "... with columns of choice"},
    {"{program} ps --format json web", "their process ids as JSON"},
};
constexpr Command kPs{
    .name = "ps",
    .summary = "Show the processes of a container",
    .description = "Runs ps(1) on the host and shows the lines of the container's processes.",
    .flags = kPsFlags,
    .arguments = kPsArguments,
    .examples = kPsExamples,
    .handler = runtime_ps,
    .verbatim_after = 1,
};

constexpr Example kPauseExamples[] = {{"{program} pause web", "freeze container web"}};
constexpr Command kPause{
    .name = "pause",
    .summary = "Freeze every process of a container",
    .description = "Freezes the container's cgroup until 'resume'.",
    .arguments = kId,
    .examples = kPauseExamples,
    .handler = runtime_pause,
};

constexpr Example kResumeExamples[] = {{"{program} resume web", "let container web run on"}};
constexpr Command kResume{
    .name = "resume",
    .summary = "Let a paused container run on",
    .description = "Thaws the container's cgroup after 'pause'.",
    .arguments = kId,
    .examples = kResumeExamples,
    .handler = runtime_resume,
};

constexpr Flag kUpdateFlags[] = {
    {"resources",
     "r",
     Kind::kText,
     "FILE",
     "read limits from FILE (- is stdin), the resources object of config.json; other flags are then ignored",
     "",
     {},
     Offer::kFile},
    {"memory", "", Kind::kBytes, "BYTES", "memory limit; -1 for none"},
    {"memory-reservation", "", Kind::kBytes, "BYTES", "memory kept under pressure"},
    {"memory-swap", "", Kind::kBytes, "BYTES", "memory and swap together; -1 for no limit"},
    {"cpu-quota", "", Kind::kInteger, "MICROSECONDS", "CPU time per period; -1 for no limit"},
    {"cpu-period", "", Kind::kUnsigned, "MICROSECONDS", "length of the period"},
    {"cpu-burst", "", Kind::kUnsigned, "MICROSECONDS", "unused CPU time that may be saved up"},
    {"cpu-share", "", Kind::kUnsigned, "SHARES", "weight against other cgroups; 1024 is usual"},
    {"cpu-idle", "", Kind::kInteger, "0|1", "1: run only when the CPU is otherwise idle"},
    {"cpu-rt-period", "", Kind::kUnsigned, "MICROSECONDS", "realtime period"},
    {"cpu-rt-runtime", "", Kind::kInteger, "MICROSECONDS", "realtime CPU time per period"},
    {"cpuset-cpus", "", Kind::kText, "LIST", "CPUs, as 0-3,7"},
    {"cpuset-mems", "", Kind::kText, "LIST", "memory nodes, as 0,1"},
    {"pids-limit", "", Kind::kInteger, "N", "most processes; -1 for no limit"},
    {"blkio-weight", "", Kind::kUnsigned, "WEIGHT", "block I/O weight, 10 to 1000"},
    {"l3-cache-schema", "", Kind::kText, "SCHEMA", "Intel RDT: L3 cache"},
    {"mem-bw-schema", "", Kind::kText, "SCHEMA", "Intel RDT: memory bandwidth"},
    {"kernel-memory", "", Kind::kBytes, "BYTES", "obsolete; ignored by kernels", "", {}, Offer::kNothing, true},
    {"kernel-memory-tcp", "", Kind::kBytes, "BYTES", "obsolete", "", {}, Offer::kNothing, true},
};
constexpr Example kUpdateExamples[] = {
    {"{program} update --memory 512m --pids-limit 200 web", "change two limits of container web"},
    {"{program} update --cpu-quota 50000 --cpu-period 100000 web", "half a CPU"},
    {"echo '{\"memory\":{\"limit\":536870912}}' | {program} update -r - web", "limits from stdin"},
};
constexpr Command kUpdate{
    .name = "update",
    .summary = "Change a container's limits",
    .description = "Changes the limits given and leaves the others as they are.",
    .flags = kUpdateFlags,
    .arguments = kId,
    .examples = kUpdateExamples,
    .handler = runtime_update,
};

constexpr Flag kEventsFlags[] = {
    {"interval", "", Kind::kDuration, "DURATION", "time between two reports", "5s"},
    {"stats", "", Kind::kBool, "", "report once and exit"},
};
constexpr Example kEventsExamples[] = {
    {"{program} events --stats web", "what container web uses now"},
    {"{program} events --interval 1s web", "... every second, until it stops"},
};
constexpr Command kEvents{
    .name = "events",
    .summary = "Report a container's usage and out-of-memory events",
    .description = "Prints one JSON document a line: usage at every interval, and each time memory ran out.",
    .flags = kEventsFlags,
    .arguments = kId,
    .examples = kEventsExamples,
    .handler = runtime_events,
};

constexpr Flag kListFlags[] = {
    {"format", "f", Kind::kText, "FORMAT", "table or json", "table", kListFormats},
    {"quiet", "q", Kind::kBool, "", "only ids"},
};
constexpr Example kListExamples[] = {
    {"{program} list", "all containers"},
    {"{program} list -f json", "... as JSON"},
    {"{program} --root /run/other list -q", "ids of the containers of another root"},
};
constexpr Command kList{
    .name = "list",
    .summary = "List containers",
    .description = "Lists the containers whose state is below --root.",
    .flags = kListFlags,
    .examples = kListExamples,
    .handler = runtime_list,
};

constexpr Flag kSpecFlags[] = {
    {"bundle", "b", Kind::kText, "DIR", "folder to write into", ".", {}, Offer::kFolder},
    {"rootless", "", Kind::kBool, "", "for a user without root's rights"},
};
constexpr Example kSpecExamples[] = {
    {"{program} spec", "write ./config.json"},
    {"{program} spec --rootless -b ~/web", "write one for an ordinary user"},
};
constexpr Command kSpec{
    .name = "spec",
    .summary = "Write a starting config.json",
    .description = "Writes a config.json that runs 'sh' in the folder rootfs, to be edited. Does not overwrite one.",
    .flags = kSpecFlags,
    .examples = kSpecExamples,
    .handler = runtime_spec,
};

constexpr Example kFeaturesExamples[] = {{"{program} features", "what this runtime can do, as JSON"}};
constexpr Command kFeatures{
    .name = "features",
    .summary = "Show what this runtime supports",
    .description = "Prints the features document of the OCI runtime specification.",
    .examples = kFeaturesExamples,
    .handler = runtime_features,
};

constexpr Flag kCheckpointFlags[] = {
    kImagePath,
    kWorkPath,
    {"parent-path", "", Kind::kText, "DIR", "earlier images, relative to --image-path", "", {}, Offer::kFolder},
    {"leave-running", "", Kind::kBool, "", "let the container run on"},
    kTcpEstablished,
    {"tcp-skip-in-flight", "", Kind::kBool, "", "leave out TCP connections not yet accepted"},
    {"link-remap", "", Kind::kBool, "", "allow open files that were deleted"},
    kExternalSockets,
    kShellJob,
    kLazyPages,
    {"status-fd", "", Kind::kText, "FD", "descriptor to write to when lazy pages can be fetched"},
    {"page-server", "", Kind::kText, "ADDRESS:PORT", "send pages to this page server"},
    kFileLocks,
    {"pre-dump", "", Kind::kBool, "", "save memory only and let the container run on"},
    kManageCgroups,
    kEmptyNs,
    kAutoDedup,
};
constexpr Example kCheckpointExamples[] = {
    {"{program} checkpoint --image-path /var/tmp/web web", "save container web and stop it"},
    {"{program} checkpoint --leave-running web", "save it to ./checkpoint and let it run on"},
};
constexpr Command kCheckpoint{
    .name = "checkpoint",
    .summary = "Save a running container to disk",
    .description = "Saves the container's processes with criu(8), for 'restore' here or elsewhere.",
    .flags = kCheckpointFlags,
    .arguments = kId,
    .examples = kCheckpointExamples,
    .handler = runtime_checkpoint,
};

constexpr Flag kRestoreFlags[] = {
    kBundle,
    kConfig,
    kImagePath,
    kWorkPath,
    kDetach,
    kConsoleSocket,
    kPidFile,
    kNoSubreaper,
    kNoPivot,
    kTcpEstablished,
    kExternalSockets,
    kShellJob,
    kLazyPages,
    kFileLocks,
    kManageCgroups,
    kEmptyNs,
    kAutoDedup,
    {"lsm-profile", "", Kind::kText, "TYPE:NAME", "apparmor or selinux profile to restore under"},
    {"lsm-mount-context", "", Kind::kText, "CONTEXT", "SELinux mount context to use instead of the saved one"},
};
constexpr Example kRestoreExamples[] = {
    {"{program} restore --image-path /var/tmp/web -b /srv/web web", "run a saved container on"},
};
constexpr Command kRestore{
    .name = "restore",
    .summary = "Run a saved container on",
    .description = "Restores with criu(8) what 'checkpoint' saved.",
    .flags = kRestoreFlags,
    .arguments = kNewId,
    .examples = kRestoreExamples,
    .handler = runtime_restore,
};

constexpr Example kHelpExamples[] = {{"{program} help run", "explain 'run'"}};
constexpr Command kHelp = help_command(kHelpExamples);

constexpr const Command* kCommands[] = {&kCreate, &kStart, &kRun,      &kExec,       &kState,   &kList,
                                        &kPs,     &kKill,  &kDelete,   &kPause,      &kResume,  &kUpdate,
                                        &kEvents, &kSpec,  &kFeatures, &kCheckpoint, &kRestore, &kHelp};

constexpr Example kRootExamples[] = {
    {"{program} spec --bundle /srv/web", "write a config.json to start from"},
    {"{program} run --bundle /srv/web web", "run the container it describes"},
    {"{program} list", "see what runs"},
};

}  // namespace

constinit const Command kRuntimeRoot{
    .name = "runtime",
    .summary = "OCI runtime: run a container from a bundle (runc's command line)",
    .description =
        "Runs containers from bundles: folders with a config.json and a root file system, as the OCI runtime "
        "specification 1.3 defines them. Commands and flags are those of runc; when the program is called "
        "proa-runtime it takes runc's place under podman, containerd and docker.\n\n"
        "State is kept in /run/proa/runtime, or for a user without root's rights in "
        "$XDG_RUNTIME_DIR/proa/runtime. Exit status: 1 on failure; run, exec and restore exit with the "
        "container's own status, and exec with 255 when it could not run the command.",
    .flags = kGlobals,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
