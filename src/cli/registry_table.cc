// `proa registry`: a registry of images, served and looked after.
#include "cli/common_flags.h"
#include "cli/program_commands.h"
#include "cli/registry_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr std::string_view kLogFormats[] = {"text", "json"};

constexpr Flag kGlobals[] = {
    root_flag("folder of the registry; /var/lib/proa/registry, or registry below $PROA_ROOT, when left out"),
};

constexpr Flag kGrace{
    "gc-grace", "", Kind::kDuration, "TIME",
    "keep blobs that no manifest names for so long after they were pushed or asked for; 1h when left out"};
constexpr Flag kUntagged{"untagged", "", Kind::kBool, "",
                         "collect manifests too that no tag, index or subject leads to"};
constexpr Flag kExpiry{"upload-expiry", "", Kind::kDuration, "TIME",
                       "forget uploads that nobody went on with for so long; 24h when left out"};

constexpr Flag kServeFlags[] = {
    {"access-log", "", Kind::kBool, "", "a line in the log for each request", "true"},
    {"anonymous-pull", "", Kind::kBool, "", "everybody may pull, users may do everything"},
    {"config", "c", Kind::kText, "FILE", "configuration, YAML or JSON; flags go before it", "", {}, Offer::kFile},
    {"debug", "", Kind::kBool, "", "say more in the log"},
    {"delete", "", Kind::kBool, "", "let clients delete tags, manifests and blobs", "true"},
    {"drain", "", Kind::kDuration, "TIME", "when told to stop, let requests go on for so long; 30s when left out"},
    {"gc-interval", "", Kind::kDuration, "TIME", "collect garbage so often; never when left out"},
    kGrace,
    {"htpasswd",
     "",
     Kind::kText,
     "FILE",
     "users and their passwords, as 'registry passwd' prints them",
     "",
     {},
     Offer::kFile},
    {"listen", "l", Kind::kTexts, "ADDRESS",
     "HOST:PORT, *:PORT or unix:///PATH; may be repeated; 127.0.0.1:5000 when left out"},
    {"log", "", Kind::kText, "FILE", "log to FILE instead of stderr", "", {}, Offer::kFile},
    {"log-format", "", Kind::kText, "FORMAT", "text or json", "text", kLogFormats},
    {"max-blob-size", "", Kind::kBytes, "SIZE", "refuse larger blobs"},
    {"max-requests", "", Kind::kUnsigned, "N", "answer further requests with 429; 1024 when left out"},
    {"metrics-listen", "", Kind::kText, "ADDRESS", "serve /metrics here instead of beside the registry"},
    {"mirror-of", "", Kind::kTexts, "[PREFIX=]URL",
     "fetch what is not here from this registry, and keep it; may be repeated"},
    {"mirror-size", "", Kind::kBytes, "SIZE",
     "of each --mirror-of keep no more than this: what was not asked for the longest goes"},
    {"policy", "", Kind::kText, "FILE", "who may do what, YAML or JSON", "", {}, Offer::kFile},
    {"read-only", "", Kind::kBool, "", "pulls alone"},
    {"tls-cert",
     "",
     Kind::kText,
     "FILE",
     "PEM file of the certificate and those above it; read anew when it changes",
     "",
     {},
     Offer::kFile},
    {"tls-client-ca", "", Kind::kText, "FILE", "PEM file of who may issue client certificates", "", {}, Offer::kFile},
    {"tls-key", "", Kind::kText, "FILE", "PEM file of the certificate's key", "", {}, Offer::kFile},
    {"token", "", Kind::kBool, "", "issue tokens at /token to the users of --htpasswd, as Docker's registries do"},
    kUntagged,
    kExpiry,
};
constexpr Example kServeExamples[] = {
    {"{program} serve", "at 127.0.0.1:5000, for everybody on this machine"},
    {"{program} serve -l '*:443' --tls-cert reg.pem --tls-key reg.key --htpasswd users", "for users, with TLS"},
    {"{program} serve --gc-interval 24h --untagged", "... collecting what is no longer tagged"},
    {"{program} serve --mirror-of https://registry.example --mirror-size 50g", "a cache of another registry"},
    {"{program} serve --config registry.yaml", "as a file says"},
};
constexpr Command kServe{
    .name = "serve",
    .summary = "Serve a registry",
    .description =
        "Serves images by the OCI distribution specification, until SIGTERM or SIGINT. What was acknowledged is on the "
        "disk. Several servers, and the other commands here, may work on one folder at once. docs/registry.md "
        "describes "
        "the configuration file.",
    .flags = kServeFlags,
    .examples = kServeExamples,
    .handler = registry_serve,
};

