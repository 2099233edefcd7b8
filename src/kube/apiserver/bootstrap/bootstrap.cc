#include "kube/apiserver/bootstrap/bootstrap.h"

#include <arpa/inet.h>

#include <vector>

#include "base/text.h"
#include "kube/apiserver/registry/decode.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

struct Wanted {
  std::string_view group, resource, ns, name;
  std::string json;
  bool exact = false;  // brought up to date if it is there
};

std::string json_text(std::string_view text) {
  std::string out;
  write_json_string(out, text);
  return out;
}

std::string name_space(std::string_view name) {
  return cat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")", name, R"("}})");
}

std::string priority_class(std::string_view name, int64_t value, std::string_view description) {
  return cat(R"({"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":")", name,
             R"("},"value":)", value, R"(,"description":)", json_text(description), "}");
}

std::string api_service(const std::string& address, int port) {
  return cat(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"kubernetes","namespace":"default","labels":)",
             R"({"component":"apiserver","provider":"kubernetes"}},"spec":{"clusterIP":")", address,
             R"(","type":"ClusterIP","sessionAffinity":"None","ports":[{"name":"https","protocol":"TCP","port":443,)",
             R"("targetPort":)", port, "}]}}");
}

std::string api_endpoints(const BootstrapSettings& settings) {
  return cat(R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"kubernetes","namespace":"default","labels":)",
             R"({"endpointslice.kubernetes.io/skip-mirror":"true"}},"subsets":[{"addresses":[{"ip":")",
             settings.address, R"("}],"ports":[{"name":"https","port":)", settings.port, R"(,"protocol":"TCP"}]}]})");
}

std::string api_slice(const BootstrapSettings& settings) {
  const bool v6 = settings.address.find(':') != std::string::npos;
  return cat(R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"kubernetes",)",
             R"("namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":")",
             v6 ? "IPv6" : "IPv4", R"(","endpoints":[{"addresses":[")", settings.address,
             R"("],"conditions":{"ready":true}}],"ports":[{"name":"https","port":)", settings.port,
             R"(,"protocol":"TCP"}]})");
}

std::string service_range(const std::string& cidr) {
  return cat(R"({"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"kubernetes"},)",
             R"("spec":{"cidrs":[")", cidr, R"("]}})");
}

std::string config_map(std::string_view ns, std::string_view name, const std::string& data) {
  return cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"(","namespace":")", ns,
             R"("},"data":{)", data, "}}");
}

std::string extension_authentication(const BootstrapSettings& settings) {
  return cat(R"("client-ca-file":)", json_text(settings.authority_pem), R"(,"requestheader-client-ca-file":)",
             json_text(settings.front_proxy_authority_pem),
             R"(,"requestheader-allowed-names":"[\"front-proxy-client\"]","requestheader-username-headers":)",
             R"("[\"X-Remote-User\"]","requestheader-group-headers":"[\"X-Remote-Group\"]",)",
             R"("requestheader-extra-headers-prefix":"[\"X-Remote-Extra-\"]","requestheader-uid-headers":)",
             R"("[\"X-Remote-Uid\"]")");
}

Result<std::vector<Wanted>> wanted_objects(const BootstrapSettings& settings) {
  std::vector<Wanted> out;
  for (const std::string_view name : {"default", "kube-system", "kube-public", "kube-node-lease"})
    out.push_back({"", "namespaces", "", name, name_space(name)});
  constexpr std::string_view kScheduling = "scheduling.k8s.io";
  out.push_back({kScheduling, "priorityclasses", "", "system-node-critical",
                 priority_class("system-node-critical", 2'000'001'000,
                                "Used for system critical pods that must not be moved from their current node.")});
  out.push_back({kScheduling, "priorityclasses", "", "system-cluster-critical",
                 priority_class("system-cluster-critical", 2'000'000'000,
                                "Used for system critical pods that must run in the cluster, but can be moved to "
                                "another node if necessary.")});
  out.push_back({"networking.k8s.io", "servicecidrs", "", "kubernetes", service_range(settings.service_cidr)});
  const std::string service = TRY(first_address(settings.service_cidr));
  out.push_back({"", "services", "default", "kubernetes", api_service(service, settings.port)});
  out.push_back({"", "endpoints", "default", "kubernetes", api_endpoints(settings), true});
  out.push_back({"discovery.k8s.io", "endpointslices", "default", "kubernetes", api_slice(settings), true});
  out.push_back({"", "configmaps", "kube-system", "extension-apiserver-authentication",
                 config_map("kube-system", "extension-apiserver-authentication", extension_authentication(settings)),
                 true});
  for (const std::string_view ns : {"default", "kube-system", "kube-public", "kube-node-lease"})
    out.push_back({"", "configmaps", ns, "kube-root-ca.crt",
                   config_map(ns, "kube-root-ca.crt", cat(R"("ca.crt":)", json_text(settings.authority_pem))), true});
  return out;
}

net::Task<Result<>> establish(Objects& objects, const CatalogPtr& catalog, const Wanted& wanted) {
  Arena arena;
  Context context{.catalog = catalog,
                  .resource = catalog->find(wanted.group, wanted.resource),
                  .subresource = {},
                  .ns = std::string(wanted.ns),
                  .name = std::string(wanted.name),
                  .user = &own_user(),
                  .arena = arena,
                  .warnings = {},
                  .annotations = {}};
  const auto there = objects.get(context);
  if (there && !wanted.exact) co_return Result<>();
  const Value object = CO_TRY(read_json(arena, wanted.json));
  const Value conformed = CO_TRY(conform_as(arena, body_kind(*context.resource, ""), object));
  const WriteOptions options{.field_manager = "proa"};
  const auto written = there ? co_await objects.update(context, conformed, options)
                             : co_await objects.create(context, conformed, options);
  if (!written && written.error().reason != "AlreadyExists")
    co_return fail("bootstrap ", context.resource->qualified, " ", wanted.name, ": ", written.error().message);
  co_return Result<>();
}

}  // namespace

Result<std::string> first_address(const std::string& cidr) {
  const size_t slash = cidr.find('/');
  const std::string text = cidr.substr(0, slash);
  const auto bits = slash == std::string::npos ? std::nullopt : parse_number<int>(cidr.substr(slash + 1));
  in_addr v4{};
  in6_addr v6{};
  char out[INET6_ADDRSTRLEN];
  if (bits && ::inet_pton(AF_INET, text.c_str(), &v4) == 1 && *bits >= 8 && *bits <= 30) {
    v4.s_addr = htonl((ntohl(v4.s_addr) & (~0u << (32 - *bits))) + 1);
    return std::string(::inet_ntop(AF_INET, &v4, out, sizeof out));
  }
  if (bits && ::inet_pton(AF_INET6, text.c_str(), &v6) == 1 && *bits >= 48 && *bits <= 124) {
    v6.s6_addr[15] |= 1;
    return std::string(::inet_ntop(AF_INET6, &v6, out, sizeof out));
  }
  return fail("service CIDR: \"", cidr, "\" is no range of addresses").hint("write it as 10.43.0.0/16");
}

net::Task<Result<>> bootstrap(Objects& objects, const Catalog& catalog, BootstrapSettings settings) {
  const CatalogPtr view = catalog.view();
  for (const Wanted& wanted : CO_TRY(wanted_objects(settings))) CO_TRY(co_await establish(objects, view, wanted));
  co_return Result<>();
}

}  // namespace proa::kube::api
