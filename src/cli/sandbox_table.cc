// `proa sandbox`.
#include "cli/common_flags.h"
#include "cli/container_commands.h"
#include "cli/create_flags.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr std::string_view kFromCreate[] = {
    "add-host",      "annotation",  "cgroup-parent", "dns",   "dns-option",    "dns-opt",   "dns-search",
    "domainname",    "expose",      "hostname",      "ip",    "ip6",           "label",     "link",
    "link-local-ip", "mac-address", "network",       "net",   "network-alias", "net-alias", "publish",
    "publish-all",   "restart",     "shm-size",      "sysctl"};
constexpr Flag kOwnFlags[] = {
    {"share", "", Kind::kText, "LIST", "namespaces its containers share, of net, ipc, uts and pid", "ipc,net,uts"},
    {"ipc", "", Kind::kText, "MODE", "IPC namespace: private or host"},
    {"pid", "", Kind::kText, "MODE", "PID namespace: private or host"},
    {"uts", "", Kind::kText, "MODE", "UTS namespace: host"},
    {"no-start", "", Kind::kBool, "", "make it without starting it"},
};
constexpr auto kTaken = containers::of_create(kFromCreate);
constexpr auto kCreateFlags = containers::joined(kOwnFlags, kTaken);
constexpr Argument kNew[] = {{"NAME", "its name; one is made up without", false}};
constexpr Example kCreateExamples[] = {
    {"{command} -p 8080:80 web", "make a sandbox and start it; its containers share the port"},
    {"{command} --share net,ipc,uts,pid jobs", "... whose containers see each other's processes"},
};
constexpr Command kCreate{
    .name = "create",
    .summary = "Make a sandbox and start it",
    .description =
        "A sandbox has the networks, the ports, the host name and the shared memory of the containers that join it "
        "with "
        "'run --sandbox NAME'. Prints its id.",
    .flags = kCreateFlags,
    .arguments = kNew,
    .examples = kCreateExamples,
    .handler = sandbox_create,
};

constexpr Argument kSandboxes[] = {{"SANDBOX", "name, id, or the beginning of an id", true, true}};
constexpr Flag kLsFlags[] = {kFormat, kNoTrunc, kOutput, kQuiet};
constexpr Example kLsExamples[] = {{"{command}", "all sandboxes, the newest first"}};
constexpr Command kLs{
    .name = "ls",
    .summary = "List sandboxes",
    .description = "Shows each with the number of its containers.",
    .flags = kLsFlags,
    .examples = kLsExamples,
    .handler = sandbox_ls,
};
constexpr Flag kInspectFlags[] = {
    format_of("json, or a Go template for each sandbox"),
    kDocument,
};
constexpr Example kInspectExamples[] = {{"{command} -f '{{.State}}' web", "whether web is running"}};
constexpr Command kInspect{
    .name = "inspect",
    .summary = "Show everything about sandboxes",
    .description = "Prints an array with one object for each.",
    .flags = kInspectFlags,
    .arguments = kSandboxes,
    .examples = kInspectExamples,
    .handler = sandbox_inspect,
};
constexpr Example kStartExamples[] = {{"{command} web", "hold web's namespaces again"}};
constexpr Command kStart{
    .name = "start",
    .summary = "Start sandboxes",
    .description = "Starts what holds the namespaces; containers are started with 'start'.",
    .arguments = kSandboxes,
    .examples = kStartExamples,
    .handler = sandbox_start,
};
constexpr Flag kStopFlags[] = {
    {"time", "t", Kind::kInteger, "SECONDS", "seconds until a container is killed; -1: never"}};
constexpr Example kStopExamples[] = {{"{command} web", "stop web's containers, then web"}};
constexpr Command kStop{
    .name = "stop",
    .summary = "Stop sandboxes and their containers",
    .description = "Stops the containers first.",
    .flags = kStopFlags,
    .arguments = kSandboxes,
    .examples = kStopExamples,
    .handler = sandbox_stop,
};
constexpr Flag kRmFlags[] = {{"force", "f", Kind::kBool, "", "stop it, and remove its containers with it"}};
constexpr Example kRmExamples[] = {{"{command} -f web", "remove web with all its containers"}};
constexpr Command kRm{
    .name = "rm",
    .summary = "Remove sandboxes",
    .description = "Removes stopped sandboxes that have no containers.",
    .flags = kRmFlags,
    .arguments = kSandboxes,
    .examples = kRmExamples,
    .handler = sandbox_rm,
};
constexpr const Command* kCommands[] = {&kCreate, &kInspect, &kLs, &kRm, &kStart, &kStop};
constexpr Example kExamples[] = {{"{program} create -p 8080:80 web", "make a sandbox"}, {"{program} ls", "list them"}};

}  // namespace

constinit const Command kSandboxRoot{
    .name = "sandbox",
    .summary = "Sandboxes: containers that share namespaces",
    .description = "Containers of a sandbox share its networks, host name and shared memory, as in a pod.",
    .examples = kExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
