// `proa sandbox`.
#include <boost/json.hpp>

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
using engine::Engine;
using engine::Sandbox;

std::string addresses(const engine::State& state) {
  std::string out;
  for (const engine::Attachment& network : state.networks)
    for (const std::string* ip : {&network.ip, &network.ip6})
      if (!ip->empty()) out += cat(out.empty() ? "" : ", ", *ip);
  return out;
}

bj::object document(const Sandbox& sandbox) {
  const engine::Container& holder = sandbox.holder;
  bj::object labels, annotations, networks;
  for (const auto& [name, value] : holder.config.labels) labels[name] = value;
  for (const auto& [name, value] : holder.config.annotations) annotations[name] = value;
  for (const engine::Attachment& a : holder.state.networks)
    networks[a.network] = {{"NetworkID", a.network_id}, {"EndpointID", a.endpoint_id}, {"IPAddress", a.ip},
                           {"Gateway", a.gateway},      {"GlobalIPv6Address", a.ip6},  {"IPv6Gateway", a.gateway6},
                           {"MacAddress", a.mac}};
  bj::array containers, shared, ports;
  for (const engine::Container& c : sandbox.containers)
    containers.push_back({{"Id", c.id}, {"Name", c.name}, {"State", c.state.status}});
  for (const std::string& name : holder.config.shared) shared.emplace_back(name);
  for (const engine::PortConfig& port : holder.state.ports)
    ports.push_back({{"HostIp", port.host_ip},
                     {"HostPort", port.host_port},
                     {"ContainerPort", port.container_port},
                     {"Protocol", port.protocol}});
  return {{"Id", holder.id},
          {"Name", holder.name},
          {"Created", holder.created},
          {"State", holder.state.status},
          {"Pid", holder.state.pid},
          {"StartedAt", holder.state.started_at},
          {"FinishedAt", holder.state.finished_at},
          {"Hostname", holder.config.hostname},
          {"Shared", std::move(shared)},
          {"NetworkMode", holder.config.network_mode},
          {"Networks", std::move(networks)},
          {"Ports", std::move(ports)},
          {"CgroupParent", holder.config.cgroup_parent},
          {"Labels", std::move(labels)},
          {"Annotations", std::move(annotations)},
          {"Containers", std::move(containers)}};
}

}  // namespace

Result<int> sandbox_create(const Invocation& in) {
  engine::ContainerConfig config = TRY(read_sandbox_config(in));
  Engine engine = TRY(Engine::open());
  const engine::Created made = TRY(engine.create_sandbox(std::move(config), in.argument(0)));
  if (!in.on("no-start"))
    if (auto started = engine.start_sandbox(made.id); !started) {
      (void)engine.remove_sandbox(made.id, true);
      return std::unexpected(std::move(started).error());
    }
  TRY(print_text(made.id + "\n"));
  return 0;
}

Result<int> sandbox_ls(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  Table table{.header = {"SANDBOX ID", "NAME", "STATE", "CREATED", "CONTAINERS", "ADDRESSES"}, .rows = {}};
  std::vector<bj::value> rows;
  std::string ids;
  for (const Sandbox& sandbox : TRY(engine.sandboxes())) {
    const engine::Container& holder = sandbox.holder;
    const std::string id(in.on("no-trunc") ? std::string_view(holder.id) : short_id(holder.id));
    const std::string age = human_since(holder.created);
    ids += id + "\n";
    table.rows.push_back({id, holder.name, holder.state.status, age, std::to_string(sandbox.containers.size()),
                          addresses(holder.state)});
    rows.push_back({{"ID", id},
                    {"Name", holder.name},
                    {"State", holder.state.status},
                    {"CreatedAt", human_time(holder.created)},
                    {"RunningFor", age},
                    {"Containers", sandbox.containers.size()},
                    {"Addresses", addresses(holder.state)}});
  }
  TRY(in.on("quiet") ? print_text(ids) : print_rows(in.text("format"), in.text("output"), rows, table));
  return 0;
}

Result<int> sandbox_inspect(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  bj::array all;
  for (const std::string& name : in.arguments()) all.push_back(document(TRY(engine.inspect_sandbox(name))));
  TRY(print_documents(in, all));
  return 0;
}

Result<int> sandbox_start(const Invocation& in) {
  return for_each(in, [](Engine& engine, const std::string& name) { return engine.start_sandbox(name); });
}
Result<int> sandbox_stop(const Invocation& in) {
  return for_each(in, [&](Engine& engine, const std::string& name) {
    return engine.stop_sandbox(name, {.timeout = in.integer("time"), .signal = {}});
  });
}
Result<int> sandbox_rm(const Invocation& in) {
  return for_each(in,
                  [&](Engine& engine, const std::string& name) { return engine.remove_sandbox(name, in.on("force")); });
}

}  // namespace proa::cli
