// `proa system`.
#include "cli/common_flags.h"
#include "cli/container_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr Flag kDfFlags[] = {kFormat, kOutput, {"verbose", "v", Kind::kBool, "", "each object by itself"}};
constexpr Example kDfExamples[] = {{"{command}", "what images, containers and volumes take"},
                                   {"{command} -v", "... each by itself"}};
constexpr Command kDf{
    .name = "df",
    .summary = "Show what is used on the disk",
    .description = "Counts images, containers and volumes. What can be won is what nothing uses.",
    .flags = kDfFlags,
    .examples = kDfExamples,
    .handler = system_df,
};
constexpr Flag kPruneFlags[] = {
    {"all", "a", Kind::kBool, "", "all images that no container uses, not only those without a name"},
    kPruneFilter,
    kForce,
    {"volumes", "", Kind::kBool, "", "anonymous volumes that no container has, too"},
};
constexpr Example kPruneExamples[] = {{"{command} -f", "remove what is not used, without asking"},
                                      {"{command} -a --volumes", "... as much as there is"}};
constexpr Command kPrune{
    .name = "prune",
    .summary = "Remove what is not used",
    .description = "Removes stopped containers, networks without containers and images without a name.",
    .flags = kPruneFlags,
    .examples = kPruneExamples,
    .handler = system_prune,
};
constexpr Flag kBootFlags[] = {
    {"print-unit", "", Kind::kBool, "",
     "print a systemd unit that calls this at each boot, and 'shutdown' at each end"},
};
constexpr Example kBootExamples[] = {
    {"{command} --print-unit >/etc/systemd/system/proa.service", "have it called: then 'systemctl enable proa'"},
    {"{command}", "start what is to run, if it was not done since the boot"},
};
constexpr Command kBoot{
    .name = "boot",
    .summary = "Start containers after a boot",
    .description =
        "Starts containers whose restart policy is always, and those with unless-stopped that nobody stopped. The "
        "first "
        "call after a boot of the host, or after 'shutdown', does it; all others do nothing. Prints the names.",
    .flags = kBootFlags,
    .examples = kBootExamples,
    .handler = system_boot,
};
constexpr Flag kShutdownFlags[] = {
    {"timeout", "t", Kind::kUnsigned, "SECONDS", "longest time until SIGKILL; without it each container's own"},
};
constexpr Example kShutdownExamples[] = {
    {"{command}", "stop everything before the host goes down"},
    {"{command} --timeout 5", "... within five seconds"},
};
constexpr Command kShutdown{
    .name = "shutdown",
    .summary = "Stop containers before the host goes down",
    .description =
        "Stops all containers and sandboxes at once, each by its own stop signal and within its own stop timeout. "
        "Those whose restart policy is always or unless-stopped are started by the next 'boot', as nobody stopped "
        "them. The unit that 'boot --print-unit' prints calls it. Prints the names.",
    .flags = kShutdownFlags,
    .examples = kShutdownExamples,
    .handler = system_shutdown,
};
constexpr const Command* kCommands[] = {&kBoot, &kDf, &containers::kEvents, &containers::kInfo, &kPrune, &kShutdown};
constexpr Example kExamples[] = {{"{program} df", "what is used on the disk"}, {"{program} prune", "free it"}};

}  // namespace

namespace containers {
constexpr Flag kInfoFlags[] = {
    format_of("json, or a Go template"),
    kOutput,
};
constexpr Example kInfoExamples[] = {{"{command}", "numbers of containers and images, and what the host is"},
                                     {"{command} -f '{{.Driver}}'", "one of them"}};
constinit const Command kInfo{
    .name = "info",
    .summary = "Show what there is on this host",
    .description = "Shows numbers of containers and images, where they are kept, and what the kernel offers.",
    .flags = kInfoFlags,
    .examples = kInfoExamples,
    .handler = system_info,
};
}  // namespace containers

constinit const Command kSystemRoot{
    .name = "system",
    .summary = "The whole host: disk space, events, boot",
    .description = "Commands about everything at once.",
    .examples = kExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
