#include "cli/network_commands.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/container_filter.h"
#include "cli/container_flags.h"
#include "cli/documents.h"
#include "cli/foreign_flags.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/prune.h"
#include "cli/template.h"
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

Result<bool> passes(const Fabric& fabric, const Network& network, const std::string& filter) {
  std::string_view value = filter;
  const std::string_view key = cut(value, '=');
  if (!filter.contains('=')) return fail("flag --filter: \"", filter, "\" is not KEY=VALUE");
  if (key == "name") return network.name.contains(value);
  if (key == "id") return network.id.starts_with(value);
  if (key == "driver") return network.driver == value;
  if (key == "label") return has_label(network, value);
  if (key == "label!") return !has_label(network, value);
  if (key == "type") return network.builtin() == (value == "builtin");
  if (key == "scope") return value == "local";
  if (key == "until")
    return TRY(parse_rfc3339(network.created)) < TRY_CTX(parse_when(std::string(value)), "flag --filter until");
  if (key == "dangling")
    return (!network.builtin() && TRY(fabric.endpoints_on(network)).empty()) == (value == "true" || value == "1");
  return fail("flag --filter: \"", key, "\" is not known")
      .hint("dangling, driver, id, label, name, scope, type (custom, builtin) or until");
}

// Of one name any value will do, but for labels, of which all must match.
Result<std::vector<Network>> filtered(const Filters& filters, const Fabric& fabric) {
  std::vector<Network> chosen;
  for (Network& network : TRY(fabric.networks())) {
    std::map<std::string, bool, std::less<>> seen;
    bool all = true;
    for (const std::string& filter : filters) {
      const bool yes = TRY(passes(fabric, network, filter));
      if (filter.starts_with("label"))
        all = all && yes;
      else
        seen[filter.substr(0, filter.find('='))] |= yes;
    }
    for (const auto& [name, yes] : seen) all = all && yes;
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
                          {"EnableIPv4", network.config_only ? network.ipv4 : network.subnet(AF_INET) != nullptr},
                          {"EnableIPv6", network.ipv6},
                          {"IPAM", document::object{{"Driver", "default"},
                                                    {"Options", texts_value(network.ipam_options)},
                                                    {"Config", std::move(subnets)}}},
                          {"Internal", network.internal},
                          {"Attachable", network.attachable},
                          {"Ingress", false},
                          {"ConfigFrom", document::object{{"Network", network.config_from}}},
                          {"ConfigOnly", network.config_only},
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
  for (const std::string_view flag : {"driver-opt", "link-local-ip"})
    if (in.is_set(flag)) return fail("--", flag, ": is for containers of 'proa run'");
  request.aliases = in.texts("alias");
  for (const std::string& link : in.texts("link")) request.links.push_back(TRY(engine::parse_link(link)));
  request.gateway_priority = static_cast<int>(in.integer("gw-priority").value_or(0));
  TRY(fabric.attach(request));
  return {};
}

}  // namespace

Result<document::value> network_document(engine::Engine& engine, const std::string& name) {
  const Fabric fabric = TRY(Fabric::open({.state = engine.folders().network(), .run = engine.folders().network_run()}));
  const Network network = TRY(fabric.network(name));
  return TRY(inspect_value(fabric, network));
}

Result<int> network_create(const Invocation& in) {
  TRY(refuse_cluster_networks(in));
  if (in.on("config-only") && in.is_set("driver"))
    return fail("--config-only: a configuration network has no --driver");
  Fabric fabric = TRY(open_fabric(in));
  fabric::NetworkSpec spec{.name = in.argument(0),
                           .driver = in.text("driver"),
                           .subnets = TRY(subnets(in)),
                           .ipv4 = in.on("ipv4"),
                           .ipv6 = in.on("ipv6"),
                           .internal = in.on("internal"),
                           .options = TRY(key_values(in, "opt", true)),
                           .ipam_options = TRY(key_values(in, "ipam-opt", true)),
                           .labels = TRY(key_values(in, "label", false)),
                           .attachable = in.on("attachable"),
                           .config_only = in.on("config-only"),
                           .config_from = in.text("config-from")};
  const Network network = TRY(fabric.create_network(spec));
  TRY(print_text(cat(network.id, "\n")));
  return 0;
}

Result<int> network_ls(const Invocation& in) {
  const Fabric fabric = TRY(open_fabric(in));
  Table table{{"NETWORK ID", "NAME", "DRIVER", "SCOPE"}, {}};
  std::vector<document::value> rows;
  std::string ids;
  for (const Network& network : TRY(filtered(in.texts("filter"), fabric))) {
    const std::string id(in.on("no-trunc") ? std::string_view(network.id) : short_id(network.id));
    std::string labels;
    for (const auto& [key, value] : network.labels) labels += cat(labels.empty() ? "" : ",", key, "=", value);
    ids += cat(id, "\n");
    table.rows.push_back({id, network.name, network.driver, "local"});
    rows.push_back({{"ID", id},
                    {"Name", network.name},
                    {"Driver", network.driver},
                    {"Scope", "local"},
                    {"Internal", network.internal},
                    {"IPv4", network.subnet(AF_INET) != nullptr},
                    {"IPv6", network.ipv6},
                    {"Labels", labels},
                    {"CreatedAt", human_time(network.created)}});
  }
  TRY(in.on("quiet") ? print_text(ids) : print_rows(in.text("format"), in.text("output"), rows, table));
  return 0;
}

Result<int> network_inspect(const Invocation& in) {
  const Fabric fabric = TRY(open_fabric(in));
  document::array all;
  for (const std::string& reference : in.arguments()) {
    const Network network = TRY(fabric.network(reference));
    all.emplace_back(TRY(inspect_value(fabric, network)));
  }
  TRY(print_documents(in, all));
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

Result<Pruned> prune_networks_of(Fabric& fabric, const Filters& filters) {
  Pruned out;
  for (const Network& network : TRY(filtered(filters, fabric))) {
    if (network.builtin()) continue;
    Result<> done = fabric.remove_network(network.id);
    if (!done && (done.error().code() == EBUSY || done.error().code() == ENOENT)) continue;
    TRY(std::move(done));
    out.text += cat(network.name, "\n");
  }
  if (!out.text.empty()) out.text = cat("Deleted Networks:\n", out.text, "\n");
  return out;
}

Result<Pruned> prune_networks(engine::Engine& engine, const Filters& filters) {
  Fabric fabric = TRY(Fabric::open({.state = engine.folders().network(), .run = engine.folders().network_run()}));
  return prune_networks_of(fabric, filters);
}

Result<int> network_prune(const Invocation& in) {
  Fabric fabric = TRY(open_fabric(in));
  if (!in.on("force") && !TRY(confirm("WARNING! This will remove all networks that nothing is connected to.")))
    return 0;
  const Pruned pruned = TRY(prune_networks_of(fabric, in.texts("filter")));
  TRY(print_text(pruned.text));
  return 0;
}

Result<int> network_connect(const Invocation& in) {
  engine::Engine engine = TRY(engine::Engine::open());
  Fabric fabric = TRY(open_fabric(in));
  engine::NetworkConfig network{.name = TRY(fabric.network(in.argument(0))).name,
                                .aliases = in.texts("alias"),
                                .ip = TRY(address(in, "ip")).text(),
                                .ip6 = TRY(address(in, "ip6")).text(),
                                .link_local = in.texts("link-local-ip")};
  for (const std::string& option : in.texts("driver-opt")) TRY_CTX(add_driver_option(option, network), "--driver-opt");
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
