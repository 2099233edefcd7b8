// `proa image`: Docker's commands on images, and some of podman's.
#include "cli/common_flags.h"
#include "cli/image_commands.h"
#include "cli/program_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace images {

constexpr std::string_view kArchives[] = {"docker-archive", "oci-archive", "oci-dir"};
constexpr std::string_view kCompressions[] = {"none", "gzip", "zstd"};

constexpr Flag kGlobals[] = {
    root_flag("folder of images and all else that is kept; $PROA_ROOT when left out"),
};

constexpr Flag kImageFilter{
    "filter", "f", Kind::kTexts, "NAME=VALUE",
    "only images that match: before, dangling, label, reference, since, until; may be repeated"};
constexpr Flag kOutputFile{"output", "o", Kind::kText, "FILE", "write to FILE instead of stdout", "", {}, Offer::kFile};

constexpr Argument kImage[] = {{"IMAGE", "name, NAME@DIGEST, or the beginning of an id"}};
constexpr Argument kImages[] = {{"IMAGE", "name, NAME@DIGEST, or the beginning of an id", true, true}};

constexpr Flag kLsFlags[] = {
    hidden("all", "a", Kind::kBool),  // all images are always listed
    {"digests", "", Kind::kBool, "", "show digests too"},
    kImageFilter,
    kFormat,
    kNoTrunc,
    kOutput,
    kQuiet,
    {"tree", "", Kind::kBool, "", "each platform of each image by itself"},
};
constexpr Argument kLsArguments[] = {{"REPOSITORY[:TAG]", "only images of this name; * and ? stand for others", false}};
constexpr Example kLsExamples[] = {
    {"{command}", "all images, the newest first"},
    {"{command} --tree", "... with the platforms of each"},
    {"{command} -f dangling=true -q", "ids of those without a name"},
    {"{command} --format '{{.Repository}}:{{.Tag}} {{.Size}}'", "in a form of choice"},
};
constexpr Command kLs{
    .name = "ls",
    .aliases = kListAliases,
    .summary = "List images",
    .description = "Lists each name of each image. SIZE is that of the unpacked files.",
    .flags = kLsFlags,
    .arguments = kLsArguments,
    .examples = kLsExamples,
    .handler = image_ls,
};

constexpr Flag kInspectFlags[] = {
    format_of("json, or a Go template for each image"),
    kDocument,
    kPlatform,
};
constexpr Example kInspectExamples[] = {
    {"{program} inspect web", "everything about image web"},
    {"{program} inspect -f '{{.Config.Env}}' web", "its environment"},
};
constexpr Command kInspect{
    .name = "inspect",
    .summary = "Show everything about images",
    .description = "Prints an array with one object for each image, in the form of Docker's.",
    .flags = kInspectFlags,
    .arguments = kImages,
    .examples = kInspectExamples,
    .handler = image_inspect,
};

constexpr Argument kTagArguments[] = {
    {"IMAGE", "name or id of the image"},
    {"NAME", "the name to give it, [REGISTRY/]REPOSITORY[:TAG]"},
};
constexpr Example kTagExamples[] = {{"{program} tag web registry.example/web:2", "name it for a push"}};
constexpr Command kTag{
    .name = "tag",
    .summary = "Give an image another name",
    .description = "If the name belongs to another image that one loses it, and stays without a name.",
    .arguments = kTagArguments,
    .examples = kTagExamples,
    .handler = image_tag,
};

constexpr Flag kRmFlags[] = {
    {"force", "f", Kind::kBool, "", "remove an id with several names; a missing image is no error"},
    {"no-prune", "", Kind::kBool, "", "leave the content for a later 'prune'"},
    {"platform", "", Kind::kTexts, "OS/ARCH[/VARIANT]",
     "of an image for several platforms, remove this one alone; may be repeated"},
};
constexpr Example kRmExamples[] = {
    {"{command} web:1", "remove a name, and the image if it was the last"},
    {"{command} -f 4f53cda18c2b", "remove an image with all its names"},
};
constexpr Command kRm{
    .name = "rm",
    .aliases = kRemoveAliases,
    .summary = "Remove images",
    .description = "Removes names; an image whose last name goes is deleted, but for what other images share.",
    .flags = kRmFlags,
    .arguments = kImages,
    .examples = kRmExamples,
    .handler = image_rm,
};

constexpr Flag kPruneFlags[] = {
    {"all", "a", Kind::kBool, "", "remove named images too"},
    {"filter", "", Kind::kTexts, kImageFilter.value_name, kImageFilter.help},
    kForce,
};
constexpr Example kPruneExamples[] = {
    {"{program} prune --force", "remove images without a name, and what interrupted commands left"},
};
constexpr Command kPrune{
    .name = "prune",
    .summary = "Remove images that are not used",
    .description = "Removes images without a name that no container uses, and all content that no image needs.",
    .flags = kPruneFlags,
    .examples = kPruneExamples,
    .handler = image_prune,
};

