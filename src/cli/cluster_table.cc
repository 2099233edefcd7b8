// The clusters' command line.
#include "cli/cluster_commands.h"
#include "cli/common_flags.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

constexpr Argument kFile[] = {{"FILE", "the backup", true, false, Offer::kFile}};

constexpr Flag kGroupFlags[] = {
    {"datastore",
     "",
     Kind::kText,
     "STORE",
     "the store's folder, or an etcd cluster's URLs, separated by commas",
     "/var/lib/proa/cluster",
     {},
     Offer::kFolder},
    {"datastore-cafile", "", Kind::kText, "FILE", "authority of etcd's certificates, PEM", {}, {}, Offer::kFile},
    {"datastore-certfile", "", Kind::kText, "FILE", "certificate to show to etcd, PEM", {}, {}, Offer::kFile},
    {"datastore-keyfile", "", Kind::kText, "FILE", "key of that certificate, PEM", {}, {}, Offer::kFile},
    {"datastore-prefix", "", Kind::kText, "PREFIX", "what the cluster's keys in etcd begin with", "/registry/"},
};

constexpr Flag kBackupFlags[] = {
    {"check", "", Kind::kBool, "", "do not make a backup: see whether FILE is whole, and what it holds"},
    kOutput,
};
constexpr Example kBackupExamples[] = {
    {"{program} backup /backup/monday.proa", "the cluster of this machine, running or not"},
    {"{program} backup --check /backup/monday.proa", "is that file good?"},
    {"{program} --datastore https://10.0.0.1:2379,https://10.0.0.2:2379 --datastore-cafile ca.pem "
     "--datastore-certfile me.pem --datastore-keyfile me.key backup monday.proa",
     "a cluster whose store is etcd"},
};
constexpr Command kBackup{
    .name = "backup",
    .summary = "Write the cluster's objects to a file",
    .description =
        "Writes the state of one moment, while the cluster works, into one file with a checksum. The file appears when "
        "it is whole. It holds the cluster's secrets: its mode is 0600.",
    .flags = kBackupFlags,
    .arguments = kFile,
    .examples = kBackupExamples,
    .handler = cluster_backup,
};

constexpr Flag kRestoreFlags[] = {kOutput};
constexpr Example kRestoreExamples[] = {
    {"{program} restore /backup/monday.proa", "into the standard folder, which must have no store"},
    {"{program} --datastore https://10.0.0.1:2379 restore monday.proa", "into an empty etcd: the cluster moves there"},
};
constexpr Command kRestore{
    .name = "restore",
    .summary = "Make a store from a backup",
    .description =
        "The file's checksum is verified before anything is written. The store must be empty; its kind need not be the "
        "backup's, so that a cluster moves between a folder and etcd. A restored folder leaves out some revisions: "
        "clients that have seen more than the backup holds notice, and list again.",
    .flags = kRestoreFlags,
    .arguments = kFile,
    .examples = kRestoreExamples,
    .handler = cluster_restore,
};

constexpr const Command* kCommands[] = {&kBackup, &kRestore};

constexpr Example kRootExamples[] = {
    {"{program} backup monday.proa", "keep the cluster's objects"},
    {"{program} restore monday.proa", "make a store from them"},
};

}  // namespace

constinit const Command kClusterRoot{
    .name = "cluster",
    .summary = "Back up and restore a cluster",
    .description = "A cluster's objects are in a store: a folder of this machine, or an etcd cluster.",
    .flags = kGroupFlags,
    .examples = kRootExamples,
    .commands = kCommands,
};

}  // namespace proa::cli
