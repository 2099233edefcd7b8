// `proa up`.
#include "cli/common_flags.h"
#include "cli/tables.h"
#include "cli/up_command.h"

namespace proa::cli {
namespace {

constexpr Flag kUpFlags[] = {
    {"data-dir",
     "",
     Kind::kText,
     "FOLDER",
     "where the cluster is: its objects, keys and certificates",
     "/var/lib/proa/cluster",
     {},
     Offer::kFolder},
    {"datastore",
     "",
     Kind::kText,
     "STORE",
     "where objects are instead: another folder, or an etcd cluster's URLs, separated by commas",
     {},
     {},
     Offer::kFolder},
    {"datastore-cafile", "", Kind::kText, "FILE", "authority of etcd's certificates, PEM", {}, {}, Offer::kFile},
    {"datastore-certfile", "", Kind::kText, "FILE", "certificate to show to etcd, PEM", {}, {}, Offer::kFile},
    {"datastore-keyfile", "", Kind::kText, "FILE", "key of that certificate, PEM", {}, {}, Offer::kFile},
    {"bind-address", "", Kind::kText, "ADDRESS", "address of this machine to serve on; 0.0.0.0 is all", "0.0.0.0"},
    {"port", "p", Kind::kUnsigned, "PORT", "port to serve on; 0 is any free one", "6443"},
    {"listen", "", Kind::kTexts, "PLACE", "address:port to serve on, instead of both; may be repeated"},
    {"tls-san", "", Kind::kTexts, "NAME", "name or address that the certificate is for as well; may be repeated"},
    {"service-cidr", "", Kind::kText, "RANGE", "addresses for services", "10.43.0.0/16"},
    {"cluster-domain", "", Kind::kText, "DOMAIN", "DNS domain of the cluster", "cluster.local"},
    {"anonymous-auth", "", Kind::kBool, "", "let requests without credentials ask for what RBAC gives to all", "true"},
    {"token-auth-file",
     "",
     Kind::kText,
     "FILE",
     "static tokens, a line each: token,user,uid,\"group,group\"",
     {},
     {},
     Offer::kFile},
    {"service-account-issuer", "", Kind::kText, "URL",
     "who issues tokens of service accounts; otherwise https://kubernetes.default.svc.DOMAIN"},
    {"api-audiences", "", Kind::kTexts, "NAME", "whom tokens for this server are for; otherwise the issuer"},
    {"audit-policy-file",
     "",
     Kind::kText,
     "FILE",
     "what is written to the audit log (audit.k8s.io/v1 Policy)",
     {},
     {},
     Offer::kFile},
    {"audit-log-path", "", Kind::kText, "FILE", "the audit log; - is standard output", {}, {}, Offer::kFile},
    {"audit-log-maxsize", "", Kind::kUnsigned, "MIB", "size at which the audit log is turned over", "100"},
    {"audit-log-maxbackup", "", Kind::kUnsigned, "COUNT", "audit logs that are kept beside it; 0 is all", "0"},
    {"audit-log-maxage", "", Kind::kUnsigned, "DAYS", "days that they are kept; 0 is for ever", "0"},
    {"write-kubeconfig",
     "",
     Kind::kText,
     "FILE",
     "where to enter the cluster for kubectl; none: nowhere. Otherwise $KUBECONFIG or ~/.kube/config, of the user "
     "behind sudo",
     {},
     {},
     Offer::kFile},
    kOutput,
};
constexpr Example kUpExamples[] = {
    {"{program} up", "a cluster on this machine"},
    {"{program} up --data-dir /tmp/try --port 7443 --write-kubeconfig /tmp/try/config", "one to throw away"},
    {"{program} up --tls-san kube.example.com", "clients know this machine by that name"},
    {"{program} up --audit-policy-file policy.yaml --audit-log-path /var/log/proa-audit.log", "who did what is kept"},
    {"{program} up --datastore https://10.0.0.1:2379 --datastore-cafile ca.pem --datastore-certfile me.pem "
     "--datastore-keyfile me.key",
     "its objects are in etcd"},
};

}  // namespace

constinit const Command kUp{
    .name = "up",
    .summary = "Serve a Kubernetes cluster",
    .description =
        "Serves the Kubernetes API over HTTPS until it is stopped; kubectl, helm and every other client work with it. "
        "The first start makes the cluster, its authority and certificates in the data folder; each start renews what "
        "is near its end. Stopping or killing it loses nothing.",
    .flags = kUpFlags,
    .examples = kUpExamples,
    .handler = program_up,
};

}  // namespace proa::cli
