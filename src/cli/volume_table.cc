// `proa volume`.
#include "cli/common_flags.h"
#include "cli/container_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr Flag kVolumeCreateFlags[] = {
    hidden("availability", "", Kind::kText),
    {"driver", "d", Kind::kText, "DRIVER", "only local", "local"},
    hidden("group", "", Kind::kText),
    {"label", "", Kind::kTexts, "NAME=VALUE", "label of the volume"},
    hidden("limit-bytes", "", Kind::kBytes),
    {"opt", "o", Kind::kTexts, "NAME=VALUE", "type, device and o: what is mounted there, as for mount(8)"},
    hidden("required-bytes", "", Kind::kBytes),
    hidden("scope", "", Kind::kText),
    hidden("secret", "", Kind::kTexts),
    hidden("sharing", "", Kind::kText),
    hidden("topology-preferred", "", Kind::kTexts),
    hidden("topology-required", "", Kind::kTexts),
    hidden("type", "", Kind::kText),
};
constexpr Argument kNewVolume[] = {{"VOLUME", "its name; one is made up without", false}};
constexpr Example kVolumeCreateExamples[] = {
    {"{command} data", "make a volume"},
    {"{command} -o type=tmpfs -o device=tmpfs -o o=size=100m scratch", "one in memory"}};
constexpr Command kVolumeCreate{
    .name = "create",
    .summary = "Make a volume",
    .description = "Prints its name. One that is there already is left as it is.",
    .flags = kVolumeCreateFlags,
    .arguments = kNewVolume,
    .examples = kVolumeCreateExamples,
    .handler = volume_create,
};
constexpr Flag kVolumeLsFlags[] = {
    hidden("cluster", "", Kind::kBool), kFilter, kFormat, kOutput, {"quiet", "q", Kind::kBool, "", "show names only"}};
constexpr Example kVolumeLsExamples[] = {{"{command} -f dangling=true", "those that no container uses"}};
constexpr Command kVolumeLs{
    .name = "ls",
    .aliases = kListAliases,
    .summary = "List volumes",
    .description = "Filters: dangling, driver, label, name.",
    .flags = kVolumeLsFlags,
    .examples = kVolumeLsExamples,
    .handler = volume_ls,
};
constexpr Argument kVolumes[] = {{"VOLUME", "its name", true, true}};
constexpr Flag kVolumeInspectFlags[] = {
    format_of("json, or a Go template for each volume"),
    kDocument,
};
constexpr Example kVolumeInspectExamples[] = {{"{command} -f '{{.Mountpoint}}' data", "where its files are"}};
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
constexpr Example kVolumeRmExamples[] = {{"{command} data", "remove a volume with its files"}};
constexpr Command kVolumeRm{
    .name = "rm",
    .aliases = kRemoveAliases,
    .summary = "Remove volumes",
    .description = "Removes volumes that no container has.",
    .flags = kVolumeRmFlags,
    .arguments = kVolumes,
    .examples = kVolumeRmExamples,
    .handler = volume_rm,
};
constexpr Flag kVolumePruneFlags[] = {{"all", "a", Kind::kBool, "", "those with a name too"}, kPruneFilter, kForce};
constexpr Example kVolumePruneExamples[] = {{"{command} -f", "remove unused anonymous volumes without asking"}};
constexpr Command kVolumePrune{
    .name = "prune",
    .summary = "Remove volumes that no container has",
    .description = "Asks first, and tells how much space was won.",
    .flags = kVolumePruneFlags,
    .examples = kVolumePruneExamples,
    .handler = volume_prune,
};
constexpr const Command* kVolumeCommands[] = {&kVolumeCreate, &kVolumeInspect, &kVolumeLs, &kVolumePrune, &kVolumeRm};

constexpr Example kVolumeExamples[] = {{"{program} create data", "make a volume"}, {"{program} ls", "list them"}};

}  // namespace

constinit const Command kVolumeRoot{
    .name = "volume",
    .summary = "Volumes: files that outlive containers",
    .description = "Volumes are folders with a name that containers mount.",
    .examples = kVolumeExamples,
    .commands = kVolumeCommands,
};

}  // namespace proa::cli
