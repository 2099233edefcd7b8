// The networks' command line: Docker's.
#include "cli/common_flags.h"
#include "cli/network_commands.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr Flag kGroupFlags[] = {
    {"state", "", Kind::kText, "DIR", "folder of the networks' records", "/var/lib/proa/network", {}, Offer::kFolder},
    {"run",
     "",
     Kind::kText,
     "DIR",
     "folder of what holds until the next boot",
     "/run/proa/network",
     {},
     Offer::kFolder},
};

constexpr Argument kNetworks[] = {{"NETWORK", "name or id of the network", true, true}};

constexpr Flag kCreateFlags[] = {
    {"attachable", "", Kind::kBool, "", "kept and shown; containers can be attached to every network"},
    {"config-from", "", Kind::kText, "NETWORK", "with subnets, options and labels of this configuration network"},
    {"config-only", "", Kind::kBool, "", "a configuration for other networks, and no network itself"},
    hidden("ingress", "", Kind::kBool),
    hidden("ipam-driver", "", Kind::kText, "default"),
    {"ipam-opt", "", Kind::kTexts, "KEY=VALUE", "kept and shown; the one IPAM driver there is has no options"},
    hidden("scope", "", Kind::kText),
    {"driver", "d", Kind::kText, "DRIVER", "what the network is made of", "bridge"},
    {"subnet", "", Kind::kTexts, "CIDR", "addresses of the network, at most one subnet of IPv4 and one of IPv6"},
    {"gateway", "", Kind::kTexts, "IP", "the host's address in the subnet, by default its first"},
    {"ip-range", "", Kind::kTexts, "CIDR", "part of the subnet that containers get addresses from"},
    {"aux-address", "", Kind::kTexts, "NAME=IP", "an address never given to a container"},
    {"internal", "", Kind::kBool, "", "no way out of the network, and none in"},
    {"ipv4", "", Kind::kBool, "", "give containers IPv4 addresses", "true"},
    {"ipv6", "", Kind::kBool, "", "give containers IPv6 addresses too"},
    {"opt", "o", Kind::kTexts, "KEY=VALUE", "option of the driver"},
    {"label", "", Kind::kTexts, "KEY[=VALUE]", "label of the network"},
};
constexpr Argument kNewNetwork[] = {{"NETWORK", "name of the new network"}};
constexpr Example kCreateExamples[] = {
    {"{program} create web", "a network with a subnet that is free"},
    {"{program} create --subnet 10.20.0.0/24 --gateway 10.20.0.254 db", "... with this one"},
    {"{program} create --internal --ipv6 back", "... without a way out, and with IPv6 too"},
    {"{program} create --config-only --subnet 10.30.0.0/24 plan", "subnets and options for another network"},
    {"{program} create --config-from plan office", "... which is this one"},
    {"{program} create -o com.docker.network.bridge.enable_icc=false apart",
     "... whose containers do not see each other"},
};
constexpr Command kCreate{
    .name = "create",
    .summary = "Create a network",
    .description =
        "Options of driver bridge: com.docker.network.bridge.name, com.docker.network.bridge.enable_icc, "
        "com.docker.network.bridge.enable_ip_masquerade, com.docker.network.bridge.host_binding_ipv4 and "
        "com.docker.network.driver.mtu. The bridge is made when the first container comes. Prints the network's id.",
    .flags = kCreateFlags,
    .arguments = kNewNetwork,
    .examples = kCreateExamples,
    .handler = network_create,
};

constexpr Flag kLsFlags[] = {
    kFilter, kFormat, kNoTrunc, kOutput, kQuiet,
};
constexpr Example kLsExamples[] = {
    {"{program} ls", "all networks"},
    {"{program} ls --filter driver=bridge -q", "ids of those with a bridge"},
};
constexpr Command kLs{
    .name = "ls",
    .aliases = kListAliases,
    .summary = "List networks",
    .description =
        "Lists networks, those that are always there first. Filters: dangling, driver, id, label, name, scope, type, "
        "until.",
    .flags = kLsFlags,
    .examples = kLsExamples,
    .handler = network_ls,
};

constexpr Flag kInspectFlags[] = {
    format_of("json, or a Go template for each network"),
    kDocument,
    hidden("verbose", "v", Kind::kBool),
};
constexpr Example kInspectExamples[] = {{"{program} inspect bridge", "the default network, with its containers"}};
constexpr Command kInspect{
    .name = "inspect",
    .summary = "Show networks in detail, as JSON",
    .description = "Shows each network in Docker's form: its subnets, options and labels, and the containers on it.",
    .flags = kInspectFlags,
    .arguments = kNetworks,
    .examples = kInspectExamples,
    .handler = network_inspect,
};

