// Commands that look at containers.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/container_commands.h"
#include "cli/container_filter.h"
#include "cli/container_flags.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/template.h"
#include "engine/engine.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
using engine::Container;
using engine::Engine;

std::chrono::seconds since(const std::string& time) {
  const auto when = parse_rfc3339(time);
  return when ? std::chrono::duration_cast<std::chrono::seconds>(Clock::system().wall() - *when)
              : std::chrono::seconds(0);
}

// "Up 2 hours (healthy)", "Exited (0) 3 minutes ago"
std::string status_text(const Engine& engine, const Container& c) {
  const engine::State& s = c.state;
  switch (engine::status_of(s)) {
    case engine::Status::kCreated: return "Created";
    case engine::Status::kRunning:
    case engine::Status::kPaused: {
      std::string out = "Up " + human_duration(since(s.started_at));
      if (s.status == "paused") return out + " (Paused)";
      const std::string health = engine.health(c).status;
      if (health == "starting")
        out += " (health: starting)";
      else if (!health.empty())
        out += cat(" (", health, ")");
      return out;
    }
    case engine::Status::kRestarting:
      return cat("Restarting (", s.exit_code, ") ", human_duration(since(s.finished_at)), " ago");
    case engine::Status::kRemoving: return "Removal In Progress";
    case engine::Status::kExited:
      return cat("Exited (", s.exit_code, ") ", human_duration(since(s.finished_at)), " ago");
    case engine::Status::kDead: break;
  }
  return "Dead";
}

std::string command_text(const Container& c, bool whole) {
  std::string out;
  for (const std::string& word : c.resolved.args) out += cat(out.empty() ? "" : " ", word);
  if (!whole && out.size() > 20) out = out.substr(0, 19) + "…";
  return "\"" + out + "\"";
}

std::string ports_text(const Container& c) {
  std::string out;
  const auto add = [&](const std::string& text) { out += cat(out.empty() ? "" : ", ", text); };
  for (const engine::PortConfig& port : c.state.ports) {
    const std::string ip = port.host_ip.find(':') != std::string::npos ? "[" + port.host_ip + "]" : port.host_ip;
    add(cat(ip.empty() ? "0.0.0.0" : ip, ":", port.host_port, "->", port.container_port, "/", port.protocol));
  }
  if (is_running(c.state) && engine::network_kind(c.config.network_mode) == engine::NetworkKind::kNamed)
    for (const std::string& port : c.resolved.exposed_ports)
      if (std::ranges::none_of(c.state.ports,
                               [&](const auto& p) { return cat(p.container_port, "/", p.protocol) == port; }))
        add(port);
  return out;
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& text : list) out += cat(out.empty() ? "" : ",", text);
  return out;
}

// The fields of `ps --format`.
bj::object row_of(Engine& engine, const Container& c, bool whole, bool size) {
  std::string labels;
  for (const auto& [key, value] : c.resolved.labels) labels += cat(labels.empty() ? "" : ",", key, "=", value);
  std::vector<std::string> mounts, networks;
  for (const engine::MountConfig& mount : c.resolved.mounts)
    if (mount.type != "tmpfs")
      mounts.push_back(whole || mount.source.size() <= 15 ? mount.source : mount.source.substr(0, 14) + "…");
  for (const engine::Attachment& network : c.state.networks) networks.push_back(network.network);
  if (networks.empty()) networks.push_back(c.config.network_mode);
  return {
      {"Command", command_text(c, whole)},
      {"CreatedAt", human_time(c.created)},
      {"ID", whole ? c.id : std::string(short_id(c.id))},
      {"Image", c.config.image.empty() ? c.config.rootfs : c.config.image},
      {"Labels", labels},
      {"LocalVolumes",
       std::to_string(std::ranges::count_if(c.resolved.mounts, [](const auto& m) { return m.type == "volume"; }))},
      {"Mounts", joined(mounts)},
      {"Names", c.name},
      {"Networks", joined(networks)},
      {"Ports", ports_text(c)},
      {"Sandbox", c.config.sandbox.empty() ? "" : std::string(short_id(c.config.sandbox))},
      {"Platform", c.config.platform},
      {"RunningFor", human_duration(since(c.created)) + " ago"},
      {"Size", size && !c.resolved.snapshot.empty() ? human_size(engine.images().usage(c.resolved.snapshot).value_or(0))
                                                    : "0B"},
      {"State", c.state.status},
      {"Status", status_text(engine, c)},
      {"ExitCode", c.state.exit_code},
      {"Pid", c.state.pid}};
}