constexpr Flag kGcFlags[] = {
    {"dry-run", "n", Kind::kBool, "", "only say what would go"}, kGrace, kOutput, kUntagged, kExpiry,
};
constexpr Example kGcExamples[] = {
    {"{program} gc", "remove what is not needed, also while it is served"},
    {"{program} gc --untagged --dry-run", "see what would go"},
};
constexpr Command kGc{
    .name = "gc",
    .summary = "Collect garbage",
    .description =
        "Removes blobs that no manifest names, uploads that nobody went on with, and empty repositories. Pushes and "
        "pulls go on meanwhile.",
    .flags = kGcFlags,
    .examples = kGcExamples,
    .handler = registry_gc,
};

constexpr Flag kListFlags[] = {kOutput};
constexpr Example kLsExamples[] = {{"{program} ls", "all repositories"}};
constexpr Command kLs{
    .name = "ls",
    .summary = "List repositories",
    .description = "Lists the repositories that hold a manifest.",
    .flags = kListFlags,
    .examples = kLsExamples,
    .handler = registry_ls,
};

constexpr Argument kRepository[] = {{"REPOSITORY", "name of the repository, without the registry's address"}};
constexpr Example kTagsExamples[] = {{"{program} tags team/web", "what is in repository team/web"}};
constexpr Command kTags{
    .name = "tags",
    .summary = "List the tags of a repository",
    .description = "Lists each tag with the digest and type of the manifest it points to.",
    .flags = kListFlags,
    .arguments = kRepository,
    .examples = kTagsExamples,
    .handler = registry_tags,
};

constexpr Flag kRmFlags[] = {{"all", "a", Kind::kBool, "", "all manifests and tags of a repository"}};
constexpr Argument kRmArguments[] = {
    {"REFERENCE", "REPOSITORY:TAG, REPOSITORY@DIGEST, or with --all REPOSITORY", true, true}};
constexpr Example kRmExamples[] = {
    {"{program} rm team/web:1", "a tag; its manifest stays"},
    {"{program} rm --all team/old", "all of a repository"},
};
constexpr Command kRm{
    .name = "rm",
    .summary = "Remove tags and manifests",
    .description = "The space comes free with the next 'gc'. A manifest goes with all its tags.",
    .flags = kRmFlags,
    .arguments = kRmArguments,
    .examples = kRmExamples,
    .handler = registry_rm,
};

constexpr Argument kUser[] = {{"USER", "name of the user"}};
constexpr Example kPasswdExamples[] = {{"{program} passwd ann >> users", "add a user to the file for --htpasswd"}};
constexpr Command kPasswd{
    .name = "passwd",
    .summary = "Hash a password",
    .description =
        "Reads a password from stdin, unseen at a terminal, and prints a line for an htpasswd file, by bcrypt.",
    .arguments = kUser,
    .examples = kPasswdExamples,
    .handler = registry_passwd,
};

constexpr Example kHelpExamples[] = {{"{program} help serve", "explain 'serve'"}};
constexpr Command kHelp = help_command(kHelpExamples);

constexpr const Command* kCommands[] = {&kServe, &kLs, &kTags, &kRm, &kGc, &kPasswd, &kHelp};

constexpr Example kRootExamples[] = {
    {"{program} serve", "serve a registry"},
    {"{program} ls", "see what is in it"},
    {"{program} gc", "free what is not needed any more"},
};

}  // namespace

constinit const Command kRegistryRoot{
    .name = "registry",
    .summary = "A registry of images: serve, list, remove, collect",
    .description = "Serves images to Docker, podman and all other clients of the OCI distribution specification.",
    .flags = kGlobals,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
