// pull, push, login, logout.
#include "cli/common_flags.h"
#include "cli/image_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace images {

// Their documents replace Docker's lines.
constexpr Flag kResult{"output", "o", Kind::kText, "FORMAT", "table (Docker's lines), json or yaml", "table", kOutputs};
constexpr Flag kNameOnly{"quiet", "q", Kind::kBool, "", "show the name only"};
constexpr Flag kAllPlatforms{"all-platforms", "", Kind::kBool, "", "of an image for several platforms, all"};
constexpr Flag kCreds{"creds", "", Kind::kText, "USER:PASSWORD", "credentials for this time, instead of those kept"};

constexpr Flag kPullFlags[] = {
    {"all-tags", "a", Kind::kBool, "", "pull all tags of the repository"},
    kAllPlatforms,
    kCreds,
    kContentTrust,
    kResult,
    kPlatform,
    kNameOnly,
    kTlsVerify,
};
constexpr Argument kPullArguments[] = {{"IMAGE", "[REGISTRY/]REPOSITORY[:TAG] or NAME@DIGEST"}};
constexpr Example kPullExamples[] = {
    {"{program} pull debian:12", "get an image from Docker's registry"},
    {"{program} pull "
     "registry.example:5000/team/app@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
     "exactly this one, from another"},
    {"{program} pull --platform linux/arm64 debian:12", "for another machine"},
};
constexpr Command kPull{
    .name = "pull",
    .summary = "Get an image from a registry",
    .description =
        "Layers come side by side and are unpacked while they come; each is checked against its digest. What an "
        "interrupted pull left is gone on with. Credentials are those of 'login'; mirrors and other settings of "
        "registries stand in /etc/proa/registries.yaml.",
    .flags = kPullFlags,
    .arguments = kPullArguments,
    .examples = kPullExamples,
    .handler = image_pull,
};

constexpr Flag kPushFlags[] = {
    {"all-tags", "a", Kind::kBool, "", "push all tags of the repository that are here"},
    kAllPlatforms,
    {"chunk-size", "", Kind::kBytes, "SIZE", "send layers in parts of this size, for registries that limit requests"},
    kCreds,
    kContentTrust,
    kResult,
    kPlatform,
    kNameOnly,
    kTlsVerify,
};
constexpr Argument kPushArguments[] = {{"IMAGE", "name of the image, [REGISTRY/]REPOSITORY[:TAG]"}};
constexpr Example kPushExamples[] = {
    {"{program} tag web registry.example:5000/team/web:2", "name the image for its registry"},
    {"{program} push registry.example:5000/team/web:2", "and send it there"},
};
constexpr Command kPush{
    .name = "push",
    .summary = "Send an image to a registry",
    .description =
        "Only what the registry lacks is sent; layers that it has in another repository are mounted from there. Of an "
        "image for several platforms all are sent if they are here, otherwise the one for this host.",
    .flags = kPushFlags,
    .arguments = kPushArguments,
    .examples = kPushExamples,
    .handler = image_push,
};

constexpr Flag kLoginFlags[] = {
    {"password", "p", Kind::kText, "PASSWORD", "the password, for all to see; better is --password-stdin"},
    {"password-stdin", "", Kind::kBool, "", "read the password from stdin"},
    kTlsVerify,
    {"username", "u", Kind::kText, "USER", "who to log in as"},
};
constexpr Argument kRegistry[] = {{"REGISTRY", "HOST[:PORT]; Docker's own when left out", false}};
constexpr Example kLoginExamples[] = {
    {"{program} login registry.example:5000", "be asked for user and password"},
    {"pass show registry | {program} login -u me --password-stdin registry.example:5000", "in a script"},
};

}  // namespace images

using namespace images;

constinit const Command kLogin{
    .name = "login",
    .summary = "Log in to a registry",
    .description =
        "Checks user name and password with the registry and keeps them where Docker does: in "
        "$DOCKER_CONFIG/config.json or ~/.docker/config.json, or with the credential helper named there; in "
        "$REGISTRY_AUTH_FILE if that is set.",
    .flags = kLoginFlags,
    .arguments = kRegistry,
    .examples = kLoginExamples,
    .handler = program_login,
};

constexpr Example kLogoutExamples[] = {{"{program} logout registry.example:5000", "forget the password"}};
constinit const Command kLogout{
    .name = "logout",
    .summary = "Log out of a registry",
    .description = "Removes what 'login' kept.",
    .arguments = kRegistry,
    .examples = kLogoutExamples,
    .handler = program_logout,
};

}  // namespace proa::cli