Result<std::vector<Container>> chosen(Engine& engine, const Invocation& in) {
  const ContainerFilter filter = TRY(ContainerFilter::parse(in.texts("filter")));
  int64_t last = in.integer("last").value_or(-1);
  if (in.on("latest")) last = 1;
  const bool all = in.on("all") || last > 0 || filter.wants_stopped();
  std::vector<Container> out;
  for (Container& container : TRY(engine.list())) {
    if (!all && !is_running(container.state)) continue;
    if (!TRY(filter.matches(engine, container))) continue;
    out.push_back(std::move(container));
    if (last > 0 && out.size() == static_cast<size_t>(last)) break;
  }
  return out;
}

}  // namespace

Result<int> container_ls(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const bool whole = in.on("no-trunc"), size = in.on("size");
  Table table{.header = {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"}, .rows = {}};
  if (size) table.header.emplace_back("SIZE");
  std::vector<bj::value> rows;
  std::string ids;
  for (const Container& container : TRY(chosen(engine, in))) {
    if (in.on("quiet")) {
      ids += cat(whole ? container.id : std::string(short_id(container.id)), "\n");
      continue;
    }
    bj::object row = row_of(engine, container, whole, size);
    const auto cell = [&](const char* name) { return std::string(std::string_view(row.at(name).as_string())); };
    table.rows.push_back(
        {cell("ID"), cell("Image"), cell("Command"), cell("RunningFor"), cell("Status"), cell("Ports"), cell("Names")});
    if (size) table.rows.back().push_back(cell("Size"));
    rows.emplace_back(std::move(row));
  }
  if (in.on("quiet"))
    TRY(print_text(ids));
  else
    TRY(print_rows(in.text("format"), in.text("output"), rows, table));
  return 0;
}

Result<int> container_logs(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const Container container = TRY(engine.inspect(in.argument(0)));
  logs::LogQuery query{.timestamps = in.on("timestamps"), .follow = in.on("follow")};
  if (in.is_set("since")) query.since = TRY_CTX(parse_when(in.text("since")), "--since");
  if (in.is_set("until")) query.until = TRY_CTX(parse_when(in.text("until")), "--until");
  if (const std::string tail = in.text("tail"); tail != "all" && tail != "-1" && !tail.empty()) {
    query.tail = parse_number<uint64_t>(tail);
    if (!query.tail) return fail("--tail ", tail, ": not a number of lines");
  }
  const logs::LogSink sink = [](bool error, std::string_view bytes) -> Result<> {
    while (!bytes.empty()) {
      const ssize_t wrote = ::write(error ? STDERR_FILENO : STDOUT_FILENO, bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno(errno, "write");
      bytes.remove_prefix(static_cast<size_t>(wrote));
    }
    return {};
  };
  TRY(engine.read_log(container, std::move(query), in.on("details"), sink));
  return 0;
}

Result<int> container_top(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const std::vector<std::string> args(in.arguments().begin() + 1, in.arguments().end());
  const engine::Process table = TRY(engine.top(in.argument(0), args));
  TRY(print_text(render_table({table.titles, table.rows})));
  return 0;
}

namespace {

std::string binary_size(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g%s", value, kUnits[unit]);
  return text;
}

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", value);
  return text;
}

struct Watched {
  Container container;
  engine::StatsSample before, now;
};

bj::object stats_row(const Watched& w, bool whole) {
  const engine::StatsSample& s = w.now;
  const uint64_t machine = s.system_ns - w.before.system_ns, own = s.cpu_ns - std::min(s.cpu_ns, w.before.cpu_ns);
  const double cpu =
      machine == 0 ? 0
                   : static_cast<double>(own) / static_cast<double>(machine) * static_cast<double>(s.online_cpus) * 100;
  const double memory =
      s.memory_limit == 0 ? 0 : static_cast<double>(s.memory) / static_cast<double>(s.memory_limit) * 100;
  const std::string id = whole ? w.container.id : std::string(short_id(w.container.id));
  return {{"Container", id},
          {"ID", id},
          {"Name", w.container.name},
          {"CPUPerc", percent(cpu)},
          {"MemUsage", cat(binary_size(s.memory), " / ", binary_size(s.memory_limit))},
          {"MemPerc", percent(memory)},
          {"NetIO", cat(human_size(s.network_in), " / ", human_size(s.network_out))},
          {"BlockIO", cat(human_size(s.block_in), " / ", human_size(s.block_out))},
          {"PIDs", std::to_string(s.pids)}};
}

}  // namespace

Result<int> container_stats(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const bool once = in.on("no-stream");
  for (;;) {
    std::vector<Watched> watched;
    std::vector<Container> containers;
    if (in.arguments().empty()) {
      for (Container& c : TRY(engine.list()))
        if (in.on("all") || is_running(c.state)) containers.push_back(std::move(c));
    } else {
      for (const std::string& name : in.arguments()) containers.push_back(TRY(engine.inspect(name)));
    }
    for (Container& c : containers)
      if (auto sample = engine.stats(c)) watched.push_back({std::move(c), *sample, {}});
    ::usleep(500000);
    Table table{
        .header = {"CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"},
        .rows = {}};
    std::vector<bj::value> rows;
    for (Watched& w : watched) {
      auto sample = engine.stats(w.container);
      w.now = sample ? *sample : w.before;
      bj::object row = stats_row(w, in.on("no-trunc"));
      std::vector<std::string> cells;
      for (const char* name : {"ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"})
        cells.emplace_back(std::string_view(row.at(name).as_string()));
      table.rows.push_back(std::move(cells));
      rows.emplace_back(std::move(row));
    }
    if (!once && ::isatty(STDOUT_FILENO) != 0) TRY(print_text("\x1b[2J\x1b[H"));
    TRY(print_rows(in.text("format"), "table", rows, table));
    if (once) return 0;
    ::usleep(500000);
  }
}

Result<int> container_port(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  const Container container = TRY(engine.inspect(in.argument(0)));
  const std::string asked = in.argument(1).empty() || in.argument(1).find('/') != std::string::npos
                                ? in.argument(1)
                                : in.argument(1) + "/tcp";
  std::string out;
  for (const engine::PortConfig& port : container.state.ports) {
    const std::string inside = cat(port.container_port, "/", port.protocol);
    if (!asked.empty() && inside != asked) continue;
    const std::string ip = port.host_ip.empty()                          ? "0.0.0.0"
                           : port.host_ip.find(':') != std::string::npos ? "[" + port.host_ip + "]"
                                                                         : port.host_ip;
    out += asked.empty() ? cat(inside, " -> ", ip, ":", port.host_port, "\n") : cat(ip, ":", port.host_port, "\n");
  }
  if (out.empty() && !asked.empty()) return fail("No public port '", asked, "' published for ", in.argument(0));
  TRY(print_text(out));
  return 0;
}

Result<int> container_diff(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  std::string out;
  for (const auto& [kind, path] : TRY(engine.diff(in.argument(0)))) out += cat(kind, " ", path, "\n");
  TRY(print_text(out));
  return 0;
}

namespace {

std::string text_at(const bj::value& event, std::string_view name) {
  const auto* value = event.as_object().if_contains(name);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : "";
}

Result<> check_event_filters(const std::vector<std::string>& filters) {
  static constexpr std::string_view kKnown[] = {"container", "event", "image", "label", "network", "type", "volume"};
  for (const std::string& text : filters)
    if (std::ranges::find(kKnown, text.substr(0, text.find('='))) == std::end(kKnown))
      return fail("invalid filter '", text, "'").hint("container, event, image, label, network, type or volume");
  return {};
}

bool event_matches(const bj::value& event, const std::vector<std::string>& filters) {
  std::vector<std::pair<std::string, bool>> seen;
  const auto& actor = event.at("Actor").as_object();
  const auto& attributes = actor.at("Attributes").as_object();
  for (const std::string& text : filters) {
    std::string_view rest = text;
    const std::string name(cut(rest, '='));
    const std::string value(rest), action = text_at(event, "Action"), id(std::string_view(actor.at("ID").as_string()));
    bool yes = false;
    if (name == "type")
      yes = text_at(event, "Type") == value;
    else if (name == "event")
      yes = action == value || action.starts_with(value + ":");
    else if (name == "container" || name == "volume" || name == "network") {
      const auto* own = attributes.if_contains("name");
      yes = text_at(event, "Type") == name && (id.starts_with(value) || (own != nullptr && own->as_string() == value));
    } else if (name == "image") {
      const auto* image = attributes.if_contains("image");
      yes = image != nullptr && image->as_string() == value;
    } else if (name == "label") {
      const size_t at = value.find('=');
      const auto* label = attributes.if_contains(value.substr(0, at));
      yes = label != nullptr && (at == std::string::npos || label->as_string() == value.substr(at + 1));
    }
    const auto found = std::ranges::find(seen, name, [](const auto& s) { return s.first; });
    if (found == seen.end())
      seen.emplace_back(name, yes);
    else
      found->second |= yes;
  }
  return std::ranges::all_of(seen, [](const auto& s) { return s.second; });
}

// "2026-01-02T15:04:05.000000000Z container start ID (image=x, name=y)"
std::string event_line(const bj::value& event) {
  const auto& actor = event.at("Actor").as_object();
  std::string attributes;
  for (const auto& member : actor.at("Attributes").as_object())
    attributes += cat(attributes.empty() ? "" : ", ", std::string_view(member.key()), "=",
                      std::string_view(member.value().as_string()));
  const WallTime time(std::chrono::nanoseconds(event.at("timeNano").as_int64()));
  return cat(format_rfc3339(time, TimePrecision::kNanoseconds), " ", text_at(event, "Type"), " ",
             text_at(event, "Action"), " ", std::string_view(actor.at("ID").as_string()), " (", attributes, ")\n");
}

}  // namespace

Result<int> program_events(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  engine::EventQuery query{.since = std::nullopt, .until = std::nullopt, .follow = true};
  query.since = in.is_set("since") ? TRY_CTX(parse_when(in.text("since")), "--since") : Clock::system().wall();
  if (in.is_set("until")) query.until = TRY_CTX(parse_when(in.text("until")), "--until");
  const std::string format = in.text("format");
  std::optional<Template> shape;
  if (!format.empty() && format != "json") shape.emplace(TRY_CTX(Template::parse(format), "--format"));
  const std::vector<std::string> filters = in.texts("filter");
  TRY(check_event_filters(filters));
  Result<> printed;
  TRY(engine.events().read(query, [&](std::string_view line) {
    const auto event = json::parse(line);
    if (!event || !event->is_object() || !event_matches(*event, filters)) return true;
    if (format.empty())
      printed = print_text(event_line(*event));
    else if (format == "json")
      printed = print_text(cat(line, "\n"));
    else if (const auto text = shape->render(*event))
      printed = print_text(*text + "\n");
    else
      printed = std::unexpected(text.error());
    return printed.has_value();
  }));
  TRY(std::move(printed));
  return 0;
}

}  // namespace proa::cli
