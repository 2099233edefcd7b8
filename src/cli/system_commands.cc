// `proa system` and `proa info`.
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/container_commands.h"
#include "cli/container_filter.h"
#include "cli/documents.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/prune.h"
#include "cli/template.h"
#include "cli/version.h"
#include "engine/engine.h"
#include "engine/shim_client.h"
#include "kernel/file.h"
#include "oci/image/images.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
namespace im = oci::image;
using engine::Container;
using engine::Engine;

struct Use {
  std::string type;
  size_t total = 0, active = 0;
  uint64_t size = 0, free = 0;
  Table each;  // for --verbose
};

Result<Use> images_use(const Engine& engine, const std::vector<Container>& containers) {
  Use out{.type = "Images", .each = {{"IMAGE ID", "NAMES", "CREATED", "SIZE", "CONTAINERS"}, {}}};
  const im::Images images(TRY(im::Store::open({.root = engine.folders().images()})));
  for (const im::Image& image : TRY(images.list())) {
    const auto users = std::ranges::count_if(containers, [&](const Container& c) { return uses_image(c, image); });
    ++out.total;
    out.active += users != 0 ? 1 : 0;
    out.size += image.size;
    out.free += users == 0 ? image.size : 0;
    std::string names;
    for (const std::string& name : image.names) names += cat(names.empty() ? "" : ", ", name);
    const std::string id = image.id.text();
    out.each.rows.push_back({std::string(short_id(id.substr(id.find(':') + 1))), names,
                             human_since(image.config.created), human_size(image.size), std::to_string(users)});
  }
  return out;
}

Use containers_use(Engine& engine, const std::vector<Container>& containers) {
  Use out{.type = "Containers", .each = {{"CONTAINER ID", "NAME", "STATE", "CREATED", "SIZE"}, {}}};
  for (const Container& c : containers) {
    const bool own = !c.resolved.snapshot.empty();
    const uint64_t size = own ? engine.images().usage(c.resolved.snapshot).value_or(0) : 0;
    ++out.total;
    out.size += size;
    if (is_running(c.state))
      ++out.active;
    else
      out.free += size;
    out.each.rows.push_back(
        {std::string(short_id(c.id)), c.name, c.state.status, human_since(c.created), human_size(size)});
  }
  return out;
}

Result<Use> volumes_use(Engine& engine) {
  Use out{.type = "Local Volumes", .each = {{"VOLUME NAME", "IN USE", "SIZE"}, {}}};
  const auto users = TRY(engine.volume_users());
  for (const engine::Volume& volume : TRY(engine.volumes().list())) {
    const uint64_t size = size_of_folder(volume.path);
    const bool used = users.contains(volume.name);
    ++out.total;
    out.active += used ? 1 : 0;
    out.size += size;
    out.free += used ? 0 : size;
    out.each.rows.push_back({volume.name, used ? "yes" : "no", human_size(size)});
  }
  return out;
}

std::string reclaimable(const Use& use) {
  if (use.size == 0) return human_size(use.free);
  return cat(human_size(use.free), " (", use.free * 100 / use.size, "%)");
}

std::string line_of_file(const char* path, std::string_view begin) {
  const std::string text = kernel::read_file(path).value_or("");
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = cut(rest, '\n');
    if (!line.starts_with(begin)) continue;
    line.remove_prefix(begin.size());
    while (line.starts_with('"') || line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with('"')) line.remove_suffix(1);
    return std::string(line);
  }
  return {};
}

bj::object host_facts() {
  struct utsname name{};
  ::uname(&name);
  struct sysinfo memory{};
  ::sysinfo(&memory);
  const bool unified = kernel::path_exists("/sys/fs/cgroup/cgroup.controllers");
  return {{"Name", name.nodename},
          {"KernelVersion", name.release},
          {"OperatingSystem", line_of_file("/etc/os-release", "PRETTY_NAME=")},
          {"OSType", "linux"},
          {"Architecture", name.machine},
          {"NCPU", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"MemTotal", static_cast<uint64_t>(memory.totalram) * memory.mem_unit},
          {"CgroupDriver", "cgroupfs"},
          {"CgroupVersion", unified ? "2" : "1"},
          {"SecurityOptions", {"name=seccomp,profile=builtin", "name=cgroupns"}}};
}

// The unit has containers of its own, which are not the program's: ExecStop alone ends them, each in its own time.
constexpr std::string_view kUnit =
    "[Unit]\n"
    "Description=Containers of proa\n"
    "After=local-fs.target network-online.target\n"
    "Wants=network-online.target\n"
    "\n"
    "[Service]\n"
    "Type=oneshot\n"
    "RemainAfterExit=yes\n"
    "KillMode=process\n"
    "Delegate=yes\n"
    "ExecStart={} system boot\n"
    "ExecStop={} system shutdown\n"
    "TimeoutStopSec=infinity\n"
    "\n"
    "[Install]\n"
    "WantedBy=multi-user.target\n";

