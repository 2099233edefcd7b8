// proa's own commands.
#include "cli/common_flags.h"
#include "cli/program_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr Flag kVersionFlags[] = {format_of("json, or a Go template"), hidden("kubeconfig", "", Kind::kText), kOutput};
constexpr Example kVersionExamples[] = {
    {"{program} version", "version, commit and build"},
    {"{program} version -o json", "... as JSON"},
    {"{program} version --format '{{.Server.Version}}'", "one of them, as Docker calls it"},
};
constexpr Command kVersion{
    .name = "version",
    .summary = "Show the version",
    .description = "Shows the program's version, the commit it was built from and the specifications it implements.",
    .flags = kVersionFlags,
    .examples = kVersionExamples,
    .handler = program_version,
};

constexpr Flag kDoctorFlags[] = {kOutput};
constexpr Example kDoctorExamples[] = {
    {"{program} doctor", "what works on this host, and how to mend what does not"},
    {"{program} doctor -o json", "... as JSON"},
};
constexpr Command kDoctor{
    .name = "doctor",
    .summary = "Check what this host's kernel can do",
    .description =
        "Tries each kernel facility that containers and machines use, in processes and namespaces of its own "
        "that leave nothing behind, and says how to mend each gap. Exit status 0 when containers can run, "
        "1 when something they cannot do without is missing.",
    .flags = kDoctorFlags,
    .examples = kDoctorExamples,
    .handler = program_doctor,
};

constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};
constexpr Argument kCompletionArguments[] = {{"SHELL", "bash, zsh or fish", true, false, Offer::kShell, kShells}};
constexpr Example kCompletionExamples[] = {
    {"source <({program} completion bash)", "complete in this bash"},
    {"{program} completion bash > /etc/bash_completion.d/proa", "... in every bash"},
    {"{program} completion zsh > \"${fpath[1]}/_proa\"", "in zsh"},
    {"{program} completion fish > ~/.config/fish/completions/proa.fish", "in fish"},
};
constexpr Command kCompletion{
    .name = "completion",
    .summary = "Print a shell's completion script",
    .description = "Prints a script that completes commands, flags, values and container ids of proa and proa-runtime.",
    .arguments = kCompletionArguments,
    .examples = kCompletionExamples,
    .handler = program_completion,
};

constexpr Flag kHelpFlags[] = {
    {"markdown", "", Kind::kBool, "", "the whole command reference as Markdown"},
};
constexpr Example kHelpExamples[] = {
    {"{program} help runtime create", "explain a command"},
    {"{program} help --markdown", "the reference of all commands"},
};
constexpr Command kHelp = help_command(kHelpExamples, kHelpFlags);

constexpr const Command* kCommands[] = {&containers::kRun,
                                        &containers::kCreate,
                                        &containers::kStart,
                                        &containers::kAttach,
                                        &containers::kExec,
                                        &containers::kPs,
                                        &containers::kLogs,
                                        &containers::kStop,
                                        &containers::kRestart,
                                        &containers::kKill,
                                        &containers::kPause,
                                        &containers::kUnpause,
                                        &containers::kRm,
                                        &containers::kWait,
                                        &containers::kTop,
                                        &containers::kStats,
                                        &containers::kInspect,
                                        &containers::kCp,
                                        &containers::kDiff,
                                        &containers::kCommit,
                                        &containers::kRename,
                                        &containers::kUpdate,
                                        &containers::kPort,
                                        &containers::kEvents,
                                        &containers::kInfo,
                                        &containers::kExport,
                                        &images::kPull,
                                        &images::kPush,
                                        &kLogin,
                                        &kLogout,
                                        &images::kList,
                                        &images::kRmi,
                                        &images::kTag,
                                        &images::kSave,
                                        &images::kLoad,
                                        &images::kImport,
                                        &images::kHistory,
                                        &kContainerRoot,
                                        &kImageRoot,
                                        &kNetworkRoot,
                                        &kRegistryRoot,
                                        &kSandboxRoot,
                                        &kSystemRoot,
                                        &kVolumeRoot,
                                        &kUp,
                                        &kClusterRoot,
                                        &kVmRoot,
                                        &kRuntimeRoot,
                                        &kDoctor,
                                        &kVersion,
                                        &kCompletion,
                                        &kHelp};

constexpr Flag kGlobals[] = {
    root_flag("folder of images, containers and all else that is kept; $PROA_ROOT when left out"),
    {"version", "v", Kind::kBool, "", "show the version"},
    hidden("config", "", Kind::kText),
    hidden("context", "c", Kind::kText),
    hidden("debug", "D", Kind::kBool),
    hidden("host", "H", Kind::kTexts),
    hidden("log-level", "l", Kind::kText),
    hidden("tls", "", Kind::kBool),
    hidden("tlscacert", "", Kind::kText),
    hidden("tlscert", "", Kind::kText),
    hidden("tlskey", "", Kind::kText),
    hidden("tlsverify", "", Kind::kBool),
};

constexpr Example kRootExamples[] = {
    {"{program} doctor", "see what this host can do"},
    {"{program} run --rm debian:12 cat /etc/os-release", "pull an image and run a program in it"},
    {"{program} runtime run --bundle /srv/web web", "run a container from a bundle"},
    {"{program} help runtime run", "explain a command"},
};

}  // namespace

constinit const Command kProaRoot{
    .name = "proa",
    .summary = "A whole cloud in one program",
    .description =
        "Exit status: 0 when done, 1 on failure, 2 when the command line is wrong. Commands that run a "
        "container's program exit with its status.",
    .flags = kGlobals,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
