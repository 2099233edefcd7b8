#include "fabric/records.h"

#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "base/text.h"
#include "kernel/link.h"

namespace proa::fabric {
namespace {

namespace json = boost::json;

constexpr int64_t kVersion = 1;

// Reads members of one object; the first thing that is wrong is kept.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  std::string text(std::string_view key) {
    const json::value* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return wrong<std::string>(key, "a string");
    return std::string(value->get_string());
  }
  int64_t number(std::string_view key) {
    const json::value* value = find(key);
    if (value == nullptr) return 0;
    if (!value->is_int64()) return wrong<int64_t>(key, "a number");
    return value->get_int64();
  }
  bool flag(std::string_view key) {
    const json::value* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_bool()) return wrong<bool>(key, "true or false");
    return value->get_bool();
  }
  Ip ip(std::string_view key) {
    const std::string written = text(key);
    if (written.empty()) return {};
    const Result<Ip> parsed = Ip::parse(written);
    return parsed ? *parsed : wrong<Ip>(key, "an address");
  }
  Prefix prefix(std::string_view key) {
    const std::string written = text(key);
    if (written.empty()) return {};
    const Result<Prefix> parsed = Prefix::parse(written);
    return parsed ? *parsed : wrong<Prefix>(key, "a subnet");
  }
  Texts texts(std::string_view key) {
    Texts all;
    const json::value* value = find(key);
    if (value == nullptr) return all;
    if (!value->is_object()) return wrong<Texts>(key, "an object");
    for (const auto& member : value->get_object()) {
      if (!member.value().is_string()) return wrong<Texts>(key, "strings");
      all.emplace(member.key(), std::string(member.value().get_string()));
    }
    return all;
  }
  std::vector<std::string> list(std::string_view key) {
    std::vector<std::string> all;
    for (const json::value& item : array(key)) {
      if (!item.is_string()) return wrong<std::vector<std::string>>(key, "strings");
      all.emplace_back(item.get_string());
    }
    return all;
  }
  template <typename Visit>
  void objects(std::string_view key, Visit visit) {
    for (const json::value& item : array(key)) {
      if (!item.is_object()) return static_cast<void>(wrong<int>(key, "objects"));
      Reader inner(item.get_object());
      visit(inner);
      if (error_.empty()) error_ = inner.error_;
    }
  }
  Result<> done() const {
    if (!error_.empty()) return fail(error_);
    return {};
  }

 private:
  const json::value* find(std::string_view key) const { return object_.if_contains(key); }
  const json::array& array(std::string_view key) {
    static const json::array kNothing;
    const json::value* value = find(key);
    if (value == nullptr) return kNothing;
    if (value->is_array()) return value->get_array();
    wrong<int>(key, "an array");
    return kNothing;
  }
  template <typename T>
  T wrong(std::string_view key, std::string_view wanted) {
    if (error_.empty()) error_ = cat(key, ": must be ", wanted);
    return T();
  }

  const json::object& object_;
  std::string error_;
};

Result<json::value> parse_record(std::string_view text) {
  json::value document = TRY(proa::json::parse(text));
  if (!document.is_object()) return fail("the record is not an object");
  const json::value* version = document.get_object().if_contains("version");
  if (version == nullptr || !version->is_int64() || version->get_int64() != kVersion)
    return fail("version: this program knows only ", kVersion);
  return document;
}