constexpr Flag kSaveFlags[] = {
    {"format", "", Kind::kText, "FORMAT", "docker-archive, oci-archive or oci-dir", "docker-archive", kArchives},
    kOutputFile,
    kPlatform,
};
constexpr Example kSaveExamples[] = {
    {"{program} save -o web.tar web db", "two images into one archive"},
    {"{program} save web | gzip > web.tar.gz", "compressed"},
    {"{program} save --format oci-dir -o /srv/layout web", "into an OCI layout"},
};
constexpr Command kSave{
    .name = "save",
    .summary = "Write images to an archive",
    .description =
        "A docker-archive can be read by 'docker load' and by whatever reads OCI archives; layers are written as "
        "they are stored.",
    .flags = kSaveFlags,
    .arguments = kImages,
    .examples = kSaveExamples,
    .handler = image_save,
};

constexpr Flag kLoadFlags[] = {
    {"input", "i", Kind::kText, "FILE", "archive or OCI layout folder; stdin when left out", "", {}, Offer::kFile},
    kPlatform,
    {"quiet", "q", Kind::kBool, "", "do not show what was loaded"},
};
constexpr Example kLoadExamples[] = {
    {"{program} load -i web.tar", "read an archive"},
    {"docker save web | {program} load", "take an image over from Docker"},
};
constexpr Command kLoad{
    .name = "load",
    .summary = "Read images from an archive",
    .description = "Takes docker-archive and oci-archive, compressed with gzip or zstd or not, and OCI layout folders.",
    .flags = kLoadFlags,
    .examples = kLoadExamples,
    .handler = image_load,
};

constexpr Flag kExportFlags[] = {kOutputFile, kPlatform};
constexpr Example kExportExamples[] = {{"{program} export web | tar -t", "what is in an image"}};
constexpr Command kExport{
    .name = "export",
    .summary = "Write an image's files as one tar archive",
    .description = "Writes the root file system that a container of the image would see.",
    .flags = kExportFlags,
    .arguments = kImage,
    .examples = kExportExamples,
    .handler = image_export,
};

constexpr Flag kHistoryFlags[] = {
    kFormat, {"human", "H", Kind::kBool, "", "sizes and times for people", "true"}, kNoTrunc, kOutput, kPlatform,
    kQuiet,
};
constexpr Example kHistoryExamples[] = {{"{program} history web", "how image web was made"}};
constexpr Command kHistory{
    .name = "history",
    .summary = "Show how an image was made",
    .description = "Lists the steps that made the image, the last first, with the size each added.",
    .flags = kHistoryFlags,
    .arguments = kImage,
    .examples = kHistoryExamples,
    .handler = image_history,
};

constexpr Flag kTreeFlags[] = {kPlatform};
constexpr Example kTreeExamples[] = {{"{program} tree web", "the layers of image web, and whose top they are"}};
constexpr Command kTree{
    .name = "tree",
    .summary = "Show an image's layers",
    .description = "Shows the layers from the lowest to the topmost, with the images that end at each.",
    .flags = kTreeFlags,
    .arguments = kImage,
    .examples = kTreeExamples,
    .handler = image_tree,
};

constexpr Flag kDiffFlags[] = {kFormat, kOutput};
constexpr Argument kDiffArguments[] = {
    {"IMAGE", "name or id of the image"},
    {"OTHER", "the image to compare it with; when left out, what IMAGE's last layer changes", false},
};
constexpr Example kDiffExamples[] = {
    {"{program} diff web", "files that the last layer changes"},
    {"{program} diff web:1 web:2", "files that differ between two images"},
};
constexpr Command kDiff{
    .name = "diff",
    .summary = "Show which files differ between images",
    .description = "A line for each path: A added, C changed, D deleted.",
    .flags = kDiffFlags,
    .arguments = kDiffArguments,
    .examples = kDiffExamples,
    .handler = image_diff,
};

constexpr Flag kChange{"change", "c", Kind::kTexts, "INSTRUCTION",
                       "apply an instruction of a Dockerfile, such as 'CMD [\"sh\"]'; may be repeated"};
constexpr Flag kMessage{"message", "m", Kind::kText, "TEXT", "comment in the image's history"};
constexpr Flag kNewPlatform{"platform", "", Kind::kText, "OS/ARCH[/VARIANT]",
                            "what the image is for; this host when left out"};
constexpr Flag kCompression{
    "compression", "", Kind::kText, "METHOD", "how the layer is stored: none, gzip or zstd", "gzip", kCompressions};

