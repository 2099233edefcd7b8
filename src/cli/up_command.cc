#include "cli/up_command.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>

#include "base/log.h"
#include "base/text.h"
#include "cli/print.h"
#include "kernel/memory.h"
#include "kube/apiserver/serve/version.h"
#include "kube/apiserver/server.h"

namespace proa::cli {
namespace {

namespace api = kube::api;

constexpr time_t kTickSeconds = 10;

std::vector<std::string> listen_places(const Invocation& in) {
  std::vector<std::string> out = in.texts("listen");
  if (!out.empty()) return out;
  std::string host = in.text("bind-address");
  if (host == "0.0.0.0" || host == "::") host = "*";
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = cat("[", host, "]");
  return {cat(host, ":", in.whole("port").value_or(6443))};
}

Result<api::AuditOptions> audit_of(const Invocation& in) {
  api::AuditOptions out;
  out.policy_file = in.text("audit-policy-file");
  out.log.path = in.text("audit-log-path");
  out.log.most_bytes = uint64_t{in.whole("audit-log-maxsize").value_or(100)} << 20;
  out.log.most_backups = static_cast<unsigned>(in.whole("audit-log-maxbackup").value_or(0));
  out.log.most_days = static_cast<unsigned>(in.whole("audit-log-maxage").value_or(0));
  if (out.policy_file.empty() && !out.log.path.empty())
    return fail("--audit-log-path: needs --audit-policy-file, which says what to write")
        .hint("a policy that writes who did what: docs/audit.md");
  if (!out.policy_file.empty() && out.log.path.empty()) return fail("--audit-policy-file: needs --audit-log-path");
  return out;
}

Result<api::ServerSettings> settings_of(const Invocation& in) {
  api::ServerSettings out;
  out.data_dir = in.text("data-dir");
  const std::string datastore = in.text("datastore");
  if (datastore.starts_with("https://") || datastore.starts_with("http://")) {
    for (const std::string_view endpoint : split(datastore, ',')) out.datastore.endpoints.emplace_back(endpoint);
  } else {
    out.datastore.folder = datastore.empty() ? out.data_dir : datastore;
  }
  out.datastore.ca_file = in.text("datastore-cafile");
  out.datastore.certificate_file = in.text("datastore-certfile");
  out.datastore.key_file = in.text("datastore-keyfile");
  out.listen = listen_places(in);
  out.service_cidr = in.text("service-cidr");
  out.cluster_domain = in.text("cluster-domain");
  out.names = in.texts("tls-san");
  out.anonymous = in.on("anonymous-auth");
  out.token_file = in.text("token-auth-file");
  out.issuer = in.text("service-account-issuer");
  out.audiences = in.texts("api-audiences");
  out.audit = TRY(audit_of(in));
  return out;
}

// Where the way in was written to; empty if nowhere.
Result<std::string> tell_kubeconfig(const Invocation& in, const api::KubeconfigEntry& entry) {
  const std::string wanted = in.text("write-kubeconfig");
  if (wanted == "none") return std::string();
  api::KubeconfigOwner owner = api::kubeconfig_owner();
  if (!wanted.empty()) owner = {.path = wanted, .uid = ::geteuid(), .gid = ::getegid()};
  if (owner.path.empty()) return std::string();
  TRY_CTX(api::write_kubeconfig(owner, entry), "write kubeconfig");
  return owner.path;
}

Result<> announce(const Invocation& in, const api::Server& server, const std::string& kubeconfig,
                  std::chrono::milliseconds took) {
  const std::string folder = in.text("data-dir");
  if (in.text("output") != "table") {
    boost::json::array places;
    for (const std::string& place : server.places()) places.emplace_back(place);
    const boost::json::object document = {{"Version", api::kKubernetesVersion},
                                          {"Endpoints", std::move(places)},
                                          {"DataDir", folder},
                                          {"Kubeconfig", kubeconfig},
                                          {"StartMilliseconds", took.count()}};
    return print_document(in.text("output"), document, {});
  }
  std::string text = cat("Kubernetes ", api::kKubernetesVersion, " is up, after ", took.count(), " ms\n");
  for (const std::string& place : server.places()) text += cat("  API         ", place, "\n");
  text += cat("  data        ", folder, "\n");
  if (!kubeconfig.empty()) text += cat("  kubeconfig  ", kubeconfig, " (context proa)\n");
  text += cat("\nTry it:  ",
              kubeconfig.empty() || in.text("write-kubeconfig").empty() ? "" : cat("KUBECONFIG=", kubeconfig, " "),
              "kubectl get namespaces\nCtrl-C stops it; everything is kept in the data folder.\n");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return {};
}

}  // namespace

Result<int> program_up(const Invocation& in) {
  kernel::keep_freed_blocks_at_hand();
  const auto began = std::chrono::steady_clock::now();
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t ends;
  sigemptyset(&ends);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, number);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before there are other threads
  api::ServerSettings settings = TRY(settings_of(in));
  const auto server = TRY(api::Server::start(std::move(settings)));
  const std::string kubeconfig = TRY(tell_kubeconfig(in, server->admin_entry()));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  TRY(announce(in, *server, kubeconfig, took));
  for (;;) {
    const timespec wait{.tv_sec = kTickSeconds, .tv_nsec = 0};
    const int number = ::sigtimedwait(&ends, nullptr, &wait);
    if (number == SIGTERM || number == SIGINT) break;
    if (!server->tick()) continue;
    if (const auto told = tell_kubeconfig(in, server->admin_entry()); !told) log::error(told.error().message());
  }
  log::info("stopping: running requests may end");
  server->stop();
  return 0;
}

}  // namespace proa::cli