json::object texts_value(const Texts& texts) {
  json::object object;
  for (const auto& [key, value] : texts) object.emplace(key, value);
  return object;
}
json::array list_value(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

json::object subnet_value(const Subnet& subnet) {
  Texts auxiliary;
  for (const auto& [name, ip] : subnet.auxiliary) auxiliary.emplace(name, ip.text());
  return {{"subnet", subnet.prefix.text()},
          {"gateway", subnet.gateway.text()},
          {"ipRange", subnet.ip_range.text()},
          {"auxiliary", texts_value(auxiliary)}};
}

Subnet read_subnet(Reader& reader) {
  Subnet subnet{.prefix = reader.prefix("subnet"),
                .gateway = reader.ip("gateway"),
                .ip_range = reader.prefix("ipRange"),
                .auxiliary = {}};
  for (const auto& [name, text] : reader.texts("auxiliary"))
    if (const Result<Ip> ip = Ip::parse(text)) subnet.auxiliary.emplace(name, *ip);
  return subnet;
}

json::object port_value(const Port& port) {
  return {{"protocol", static_cast<int64_t>(port.protocol)},
          {"hostIp", port.host_ip.text()},
          {"hostPort", static_cast<int64_t>(port.host_port)},
          {"containerPort", static_cast<int64_t>(port.container_port)}};
}

Port read_port(Reader& reader) {
  return {.protocol = static_cast<Protocol>(reader.number("protocol")),
          .host_ip = reader.ip("hostIp"),
          .host_port = static_cast<uint16_t>(reader.number("hostPort")),
          .container_port = static_cast<uint16_t>(reader.number("containerPort"))};
}

Result<bool> option_flag(std::string_view key, const std::string& value) {
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return fail("option ", key, ": \"", value, "\" is neither true nor false");
}

Result<> apply_option(Network& network, std::string_view key, const std::string& value) {
  if (key == "com.docker.network.bridge.name") {
    if (!kernel::valid_link_name(value) || value.contains('%'))
      return fail("option ", key, ": \"", value, "\" is not a name for a network device");
    network.bridge = value;
  } else if (key == "com.docker.network.bridge.enable_icc") {
    network.icc = TRY(option_flag(key, value));
  } else if (key == "com.docker.network.bridge.enable_ip_masquerade") {
    network.masquerade = TRY(option_flag(key, value));
  } else if (key == "com.docker.network.bridge.host_binding_ipv4") {
    network.host_binding = TRY_CTX(Ip::parse(value), "option ", key);
  } else if (key == "com.docker.network.driver.mtu") {
    const auto mtu = parse_number<uint32_t>(value);
    if (!mtu || *mtu < 68 || *mtu > 65535) return fail("option ", key, ": \"", value, "\" is not between 68 and 65535");
    network.mtu = *mtu;
  } else if (key == "com.docker.network.bridge.default_bridge") {
    if (TRY(option_flag(key, value)) != (network.name == kDefaultNetwork))
      return fail("option ", key, ": the default network is always \"", kDefaultNetwork, "\"");
  } else {
    return fail("option ", key, ": not known to driver ", network.driver)
        .hint(
            "known: com.docker.network.bridge.{name,enable_icc,enable_ip_masquerade,host_binding_ipv4}, "
            "com.docker.network.driver.mtu");
  }
  return {};
}

}  // namespace

Result<> apply_options(Network& network) {
  network.bridge = network.name == kDefaultNetwork ? "proa0" : cat("pr-", short_id(network.id));
  for (const auto& [key, value] : network.options) TRY(apply_option(network, key, value));
  if (network.config_only) network.bridge.clear();
  return {};
}

std::string network_text(const Network& network) {
  json::array subnets;
  for (const Subnet& subnet : network.subnets) subnets.emplace_back(subnet_value(subnet));
  return proa::json::to_pretty(json::object{{"version", kVersion},
                                            {"id", network.id},
                                            {"name", network.name},
                                            {"driver", network.driver},
                                            {"created", network.created},
                                            {"subnets", std::move(subnets)},
                                            {"internal", network.internal},
                                            {"noIpv4", !network.ipv4},
                                            {"ipv6", network.ipv6},
                                            {"attachable", network.attachable},
                                            {"configOnly", network.config_only},
                                            {"configFrom", network.config_from},
                                            {"ipamOptions", texts_value(network.ipam_options)},
                                            {"options", texts_value(network.options)},
                                            {"labels", texts_value(network.labels)}});
}

Result<Network> parse_network(std::string_view text) {
  const json::value document = TRY(parse_record(text));
  Reader reader(document.get_object());
  Network network;
  network.id = reader.text("id");
  network.name = reader.text("name");
  network.driver = reader.text("driver");
  network.created = reader.text("created");
  reader.objects("subnets", [&](Reader& inner) { network.subnets.push_back(read_subnet(inner)); });
  network.internal = reader.flag("internal");
  network.ipv6 = reader.flag("ipv6");
  network.ipv4 = !reader.flag("noIpv4");
  network.attachable = reader.flag("attachable");
  network.config_only = reader.flag("configOnly");
  network.config_from = reader.text("configFrom");
  network.ipam_options = reader.texts("ipamOptions");
  network.options = reader.texts("options");
  network.labels = reader.texts("labels");
  TRY(reader.done());
  TRY(check_name(network.name, "name"));
  TRY(apply_options(network));
  return network;
}

