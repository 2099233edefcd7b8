#include "cli/foreign_flags.h"

#include "base/log.h"

namespace proa::cli {

namespace {

Result<log::Level> level_of(std::string_view name) {
  if (name == "debug") return log::Level::kDebug;
  if (name == "info") return log::Level::kInfo;
  if (name == "warn" || name == "warning") return log::Level::kWarning;
  if (name == "error" || name == "fatal") return log::Level::kError;
  return fail("--log-level: unable to parse logging level: ", name).hint("debug, info, warn, error or fatal");
}

}  // namespace

Result<> use_docker_globals(const Invocation& in, const Command& root) {
  for (const std::string_view flag : {"host", "tlscacert", "tlscert", "tlskey"})
    if (in.last_of(root, flag) != nullptr)
      return fail("--", flag, ": there is no daemon to connect to").hint("commands work on this host");
  for (const std::string_view flag : {"tls", "tlsverify"})
    if (const std::string* on = in.last_of(root, flag); on != nullptr && *on == "true")
      return fail("--", flag, ": there is no daemon to connect to").hint("commands work on this host");
  if (const std::string* context = in.last_of(root, "context"); context != nullptr && *context != "default")
    return fail("--context ", *context, ": there are no contexts: every command works on this host");
  log::Config config;
  const std::string* level = in.last_of(root, "log-level");
  const std::string* debug = in.last_of(root, "debug");
  if (level == nullptr && debug == nullptr) return {};
  if (level != nullptr) config.level = TRY(level_of(*level));
  if (debug != nullptr && *debug == "true") config.level = log::Level::kDebug;
  return log::configure(config);
}

Result<> refuse_content_trust(const Invocation& in) {
  if (in.on("disable-content-trust")) return {};
  return fail("--disable-content-trust=false: signatures of Docker's Notary are not supported")
      .hint("leave the flag out, and name images by digest where it matters: NAME@sha256:...");
}

void warn_of_kernel_memory(const Invocation& in) {
  if (in.bytes("kernel-memory").value_or(0) != 0)
    log::warning("--kernel-memory is deprecated and has no effect: the kernel counts such memory as --memory does");
}

Result<> refuse_checkpoints(const Invocation& in) {
  for (const std::string_view flag : {"checkpoint", "checkpoint-dir"})
    if (!in.text(flag).empty())
      return fail("--", flag, ": containers have no checkpoints")
          .hint("'proa runtime checkpoint' and 'restore' keep those of OCI bundles");
  return {};
}

Result<> refuse_cluster_volumes(const Invocation& in) {
  for (const std::string_view flag : {"availability", "group", "limit-bytes", "required-bytes", "scope", "secret",
                                      "sharing", "topology-preferred", "topology-required", "type"})
    if (in.is_set(flag))
      return fail("--", flag, ": is for the cluster volumes of a Swarm, which this host is no part of");
  return {};
}

Result<> refuse_cluster_networks(const Invocation& in) {
  if (in.on("ingress"))
    return fail("--ingress: Ingress network can only be global scope network")
        .hint("it is for Swarm, which is not here");
  const std::string scope = in.text("scope"), ipam = in.text("ipam-driver");
  if (scope == "swarm" || scope == "global")
    return fail("--scope ", scope, ": This node is not a swarm manager.").hint("networks here have scope local");
  if (!scope.empty() && scope != "local") return fail("--scope: invalid scope '", scope, "'").hint("local");
  if (!ipam.empty() && ipam != "default")
    return fail("--ipam-driver: could not find an IPAM driver with name \"", ipam, "\"")
        .hint("there is only 'default'");
  return {};
}

Result<> refuse_foreign(const Invocation& in) {
  TRY(refuse_content_trust(in));
  warn_of_kernel_memory(in);
  if (const std::string gpus = in.text("gpus"); !gpus.empty())
    return fail("could not select device driver \"\" with capabilities: [[gpu]]")
        .hint("--gpus is not supported: give the devices with --device");
  for (const std::string_view flag : {"cpu-count", "cpu-percent"})
    if (in.integer(flag).value_or(0) != 0) return fail("--", flag, ": there is no such limit on Linux").hint("--cpus");
  if (in.bytes("io-maxbandwidth").value_or(0) != 0 || in.whole("io-maxiops").value_or(0) != 0)
    return fail("--io-maxbandwidth and --io-maxiops: there are no such limits on Linux")
        .hint("--device-read-bps, --device-write-bps, --device-read-iops and --device-write-iops");
  if (const std::string kind = in.text("isolation"); !kind.empty() && kind != "default")
    return fail("invalid isolation '", kind, "' on linux, only 'default' is supported");
  if (in.on("use-api-socket")) return fail("--use-api-socket: there is no daemon whose socket a container could use");
  if (const std::vector<std::string> options = in.texts("storage-opt"); !options.empty())
    return fail("--storage-opt ", options.front(),
                ": is supported only for overlay over xfs with 'pquota' mount option, which is not used");
  const std::string runtime = in.text("runtime");
  if (!runtime.empty() && runtime != "proa" && runtime != "runc" && runtime != "io.containerd.runc.v2")
    return fail("unknown or invalid runtime name: ", runtime).hint("there is 'proa', which 'runc' stands for, too");
  return {};
}

}  // namespace proa::cli
