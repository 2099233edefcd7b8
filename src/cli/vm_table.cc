// The machines' command line.
#include "cli/tables.h"
#include "cli/vm_commands.h"

namespace proa::cli {
namespace {

constexpr std::string_view kOutputs[] = {"table", "json", "yaml"};
constexpr Flag kOutput{"output", "o", Kind::kText, "FORMAT", "table, json or yaml", "table", kOutputs};
constexpr Flag kGroupFlags[] = {
    {"root", "", Kind::kText, "DIR", "folder of the machines", "/run/proa/vm", {}, Offer::kFolder},
};
constexpr Argument kMachine[] = {{"MACHINE", "name of the machine"}};
constexpr Argument kMachines[] = {{"MACHINE", "name of the machine", true, true}};

constexpr std::string_view kEngines[] = {"auto", "kvm", "translator"};
constexpr Flag kEngine{
    "engine", "",      Kind::kText, "ENGINE", "what runs the guest's instructions: auto, kvm or translator",
    "auto",   kEngines};
constexpr Flag kName{"name", "", Kind::kText, "NAME", "name of the machine; a random one by default"};
constexpr Flag kDetach{"detach", "d", Kind::kBool, "", "run in the background and print the name"};
constexpr Flag kRemove{"rm", "", Kind::kBool, "", "remove the machine's folder when it has ended"};
constexpr std::string_view kTraces[] = {"none", "summary", "blocks", "exits"};
constexpr Flag kTrace{"trace",
                      "",
                      Kind::kText,
                      "WHAT",
                      "what the engine did, on standard error at the end: none, summary, blocks (and every block "
                      "translated), or exits (and where in the guest)",
                      "none",
                      kTraces};

constexpr Flag kTty{"tty", "t", Kind::kBool, "", "a terminal for the command"};
constexpr Flag kInteractive{"interactive", "i", Kind::kBool, "", "standard input goes to the command"};
constexpr Flag kEnv{"env", "e", Kind::kTexts, "NAME[=VALUE]",
                    "an environment variable of the command; without a value, the caller's"};
constexpr Flag kWorkdir{"workdir", "w", Kind::kText, "PATH", "the folder that the command starts in"};
constexpr Flag kUser{"user", "u", Kind::kText, "USER[:GROUP]",
                     "who runs the command, by name or number (default: root)"};

constexpr std::string_view kConsoles[] = {"serial", "virtio"};
constexpr Flag kRunFlags[] = {
    kName,
    {"kernel", "k", Kind::kText, "FILE", "the kernel: bzImage or ELF, compressed or not", {}, {}, Offer::kFile},
    {"initrd", "", Kind::kText, "FILE", "the initial RAM disk", {}, {}, Offer::kFile},
    {"cmdline", "", Kind::kText, "TEXT", "the kernel's command line",
     "console=ttyS0 reboot=k panic=-1 tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=on"},
    {"disk", "", Kind::kTexts, "FILE[,ro][,root][,mount=PATH]",
     "a disk image; root: it is mounted as the root; mount: with a command, mounted there"},
    {"net", "", Kind::kTexts, "TAP[,mac=MAC][,ip=ADDRESS/PREFIX][,gateway=ADDRESS]",
     "a network interface on this TAP device, which is made if it is missing; with a command, ip and gateway are set "
     "up"},
    {"cpus", "c", Kind::kUnsigned, "COUNT", "virtual CPUs, 1 to 32", "1"},
    {"memory", "m", Kind::kBytes, "SIZE", "memory, e.g. 512m or 2g", "256m"},
    {"config", "", Kind::kText, "FILE", "a machine in JSON, as Firecracker's --config-file", {}, {}, Offer::kFile},
    kTty,
    kInteractive,
    kEnv,
    kWorkdir,
    kUser,
    {"hostname", "", Kind::kText, "NAME", "the guest's host name (default: the machine's name)"},
    {"dns", "", Kind::kTexts, "ADDRESS", "a name server, for the guest's /etc/resolv.conf"},
    {"agent", "", Kind::kBool, "", "without a command: starts the root disk's /sbin/init, and serves exec and cp"},
    {"modules",
     "",
     Kind::kText,
     "DIR",
     "modules of the kernel, where they are not found beside it or in /lib/modules",
     {},
     {},
     Offer::kFolder},
    {"api-sock",
     "",
     Kind::kText,
     "SOCKET",
     "wait to be configured and started over Firecracker's API on this socket, as firecracker --api-sock does",
     {},
     {},
     Offer::kFile},
    {"mmds", "", Kind::kText, "FILE[,v1][,address=ADDRESS]",
     "metadata in JSON, which the guest reads at http://169.254.169.254 (with session tokens; v1: without)"},
    {"console", "", Kind::kText, "KIND", "what this terminal is in the guest: serial (ttyS0) or virtio (hvc0)",
     "serial", kConsoles},
    {"wait", "", Kind::kUnsigned, "SECONDS",
     "with --detach: how long to wait for the guest's init; 0: until the machine runs", "60"},
    {"cold", "", Kind::kBool, "",
     "with a command or --agent: boots, even where a machine of this kind has booted before, and keeps nothing"},
    {"cache",
     "",
     Kind::kText,
     "DIR",
     "folder of what is kept: unpacked kernels, machines that have booted",
     "/var/cache/proa",
     {},
     Offer::kFolder},
    {"no-vsock", "", Kind::kBool, "", "no socket device"},
    {"debug-exit", "", Kind::kBool, "", "a test program's write to port f4h ends the machine with that status"},
    {"track-dirty", "", Kind::kBool, "", "track written pages, for diff snapshots"},
    kEngine,
    kTrace,
    kDetach,
    kRemove,
};
constexpr Example kRunExamples[] = {
    {"{program} run --kernel vmlinuz --initrd initrd.img", "boot Linux with its console on this terminal"},
    {"{program} run -d --name db --kernel vmlinuz --disk db.img,root -m 1g -c 2", "... from a disk, in the background"},
    {"{program} run --config machine.json", "... as a Firecracker configuration says"},
    {"{program} run --api-sock /run/fc.sock", "... as requests to Firecracker's API say"},
    {"{program} run --kernel vmlinuz --disk debian.img,root -- uname -a", "run one command in it, and end with it"},
    {"{program} run -it --kernel vmlinuz --disk debian.img,root -- bash", "... a shell"},
};
constexpr Argument kRunArguments[] = {{"COMMAND", "what the guest runs, with its arguments", false, true}};
constexpr Command kRun{
    .name = "run",
    .summary = "Start a machine",
    .description =
        "Boots a kernel in a virtual machine and connects its serial console to this terminal; Ctrl-] stops it. Engine "
        "auto takes KVM where the processor runs machines by itself, and the translator elsewhere. The machine's API "
        "is "
        "Firecracker's, on api.sock in its folder; vsock.sock there leads to the guest's sockets. Exit status: 0 when "
        "the "
        "guest switched off or was stopped, 1 when the machine failed, and that of --debug-exit.\n\n"
        "With COMMAND, the guest's first process is Proa's init, which is put into the initial RAM disk with the "
        "kernel's modules for virtio. It mounts the disks, sets up the network, runs COMMAND with this command's "
        "standard streams (with --detach: on the console) and switches the machine off when it ends; its exit status "
        "becomes that of this command. `exec` and `cp` work in such guests. The second such machine of the same "
        "kernel, RAM "
        "disk and size does not boot but goes on from where the first one's init was ready, unless there is --cold.",
    .flags = kRunFlags,
    .arguments = kRunArguments,
    .examples = kRunExamples,
    .handler = vm_run,
    .verbatim_after = 1,
};

constexpr Flag kLsFlags[] = {
    {"all", "a", Kind::kBool, "", "those that ended too"}, {"quiet", "q", Kind::kBool, "", "names only"}, kOutput};
constexpr Example kLsExamples[] = {{"{program} ls", "running machines"}, {"{program} ls -a -o json", "all, as JSON"}};
constexpr Command kLs{
    .name = "ls",
    .summary = "List machines",
    .description = "Lists running machines, with --all those too that ended and were not removed.",
    .flags = kLsFlags,
    .examples = kLsExamples,
    .handler = vm_ls,
};

constexpr Example kInspectExamples[] = {{"{program} inspect db", "its configuration, engine, and how it ended"}};
constexpr Command kInspect{
    .name = "inspect",
    .summary = "Show a machine in detail, as JSON",
    .description = "Shows how machines were made, which engine runs them, their sockets, and how they ended.",
    .arguments = kMachines,
    .examples = kInspectExamples,
    .handler = vm_inspect,
};

constexpr Flag kExecFlags[] = {kTty, kInteractive, kEnv, kWorkdir, kUser};
constexpr Argument kExecArguments[] = {{"MACHINE", "name of the machine"},
                                       {"COMMAND", "what to run, with its arguments", true, true}};
constexpr Example kExecExamples[] = {{"{program} exec db ps", "run a program in the guest"},
                                     {"{program} exec -it db sh", "a shell in it"}};
constexpr Command kExec{
    .name = "exec",
    .summary = "Run a command in a machine's guest",
    .description =
        "Runs a command beside what the guest does, and ends with its exit status. Signals are passed on. The guest "
        "must have Proa's init: `run` with a command, or with --agent.",
    .flags = kExecFlags,
    .arguments = kExecArguments,
    .examples = kExecExamples,
    .handler = vm_exec,
    .verbatim_after = 1,
};

constexpr Argument kCpArguments[] = {{"SOURCE", "PATH or MACHINE:PATH", true, false, Offer::kFile},
                                     {"TARGET", "PATH or MACHINE:PATH", true, false, Offer::kFile}};
constexpr Example kCpExamples[] = {{"{program} cp db:/var/log/app.log .", "a file out of the guest"},
                                   {"{program} cp site/. db:/srv/www", "what is in a folder, into one of the guest"}};
constexpr Command kCp{
    .name = "cp",
    .summary = "Copy files between here and a machine's guest",
    .description =
        "Copies files, folders and symbolic links with their modes and times. A target that is a folder takes the "
        "source in under its name; a folder with /. at its end stands for what is in it. The guest must have Proa's "
        "init, as for `exec`.",
    .arguments = kCpArguments,
    .examples = kCpExamples,
    .handler = vm_cp,
};

constexpr Example kConsoleExamples[] = {{"{program} console db", "see the last output, and type"}};
constexpr Command kConsole{
    .name = "console",
    .summary = "Connect this terminal to a machine's console",
    .description =
        "Shows the serial console's last output and all that follows, and sends what is typed. Ctrl-] leaves.",
    .arguments = kMachine,
    .examples = kConsoleExamples,
    .handler = vm_console,
};

constexpr Flag kStopFlags[] = {
    {"time", "t", Kind::kUnsigned, "SECONDS", "for the guest to shut down by itself, then the machine is ended", "10"}};
constexpr Example kStopExamples[] = {{"{program} stop db", "press Ctrl-Alt-Del, wait, then end it"},
                                     {"{program} stop -t 0 db", "at once"}};
constexpr Command kStop{
    .name = "stop",
    .summary = "Stop machines",
    .description = "Presses Ctrl-Alt-Del in the guest and waits; what still runs then is ended like by a cut of power.",
    .flags = kStopFlags,
    .arguments = kMachines,
    .examples = kStopExamples,
    .handler = vm_stop,
};

constexpr Flag kRmFlags[] = {{"force", "f", Kind::kBool, "", "end running ones first"}};
constexpr Example kRmExamples[] = {{"{program} rm db", "remove what is left of a machine that ended"}};
constexpr Command kRm{
    .name = "rm",
    .summary = "Remove machines",
    .description = "Removes the folders of machines that ended. Disks and snapshots stay.",
    .flags = kRmFlags,
    .arguments = kMachines,
    .examples = kRmExamples,
    .handler = vm_rm,
};

constexpr Example kPauseExamples[] = {{"{program} pause db", "its processors stop"}};
constexpr Command kPause{
    .name = "pause",
    .summary = "Pause machines",
    .description = "Stops the virtual processors and waits for disk requests under way.",
    .arguments = kMachines,
    .examples = kPauseExamples,
    .handler = vm_pause,
};
constexpr Example kResumeExamples[] = {{"{program} resume db", "they go on"}};
constexpr Command kResume{
    .name = "resume",
    .summary = "Let paused machines go on",
    .description = "Starts the virtual processors of paused machines again.",
    .arguments = kMachines,
    .examples = kResumeExamples,
    .handler = vm_resume,
};

constexpr Argument kSnapshotArguments[] = {{"MACHINE", "name of the machine"},
                                           {"FOLDER", "where to, made when missing", true, false, Offer::kFolder}};
constexpr Flag kSnapshotFlags[] = {
    {"diff", "", Kind::kBool, "", "only memory written since the last snapshot, into the files of that one"},
};
constexpr Example kSnapshotExamples[] = {{"{program} snapshot db /srv/db-1", "save memory and state"}};
constexpr Command kSnapshot{
    .name = "snapshot",
    .summary = "Save a machine",
    .description =
        "Writes the files state and memory into FOLDER, while the machine is paused; it goes on afterwards if it did "
        "before. Disks are not copied. --diff needs a machine that was started with --track-dirty.",
    .flags = kSnapshotFlags,
    .arguments = kSnapshotArguments,
    .examples = kSnapshotExamples,
    .handler = vm_snapshot,
};

constexpr Argument kRestoreArguments[] = {{"FOLDER", "a snapshot's", true, false, Offer::kFolder}};
constexpr Flag kRestoreFlags[] = {
    kName,
    {"net", "", Kind::kTexts, "INTERFACE=TAP", "another TAP device for an interface"},
    {"paused", "", Kind::kBool, "", "do not resume it"},
    {"track-dirty", "", Kind::kBool, "", "track written pages, for diff snapshots"},
    kEngine,
    kTrace,
    kDetach,
    kRemove,
};
constexpr Example kRestoreExamples[] = {
    {"{program} restore -d --name db2 /srv/db-1", "a copy that goes on from there"}};
constexpr Command kRestore{
    .name = "restore",
    .summary = "Start a machine from a snapshot",
    .description =
        "Makes a machine that goes on where the snapshot was taken; any number of them from the same files. Memory is "
        "read "
        "as it is used. The guest is told that it is a copy (VM generation id), so that its random numbers differ.",
    .flags = kRestoreFlags,
    .arguments = kRestoreArguments,
    .examples = kRestoreExamples,
    .handler = vm_restore,
};

constexpr Flag kStatsFlags[] = {kOutput};
constexpr Example kStatsExamples[] = {{"{program} stats db", "exits, disk and network counters"}};
constexpr Command kStats{
    .name = "stats",
    .summary = "Show counters of a running machine",
    .description = "Shows why the guest left its own code, how often, and what its devices did, since its start.",
    .flags = kStatsFlags,
    .arguments = kMachine,
    .examples = kStatsExamples,
    .handler = vm_stats,
};

constexpr const Command* kCommands[] = {&kRun, &kLs,    &kInspect, &kConsole,  &kExec,    &kCp,   &kStop,
                                        &kRm,  &kPause, &kResume,  &kSnapshot, &kRestore, &kStats};
constexpr Example kRootExamples[] = {
    {"{program} run --kernel vmlinuz --initrd initrd.img", "boot Linux here"},
    {"{program} ls", "see which run"},
};

}  // namespace

constinit const Command kVmRoot{
    .name = "vm",
    .summary = "Run virtual machines",
    .description =
        "Machines with virtio devices and Firecracker's API, by KVM or, where the processor does not help, by binary "
        "translation.",
    .flags = kGroupFlags,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