constexpr Flag kImportFlags[] = {kChange, kCompression, kMessage, kNewPlatform};
constexpr Argument kImportArguments[] = {
    {"FILE", "tar archive or folder with the root file system; - is stdin", true, false, Offer::kFile},
    {"NAME", "name of the new image", false},
};
constexpr Example kImportExamples[] = {
    {"{program} import rootfs.tar base:1", "make an image of one layer"},
    {"docker export web | {program} import -c 'CMD [\"sh\"]' - web", "from a container's files"},
};
constexpr Command kImport{
    .name = "import",
    .summary = "Make an image from a root file system archive",
    .description = "The archive may be compressed with gzip or zstd. Prints the new image's id.",
    .flags = kImportFlags,
    .arguments = kImportArguments,
    .examples = kImportExamples,
    .handler = image_import,
};

constexpr Flag kCreateFlags[] = {
    {"author", "a", Kind::kText, "TEXT", "who made the image"},
    kChange,
    {"cmd", "", Kind::kText, "COMMAND", "default command: a JSON array, or a line for the shell"},
    kCompression,
    {"entrypoint", "", Kind::kText, "COMMAND", "program that is always run: a JSON array, or a line for the shell"},
    {"env", "e", Kind::kTexts, "NAME=VALUE", "environment variable; may be repeated"},
    {"expose", "p", Kind::kTexts, "PORT[/PROTOCOL]", "port the program listens on; may be repeated"},
    {"from", "f", Kind::kText, "IMAGE", "image to put the new layer upon; none when left out"},
    {"gid", "", Kind::kUnsigned, "GID", "group of all files taken from a folder"},
    {"health-cmd", "", Kind::kText, "COMMAND", "shell command that succeeds while the container is healthy"},
    {"health-interval", "", Kind::kDuration, "TIME", "time between checks"},
    {"health-retries", "", Kind::kUnsigned, "N", "failures in a row until it is unhealthy"},
    {"health-start-interval", "", Kind::kDuration, "TIME", "time between checks during the start period"},
    {"health-start-period", "", Kind::kDuration, "TIME", "time in which failures do not count"},
    {"health-timeout", "", Kind::kDuration, "TIME", "longest time of one check"},
    {"label", "l", Kind::kTexts, "NAME=VALUE", "label; may be repeated"},
    kMessage,
    {"no-healthcheck", "", Kind::kBool, "", "switch the base's health check off"},
    kNewPlatform,
    {"stop-signal", "", Kind::kText, "SIGNAL", "signal that asks the program to end", "", {}, Offer::kSignal},
    {"stop-timeout", "", Kind::kDuration, "TIME", "time until it is killed"},
    {"uid", "", Kind::kUnsigned, "UID", "owner of all files taken from a folder"},
    {"user", "u", Kind::kText, "USER[:GROUP]", "user the program runs as"},
    {"volume", "v", Kind::kTexts, "PATH", "path that gets a volume; may be repeated"},
    {"workdir", "w", Kind::kText, "PATH", "working directory"},
};
constexpr Argument kCreateArguments[] = {
    {"SOURCE", "folder or tar archive whose files become the image's layer; - is stdin", true, false, Offer::kFile},
    {"NAME", "name of the new image", false},
};
constexpr Example kCreateExamples[] = {
    {"{program} create --cmd '[\"/hello\"]' build/ hello", "an image from a folder"},
    {"{program} create --from base:1 -e MODE=fast -u 1000 app.tar app", "a layer upon another image"},
};
constexpr Command kCreate{
    .name = "create",
    .summary = "Make an image from a folder or a tar archive",
    .description =
        "Makes an image of one layer, or puts the layer upon another image, and sets its config. The same files and "
        "flags make the same image when SOURCE_DATE_EPOCH is set. Prints the new image's id.",
    .flags = kCreateFlags,
    .arguments = kCreateArguments,
    .examples = kCreateExamples,
    .handler = image_create,
};

constexpr Example kHelpExamples[] = {{"{program} help create", "explain 'create'"}};
constexpr Command kHelp = help_command(kHelpExamples);

// As Docker has them without the word 'image'.
constexpr Command renamed(Command command, std::string_view name) {
  command.name = name;
  command.aliases = {};
  return command;
}
constexpr Command kList = renamed(kLs, "images");
constexpr Command kRmi = renamed(kRm, "rmi");

constexpr const Command* kCommands[] = {&kLs,   &kPull,   &kPush,   &kInspect, &kTag,  &kRm,   &kPrune,  &kSave,
                                        &kLoad, &kImport, &kExport, &kHistory, &kTree, &kDiff, &kCreate, &kHelp};

constexpr Example kRootExamples[] = {
    {"{program} pull debian:12", "get an image from a registry"},
    {"{program} create --cmd '[\"/hello\"]' build/ hello", "make one"},
    {"{program} ls", "see what there is"},
    {"{program} save -o hello.tar hello", "write it to a file"},
};

}  // namespace images

using namespace images;

constinit const Command kImageRoot{
    .name = "image",
    .summary = "Images: pull, push, list, name, remove, save, load, make",
    .description =
        "Images are kept in /var/lib/proa/images, or for a user without root's rights in "
        "$XDG_DATA_HOME/proa/images. Any number of commands may work on them at once.",
    .flags = kGlobals,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