constexpr Flag kRmFlags[] = {{"force", "f", Kind::kBool, "", "no error when there is no such network"}};
constexpr Example kRmExamples[] = {{"{program} rm web", "remove a network that nothing is connected to"}};
constexpr Command kRm{
    .name = "rm",
    .aliases = kRemoveAliases,
    .summary = "Remove networks",
    .description = "Removes networks, with their bridges. One that containers are connected to stays.",
    .flags = kRmFlags,
    .arguments = kNetworks,
    .examples = kRmExamples,
    .handler = network_rm,
};

constexpr Flag kPruneFlags[] = {
    kForce,
    {"filter", "", Kind::kTexts, "KEY=VALUE", "only networks with label= or label!="},
};
constexpr Example kPruneExamples[] = {{"{program} prune -f", "remove what is unused, without asking"}};
constexpr Command kPrune{
    .name = "prune",
    .summary = "Remove all networks that nothing is connected to",
    .description = "Removes every network but bridge, host and none that no container is connected to.",
    .flags = kPruneFlags,
    .examples = kPruneExamples,
    .handler = network_prune,
};

constexpr Flag kConnectFlags[] = {
    {"alias", "", Kind::kTexts, "NAME", "a further name of the container on the network"},
    {"driver-opt", "", Kind::kTexts, "KEY=VALUE",
     "com.docker.network.endpoint.ifname, or .sysctls: net.ipv4.conf.IFNAME.log_martians=1,..."},
    {"ip", "", Kind::kText, "IP", "the IPv4 address it gets"},
    {"ip6", "", Kind::kText, "IP", "the IPv6 address it gets"},
    {"link", "", Kind::kTexts, "CONTAINER[:ALIAS]", "a name for another container that this one alone sees"},
    {"link-local-ip", "", Kind::kTexts, "IP", "one more address of the interface, 169.254.x.x or fe80::x"},
    {"gw-priority", "", Kind::kInteger, "N", "of a container's networks the one with the highest has the default route",
     "0"},
};
constexpr Argument kConnectArguments[] = {
    {"NETWORK", "name or id of the network"},
    {"CONTAINER", "id of a running container", true, false, Offer::kContainer},
};
constexpr Example kConnectExamples[] = {
    {"{program} connect web box", "give container box an interface on network web"},
    {"{program} connect --ip 10.20.0.9 --alias db back box", "... with this address, and named db there"},
};
constexpr Command kConnect{
    .name = "connect",
    .summary = "Connect a running container to a network",
    .description = "Gives the container one more interface. It is there at once, and is found by its name and aliases.",
    .flags = kConnectFlags,
    .arguments = kConnectArguments,
    .examples = kConnectExamples,
    .handler = network_connect,
};

constexpr Flag kDisconnectFlags[] = {{"force", "f", Kind::kBool, "", "no error when it is not connected"}};
constexpr Example kDisconnectExamples[] = {{"{program} disconnect web box", "take the interface away"}};
constexpr Command kDisconnect{
    .name = "disconnect",
    .summary = "Disconnect a container from a network",
    .description =
        "Takes away the container's interface on the network. Its default route moves to another network if it was "
        "here.",
    .flags = kDisconnectFlags,
    .arguments = kConnectArguments,
    .examples = kDisconnectExamples,
    .handler = network_disconnect,
};

constexpr Example kRepairExamples[] = {{"{program} repair", "after 'nft flush ruleset', say"}};
constexpr Command kRepair{
    .name = "repair",
    .summary = "Make bridges, rules and names what the records say",
    .description =
        "Takes away what containers that are gone left, makes missing bridges, writes the firewall's table anew in "
        "one step and starts the resolver if it is missing. Changes nothing where all is well. Warns of other "
        "firewall rules that keep containers from the network.",
    .examples = kRepairExamples,
    .handler = network_repair,
};

constexpr const Command* kCommands[] = {&kCreate, &kLs, &kInspect, &kRm, &kPrune, &kConnect, &kDisconnect, &kRepair};

constexpr Example kRootExamples[] = {
    {"{program} create web", "make a network"},
    {"{program} ls", "see which there are"},
};

}  // namespace

constinit const Command kNetworkRoot{
    .name = "network",
    .summary = "Manage networks",
    .description =
        "Containers of one network reach each other, by name too; those of different networks only where a port is "
        "published. Network bridge is the default one; host and none give a container the host's network, and none.",
    .flags = kGroupFlags,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