// Names on standard output, errors on the other; 1 if there are any.
Result<int> print_outcome(const std::vector<std::string>& done,
                          const std::vector<std::pair<std::string, Error>>& failed) {
  std::string names;
  for (const std::string& name : done) names += name + "\n";
  TRY(print_text(names));
  for (const auto& [name, error] : failed) print_error(error, name);
  return failed.empty() ? 0 : 1;
}

}  // namespace

Result<int> system_df(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const std::vector<Container> containers = TRY(engine.list());
  std::vector<Use> uses;
  uses.push_back(TRY(images_use(engine, containers)));
  uses.push_back(containers_use(engine, containers));
  uses.push_back(TRY(volumes_use(engine)));
  if (in.on("verbose")) {
    for (const Use& use : uses) TRY(print_text(cat(use.type, " space usage:\n\n", render_table(use.each), "\n")));
    return 0;
  }
  Table table{{"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"}, {}};
  std::vector<bj::value> rows;
  for (const Use& use : uses) {
    const std::string total = std::to_string(use.total), active = std::to_string(use.active);
    table.rows.push_back({use.type, total, active, human_size(use.size), reclaimable(use)});
    rows.push_back({{"Type", use.type},
                    {"TotalCount", total},
                    {"Active", active},
                    {"Size", human_size(use.size)},
                    {"Reclaimable", reclaimable(use)}});
  }
  TRY(print_rows(in.text("format"), in.text("output"), rows, table));
  return 0;
}

Result<int> system_prune(const Invocation& in) {
  const bool all = in.on("all"), volumes = in.on("volumes");
  if (!in.on("force")) {
    std::string question =
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least "
        "one container\n";
    if (volumes) question += "  - all anonymous volumes not used by at least one container\n";
    question +=
        all ? "  - all images without at least one container associated to them\n" : "  - all dangling images\n";
    if (!TRY(confirm(question))) return 0;
  }
  Engine engine = TRY(Engine::open());
  const Filters filters = in.texts("filter");
  Pruned sum;
  const auto add = [&](const Pruned& part) { sum.text += part.text, sum.bytes += part.bytes; };
  add(TRY(prune_containers(engine, filters)));
  add(TRY(prune_networks(engine, filters)));
  if (volumes) add(TRY(prune_volumes(engine, false, filters)));
  add(TRY(prune_images(engine, all, filters)));
  TRY(print_pruned(sum));
  return 0;
}

Result<int> system_info(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  size_t running = 0, paused = 0, stopped = 0;
  const std::vector<Container> containers = TRY(engine.list());
  for (const Container& c : containers)
    ++(c.state.status == "paused" ? paused : is_running(c.state) ? running : stopped);
  const im::Images images(TRY(im::Store::open({.root = engine.folders().images()})));
  bj::object facts = {{"Containers", containers.size()},
                      {"ContainersRunning", running},
                      {"ContainersPaused", paused},
                      {"ContainersStopped", stopped},
                      {"Images", TRY(images.list()).size()},
                      {"ServerVersion", kVersion},
                      {"Driver", "overlay2"},
                      {"LoggingDriver", "json-file"},
                      {"DockerRootDir", engine.folders().data},
                      {"DefaultRuntime", "proa"}};
  for (const auto& fact : host_facts()) facts[fact.key()] = fact.value();
  Table table{{"PROPERTY", "VALUE"}, {}};
  for (const auto& fact : facts)
    table.rows.push_back({std::string(fact.key()), fact.value().is_string()
                                                       ? std::string(std::string_view(fact.value().get_string()))
                                                       : json::to_line(fact.value())});
  if (in.text("format").empty()) {
    TRY(print_document(in.text("output"), facts, table));
    return 0;
  }
  TRY(print_rows(in.text("format"), in.text("output"), {facts}, table));
  return 0;
}

Result<int> system_boot(const Invocation& in) {
  if (in.on("print-unit")) {
    std::string unit(kUnit);
    const std::string program = TRY(engine::own_program());
    for (size_t at; (at = unit.find("{}")) != std::string::npos;) unit.replace(at, 2, program);
    TRY(print_text(unit));
    return 0;
  }
  Engine engine = TRY(Engine::open());
  const engine::Booted booted = TRY(engine.boot());
  return print_outcome(booted.started, booted.failed);
}

Result<int> system_shutdown(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const std::optional<uint64_t> timeout = in.whole("timeout");
  const engine::ShutDown down =
      TRY(engine.shut_down(timeout ? std::optional(static_cast<int64_t>(*timeout)) : std::nullopt));
  return print_outcome(down.stopped, down.failed);
}

}  // namespace proa::cli
