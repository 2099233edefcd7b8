#include "cli/network_commands.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/print.h"
#include "engine/engine.h"
#include "fabric/fabric.h"
#include "oci/runtime/runtime.h"

namespace proa::cli {
namespace {

namespace document = boost::json;

using fabric::Endpoint;
using fabric::Fabric;
using fabric::Network;
using fabric::Texts;

Result<Fabric> open_fabric(const Invocation& in) {
  const engine::Folders folders = engine::Folders::standard();
  return Fabric::open({.state = in.is_set("state") ? in.text("state") : folders.network(),
                       .run = in.is_set("run") ? in.text("run") : folders.network_run()});
}

Result<Texts> key_values(const Invocation& in, std::string_view flag, bool value_needed) {
  Texts all;
  for (const std::string& text : in.texts(flag)) {
    std::string_view value = text;
    const std::string key(cut(value, '='));
    if (key.empty() || (value_needed && !text.contains('=')))
      return fail("flag --", flag, ": \"", text, "\" is not KEY=VALUE");
    all.insert_or_assign(key, std::string(value));
  }
  return all;
}

// The subnet that an address or range given apart from it belongs to.
Result<fabric::SubnetSpec*> subnet_of(std::vector<fabric::SubnetSpec>& subnets, const fabric::Ip& ip,
                                      std::string_view flag) {
  for (fabric::SubnetSpec& subnet : subnets)
    if (const auto prefix = fabric::Prefix::parse(subnet.subnet); prefix && prefix->contains(ip)) return &subnet;
  return fail("flag --", flag, ": ", ip.text(), " is in no subnet given").hint("say which subnet with --subnet");
}

Result<std::vector<fabric::SubnetSpec>> subnets(const Invocation& in) {
  std::vector<fabric::SubnetSpec> all;
  for (const std::string& subnet : in.texts("subnet")) {
    TRY_CTX(fabric::Prefix::parse(subnet), "flag --subnet");
    all.push_back({.subnet = subnet, .gateway = {}, .ip_range = {}, .auxiliary = {}});
  }
  for (const std::string& gateway : in.texts("gateway")) {
    const fabric::Ip ip = TRY_CTX(fabric::Ip::parse(gateway), "flag --gateway");
    TRY(subnet_of(all, ip, "gateway"))->gateway = gateway;
  }
  for (const std::string& range : in.texts("ip-range")) {
    const fabric::Prefix prefix = TRY_CTX(fabric::Prefix::parse(range, true), "flag --ip-range");
    TRY(subnet_of(all, prefix.address, "ip-range"))->ip_range = range;
  }
  for (const auto& [name, address] : TRY(key_values(in, "aux-address", true))) {
    const fabric::Ip ip = TRY_CTX(fabric::Ip::parse(address), "flag --aux-address");
    TRY(subnet_of(all, ip, "aux-address"))->auxiliary.emplace(name, address);
  }
  return all;
}

bool has_label(const Network& network, std::string_view label) {
  std::string_view value = label;
  const std::string_view key = cut(value, '=');
  const auto found = network.labels.find(key);
  return found != network.labels.end() && (!label.contains('=') || found->second == value);
}

Result<bool> passes(const Network& network, const std::string& filter) {
  std::string_view value = filter;
  const std::string_view key = cut(value, '=');
  if (!filter.contains('=')) return fail("flag --filter: \"", filter, "\" is not KEY=VALUE");
  if (key == "name") return network.name.contains(value);
  if (key == "id") return network.id.starts_with(value);
  if (key == "driver") return network.driver == value;
  if (key == "label") return has_label(network, value);
  if (key == "label!") return !has_label(network, value);
  if (key == "type") return network.builtin() == (value == "builtin");
  return fail("flag --filter: \"", key, "\" is not known").hint("name, id, driver, label or type (custom, builtin)");
}

Result<std::vector<Network>> filtered(const Invocation& in, const Fabric& fabric) {
  std::vector<Network> chosen;
  for (Network& network : TRY(fabric.networks())) {
    bool all = true;
    for (const std::string& filter : in.texts("filter")) all = TRY(passes(network, filter)) && all;
    if (all) chosen.push_back(std::move(network));
  }
  return chosen;
}

document::object texts_value(const Texts& texts) {
  document::object object;
  for (const auto& [key, value] : texts) object.emplace(key, value);
  return object;
}

document::object endpoint_value(const Endpoint& e) {
  const auto with_length = [](const fabric::Ip& ip, int length) {
    return ip.given() ? cat(ip.text(), "/", length) : std::string();
  };
  return {{"Name", e.name},
          {"EndpointID", e.id},
          {"MacAddress", e.mac},
          {"IPv4Address", with_length(e.ipv4, e.ipv4_length)},
          {"IPv6Address", with_length(e.ipv6, e.ipv6_length)}};
}

document::object subnet_value(const fabric::Subnet& subnet) {
  document::object value{{"Subnet", subnet.prefix.text()}};
  if (subnet.ip_range.given()) value.emplace("IPRange", subnet.ip_range.text());
  value.emplace("Gateway", subnet.gateway.text());
  if (subnet.auxiliary.empty()) return value;
  document::object auxiliary;
  for (const auto& [name, ip] : subnet.auxiliary) auxiliary.emplace(name, ip.text());
  value.emplace("AuxiliaryAddresses", std::move(auxiliary));
  return value;
}

// Docker's form.
Result<document::object> inspect_value(const Fabric& fabric, const Network& network) {
  document::array subnets;
  for (const fabric::Subnet& subnet : network.subnets) subnets.emplace_back(subnet_value(subnet));
  document::object containers;
  for (const Endpoint& endpoint : TRY(fabric.endpoints_on(network)))
    containers.emplace(endpoint.container, endpoint_value(endpoint));
  return document::object{{"Name", network.name},
                          {"Id", network.id},
                          {"Created", network.created},
                          {"Scope", "local"},
                          {"Driver", network.driver},
                          {"EnableIPv4", network.subnet(AF_INET) != nullptr},
                          {"EnableIPv6", network.ipv6},
                          {"IPAM", document::object{{"Driver", "default"}, {"Config", std::move(subnets)}}},
                          {"Internal", network.internal},
                          {"Attachable", false},
                          {"Ingress", false},
                          {"Containers", std::move(containers)},
                          {"Options", texts_value(network.options)},
                          {"Labels", texts_value(network.labels)}};
}

Result<fabric::Ip> address(const Invocation& in, std::string_view flag) {
  const std::string text = in.text(flag);
  if (text.empty()) return fabric::Ip();
  return TRY_CTX(fabric::Ip::parse(text), "flag --", flag);
}

// A container of `proa runtime`, of which the engine knows nothing: its namespace is attached as it is.
Result<> connect_of_runtime(const Invocation& in, Fabric& fabric) {
  fabric::AttachRequest request;
  request.network = in.argument(0);
  request.container = request.name = in.argument(1);
  const std::string text = TRY(oci::runtime::state({}, request.container));
  const document::value state = TRY(json::parse(text));
  const document::value* pid = state.is_object() ? state.get_object().if_contains("pid") : nullptr;
  if (pid == nullptr || !pid->is_int64() || pid->get_int64() <= 0)
    return fail("container ", request.container, " is not running");
  request.pid = static_cast<int>(pid->get_int64());
  request.netns = cat("/proc/", request.pid, "/ns/net");
  request.ipv4 = TRY(address(in, "ip"));
  request.ipv6 = TRY(address(in, "ip6"));
  request.aliases = in.texts("alias");
  for (const std::string& link : in.texts("link")) request.links.push_back(TRY(engine::parse_link(link)));
  request.gateway_priority = static_cast<int>(in.integer("gw-priority").value_or(0));
  TRY(fabric.attach(request));
  return {};
}

Result<bool> confirmed() {
  TRY(print_text("WARNING! This will remove all networks that nothing is connected to.\nGo on? [y/N] "));
  char answer = 0;
  return ::read(STDIN_FILENO, &answer, 1) == 1 && (answer == 'y' || answer == 'Y');
}

}  // namespace

Result<int> network_create(const Invocation& in) {
  Fabric fabric = TRY(open_fabric(in));
  fabric::NetworkSpec spec{.name = in.argument(0),
                           .driver = in.text("driver"),
                           .subnets = TRY(subnets(in)),
                           .ipv4 = in.on("ipv4"),
                           .ipv6 = in.on("ipv6"),
                           .internal = in.on("internal"),
                           .options = TRY(key_values(in, "opt", true)),
                           .labels = TRY(key_values(in, "label", false))};
  const Network network = TRY(fabric.create_network(spec));
  TRY(print_text(cat(network.id, "\n")));
  return 0;
}

Result<int> network_ls(const Invocation& in) {
  const Fabric fabric = TRY(open_fabric(in));
  Table table{{"NETWORK ID", "NAME", "DRIVER", "SCOPE"}, {}};
  document::array array;
  std::string ids;
  for (const Network& network : TRY(filtered(in, fabric))) {
    const std::string id(in.on("no-trunc") ? std::string_view(network.id) : short_id(network.id));
    ids += cat(id, "\n");
    table.rows.push_back({id, network.name, network.driver, "local"});
    array.emplace_back(document::object{{"ID", id},
                                        {"Name", network.name},
                                        {"Driver", network.driver},
                                        {"Scope", "local"},
                                        {"Internal", network.internal},
                                        {"IPv6", network.ipv6},
                                        {"Labels", texts_value(network.labels)},
                                        {"CreatedAt", network.created}});
  }
  TRY(in.on("quiet") ? print_text(ids) : print_document(in.text("output"), array, table));
  return 0;
}

Result<int> network_inspect(const Invocation& in) {
  const Fabric fabric = TRY(open_fabric(in));
  document::array all;
  for (const std::string& reference : in.arguments()) {
    const Network network = TRY(fabric.network(reference));
    all.emplace_back(TRY(inspect_value(fabric, network)));
  }
  TRY(print_text(json::to_pretty(all)));
  return 0;
}

Result<int> network_rm(const Invocation& in) {
  Fabric fabric = TRY(open_fabric(in));
  for (const std::string& reference : in.arguments()) {
    Result<> removed = fabric.remove_network(reference);
    if (!removed && removed.error().code() == ENOENT && in.on("force")) continue;
    TRY(std::move(removed));
    TRY(print_text(cat(reference, "\n")));
  }
  return 0;
}

Result<int> network_prune(const Invocation& in) {
  Fabric fabric = TRY(open_fabric(in));
  if (!in.on("force") && !TRY(confirmed())) return 0;
  std::string removed;
  for (const Network& network : TRY(filtered(in, fabric))) {
    if (network.builtin()) continue;
    Result<> done = fabric.remove_network(network.id);
    if (!done && (done.error().code() == EBUSY || done.error().code() == ENOENT)) continue;
    TRY(std::move(done));
    removed += cat(network.name, "\n");
  }
  TRY(fabric.sweep());
  if (!removed.empty()) TRY(print_text(cat("Deleted Networks:\n", removed)));
  return 0;
}

Result<int> network_connect(const Invocation& in) {
  engine::Engine engine = TRY(engine::Engine::open());
  Fabric fabric = TRY(open_fabric(in));
  const engine::NetworkConfig network{.name = TRY(fabric.network(in.argument(0))).name,
                                      .aliases = in.texts("alias"),
                                      .ip = TRY(address(in, "ip")).text(),
                                      .ip6 = TRY(address(in, "ip6")).text(),
                                      .mac = {}};
  auto done = engine.connect(in.argument(1), network, in.texts("link"),
                             static_cast<int>(in.integer("gw-priority").value_or(0)));
  if (done) return 0;
  // The engine's words for a container that nobody has.
  if (done.error().code() != ENOENT || !oci::runtime::state({}, in.argument(1)))
    return std::unexpected(std::move(done).error());
  TRY(connect_of_runtime(in, fabric));
  return 0;
}

Result<int> network_disconnect(const Invocation& in) {
  engine::Engine engine = TRY(engine::Engine::open());
  Fabric fabric = TRY(open_fabric(in));
  Result<> done = [&]() -> Result<> {
    const Network network = TRY(fabric.network(in.argument(0)));
    auto left = engine.disconnect(in.argument(1), network.name);
    if (left || left.error().code() != ENOENT) return left;
    // A container of `proa runtime`; it may have ended, its endpoint is there all the same.
    return fabric.detach(in.argument(1), network.name) ? Result<>{} : left;
  }();
  if (!done && done.error().code() == ENOENT && in.on("force")) return 0;
  TRY(std::move(done));
  return 0;
}

Result<int> network_repair(const Invocation& in) {
  Fabric fabric = TRY(open_fabric(in));
  TRY(fabric.converge());
  for (const std::string& warning : TRY(fabric.warnings())) log::warning(warning);
  return 0;
}

}  // namespace proa::cli
