// Commands that change containers that exist.
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "base/ids.h"
#include "base/text.h"
#include "cli/container_commands.h"
#include "cli/container_filter.h"
#include "cli/container_flags.h"
#include "cli/foreign_flags.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/prune.h"
#include "engine/engine.h"

namespace proa::cli {
namespace {

using engine::Engine;

engine::StopOptions stop_options(const Invocation& in) {
  engine::StopOptions out{.timeout = in.integer("timeout"), .signal = in.text("signal")};
  if (!out.timeout) out.timeout = in.integer("time");
  return out;
}

}  // namespace

Result<int> for_each(const Invocation& in, const std::function<Result<>(Engine&, const std::string&)>& work) {
  Engine engine = TRY(Engine::open());
  int status = 0;
  for (const std::string& name : in.arguments()) {
    if (const auto done = work(engine, name); !done) {
      print_error(done.error());
      status = 1;
      continue;
    }
    TRY(print_text(name + "\n"));
  }
  return status;
}

Result<bool> confirm(const std::string& question) {
  TRY(print_text(question + "\nAre you sure you want to continue? [y/N] "));
  char answer[64];
  const ssize_t got = ::read(STDIN_FILENO, answer, sizeof answer);
  return got > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

Result<int> container_stop(const Invocation& in) {
  return for_each(in, [&](Engine& engine, const std::string& name) { return engine.stop(name, stop_options(in)); });
}
Result<int> container_restart(const Invocation& in) {
  return for_each(in, [&](Engine& engine, const std::string& name) { return engine.restart(name, stop_options(in)); });
}
Result<int> container_kill(const Invocation& in) {
  return for_each(in, [&](Engine& engine, const std::string& name) { return engine.kill(name, in.text("signal")); });
}
Result<int> container_pause(const Invocation& in) {
  return for_each(in, [](Engine& engine, const std::string& name) { return engine.pause(name); });
}
Result<int> container_unpause(const Invocation& in) {
  return for_each(in, [](Engine& engine, const std::string& name) { return engine.unpause(name); });
}

// CONTAINER/ALIAS, as Docker names its links.
Result<> end_link(Engine& engine, std::string_view name) {
  if (name.starts_with('/')) name.remove_prefix(1);
  const std::string_view container = cut(name, '/');
  if (name.empty()) return fail("--link: ", container, " is no link").hint("CONTAINER/ALIAS, as made by 'run --link'");
  return engine.unlink(std::string(container), name);
}

Result<int> container_rm(const Invocation& in) {
  if (in.on("link"))
    return for_each(in, [](Engine& engine, const std::string& name) { return end_link(engine, name); });
  return for_each(in, [&](Engine& engine, const std::string& name) -> Result<> {
    auto removed = engine.remove(name, {.force = in.on("force"), .volumes = in.on("volumes")});
    if (!removed && removed.error().code() == ENOENT && in.on("force")) return {};
    return removed;
  });
}

Result<int> container_wait(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  for (const std::string& name : in.arguments()) {
    const int status = TRY(engine.wait(name));
    TRY(print_text(cat(status, "\n")));
  }
  return 0;
}

Result<int> container_rename(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  TRY(engine.rename(in.argument(0), in.argument(1)));
  return 0;
}

Result<int> container_update(const Invocation& in) {
  warn_of_kernel_memory(in);
  engine::UpdateRequest request;
  if (const std::string cpus = in.text("cpus"); !cpus.empty()) request.nano_cpus = TRY(parse_nano_cpus(cpus));
  request.cpu_shares = in.integer("cpu-shares");
  request.cpu_quota = in.integer("cpu-quota");
  request.cpu_period = in.integer("cpu-period");
  request.cpu_rt_period = in.integer("cpu-rt-period");
  request.cpu_rt_runtime = in.integer("cpu-rt-runtime");
  request.memory = in.bytes("memory");
  request.memory_swap = in.bytes("memory-swap");
  request.memory_reservation = in.bytes("memory-reservation");
  request.pids_limit = in.integer("pids-limit");
  if (const auto weight = in.whole("blkio-weight")) request.blkio_weight = static_cast<int64_t>(*weight);
  if (in.is_set("cpuset-cpus")) request.cpuset_cpus = in.text("cpuset-cpus");
  if (in.is_set("cpuset-mems")) request.cpuset_mems = in.text("cpuset-mems");
  if (in.is_set("restart")) request.restart = TRY(parse_restart(in.text("restart")));
  return for_each(in, [&](Engine& engine, const std::string& name) -> Result<> {
    TRY(engine.update(name, request));
    return {};
  });
}

Result<Pruned> prune_containers(Engine& engine, const Filters& filters) {
  const ContainerFilter filter = TRY(ContainerFilter::parse(filters));
  TRY(engine.clean_up());
  Pruned out;
  for (const engine::Container& container : TRY(engine.list())) {
    const std::string& status = container.state.status;
    if ((status != "exited" && status != "created" && status != "dead") || !TRY(filter.matches(engine, container)))
      continue;
    const bool own = !container.resolved.snapshot.empty();
    const uint64_t size = own ? engine.images().usage(container.resolved.snapshot).value_or(0) : 0;
    if (!engine.remove(container.id)) continue;
    out.text += container.id + "\n";
    out.bytes += size;
  }
  if (!out.text.empty()) out.text = cat("Deleted Containers:\n", out.text, "\n");
  return out;
}

Result<> print_pruned(const Pruned& pruned) {
  return print_text(cat(pruned.text, "Total reclaimed space: ", human_size(pruned.bytes), "\n"));
}

Result<int> container_prune(const Invocation& in) {
  TRY(ContainerFilter::parse(in.texts("filter")));
  if (!in.on("force") && !TRY(confirm("WARNING! This will remove all stopped containers."))) return 0;
  Engine engine = TRY(Engine::open());
  const Pruned pruned = TRY(prune_containers(engine, in.texts("filter")));
  TRY(print_pruned(pruned));
  return 0;
}

Result<int> container_commit(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const engine::CommitRequest request{.name = in.argument(1),
                                      .author = in.text("author"),
                                      .message = in.text("message"),
                                      .changes = in.texts("change")};
  const std::string id = TRY(engine.commit(in.argument(0), request, in.on("pause")));
  TRY(print_text(id + "\n"));
  return 0;
}

}  // namespace proa::cli