std::string endpoint_text(const Endpoint& endpoint) {
  json::array ports, links, link_local;
  for (const Port& port : endpoint.ports) ports.emplace_back(port_value(port));
  for (const Ip& ip : endpoint.link_local) link_local.emplace_back(ip.text());
  for (const auto& [container, alias] : endpoint.links)
    links.emplace_back(json::object{{"container", container}, {"alias", alias}});
  return proa::json::to_pretty(json::object{{"version", kVersion},
                                            {"id", endpoint.id},
                                            {"container", endpoint.container},
                                            {"name", endpoint.name},
                                            {"hostname", endpoint.hostname},
                                            {"network", endpoint.network},
                                            {"networkId", endpoint.network_id},
                                            {"netns", endpoint.netns},
                                            {"netnsInode", static_cast<int64_t>(endpoint.netns_inode)},
                                            {"pid", static_cast<int64_t>(endpoint.pid)},
                                            {"interface", endpoint.interface},
                                            {"hostInterface", endpoint.host_interface},
                                            {"mac", endpoint.mac},
                                            {"ipv4", endpoint.ipv4.text()},
                                            {"ipv4Length", static_cast<int64_t>(endpoint.ipv4_length)},
                                            {"gateway", endpoint.gateway.text()},
                                            {"ipv6", endpoint.ipv6.text()},
                                            {"ipv6Length", static_cast<int64_t>(endpoint.ipv6_length)},
                                            {"gateway6", endpoint.gateway6.text()},
                                            {"linkLocal", std::move(link_local)},
                                            {"sysctls", texts_value(endpoint.sysctls)},
                                            {"aliases", list_value(endpoint.aliases)},
                                            {"links", std::move(links)},
                                            {"ports", std::move(ports)},
                                            {"dns", list_value(endpoint.dns.servers)},
                                            {"dnsSearch", list_value(endpoint.dns.search)},
                                            {"dnsOptions", list_value(endpoint.dns.options)},
                                            {"forwardsNames", endpoint.forwards_names},
                                            {"gatewayPriority", static_cast<int64_t>(endpoint.gateway_priority)},
                                            {"defaultRoute", endpoint.default_route}});
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const json::value document = TRY(parse_record(text));
  Reader r(document.get_object());
  Endpoint e;
  e.id = r.text("id");
  e.container = r.text("container");
  e.name = r.text("name");
  e.hostname = r.text("hostname");
  e.network = r.text("network");
  e.network_id = r.text("networkId");
  e.netns = r.text("netns");
  e.netns_inode = static_cast<uint64_t>(r.number("netnsInode"));
  e.pid = static_cast<int>(r.number("pid"));
  e.interface = r.text("interface");
  e.host_interface = r.text("hostInterface");
  e.mac = r.text("mac");
  e.ipv4 = r.ip("ipv4");
  e.ipv4_length = static_cast<uint8_t>(r.number("ipv4Length"));
  e.gateway = r.ip("gateway");
  e.ipv6 = r.ip("ipv6");
  e.ipv6_length = static_cast<uint8_t>(r.number("ipv6Length"));
  e.gateway6 = r.ip("gateway6");
  for (const std::string& one : r.list("linkLocal"))
    if (const Result<Ip> ip = Ip::parse(one)) e.link_local.push_back(*ip);
  e.sysctls = r.texts("sysctls");
  e.aliases = r.list("aliases");
  r.objects("links", [&](Reader& inner) { e.links.emplace_back(inner.text("container"), inner.text("alias")); });
  r.objects("ports", [&](Reader& inner) { e.ports.push_back(read_port(inner)); });
  e.dns = {.servers = r.list("dns"), .search = r.list("dnsSearch"), .options = r.list("dnsOptions")};
  e.forwards_names = r.flag("forwardsNames");
  e.gateway_priority = static_cast<int>(r.number("gatewayPriority"));
  e.default_route = r.flag("defaultRoute");
  TRY(r.done());
  return e;
}

}  // namespace proa::fabric
