#include "kube/openapi/discovery.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

struct Group {
  std::string_view name;
  std::vector<GroupVersionView> versions;  // the preferred one first; several views of one version stand side by side
};

std::vector<Group> groups_of(std::span<const Table* const> tables) {
  std::vector<Group> out;
  for (const Table* table : tables)
    for (size_t i = 0; i < table->group_version_count(); ++i) {
      const GroupVersionView gv = table->group_version(i);
      if (gv.resource_count() == 0) continue;
      auto at = std::ranges::find(out, gv.group(), &Group::name);
      if (at == out.end()) at = out.insert(out.end(), Group{gv.group(), {}});
      at->versions.push_back(gv);
    }
  for (Group& group : out)
    std::ranges::sort(group.versions, [](const GroupVersionView& a, const GroupVersionView& b) {
      return version_before(a.version(), b.version());
    });
  return out;
}

// Distinct versions in order.
std::vector<std::string_view> versions_of(const Group& group) {
  std::vector<std::string_view> out;
  for (const GroupVersionView& gv : group.versions)
    if (out.empty() || out.back() != gv.version()) out.push_back(gv.version());
  return out;
}

Value texts(Arena& arena, std::string_view words) {
  Value out = Value::array(arena);
  for (const std::string_view word : split(words, ' ')) out.push(arena, Value::view(word));
  return out;
}

Value verbs(Arena& arena, uint16_t bits) {
  Value out = Value::array(arena, 8);
  for (size_t i = 0; i < std::size(kVerbNames); ++i)
    if ((bits >> i & 1) != 0) out.push(arena, Value::view(kVerbNames[i]));
  return out;
}

Value kind_of(Arena& arena, std::string_view group, std::string_view version, std::string_view kind) {
  Value out = Value::object(arena, 3);
  out.add(arena, "group", Value::view(group));
  out.add(arena, "version", Value::view(version));
  out.add(arena, "kind", Value::view(kind));
  return out;
}

struct Body {
  std::string_view group, version, kind;
};

Body body_of(const ResourceView& resource, const SubresourceView& part) {
  const GroupVersionView gv = resource.group_version();
  if (part.kind.empty()) return {gv.group(), gv.version(), resource.kind()};
  return {part.group, part.version, part.kind};
}

Value aggregated_resource(Arena& arena, const ResourceView& resource) {
  const GroupVersionView gv = resource.group_version();
  Value out = Value::object(arena, 8);
  out.add(arena, "resource", Value::view(resource.plural()));
  out.add(arena, "responseKind", kind_of(arena, gv.group(), gv.version(), resource.kind()));
  out.add(arena, "scope", Value::view(resource.namespaced() ? "Namespaced" : "Cluster"));
  out.add(arena, "singularResource", Value::view(resource.singular()));
  out.add(arena, "verbs", verbs(arena, resource.verbs()));
  if (!resource.short_names().empty()) out.add(arena, "shortNames", texts(arena, resource.short_names()));
  if (!resource.categories().empty()) out.add(arena, "categories", texts(arena, resource.categories()));
  if (resource.subresource_count() == 0) return out;
  Value parts = Value::array(arena, resource.subresource_count());
  for (size_t i = 0; i < resource.subresource_count(); ++i) {
    const SubresourceView part = resource.subresource(i);
    const Body body = body_of(resource, part);
    Value entry = Value::object(arena, 3);
    entry.add(arena, "subresource", Value::view(part.name));
    entry.add(arena, "responseKind", kind_of(arena, body.group, body.version, body.kind));
    entry.add(arena, "verbs", verbs(arena, part.verbs));
    parts.push(arena, entry);
  }
  out.add(arena, "subresources", parts);
  return out;
}

Value group_entry(Arena& arena, const Group& group) {
  Value versions = Value::array(arena);
  for (const std::string_view version : versions_of(group)) {
    Value entry = Value::object(arena, 2);
    entry.add(arena, "groupVersion", Value::text(arena, cat(group.name, "/", version)));
    entry.add(arena, "version", Value::view(version));
    versions.push(arena, entry);
  }
  Value out = Value::object(arena, 3);
  out.add(arena, "name", Value::view(group.name));
  out.add(arena, "versions", versions);
  out.add(arena, "preferredVersion", versions.items()[0]);
  return out;
}

Value legacy_resource(Arena& arena, std::string_view name, std::string_view singular, bool namespaced, const Body& body,
                      bool other_group, uint16_t verb_bits) {
  Value out = Value::object(arena, 9);
  out.add(arena, "name", Value::text(arena, name));
  out.add(arena, "singularName", Value::view(singular));
  out.add(arena, "namespaced", Value::boolean(namespaced));
  if (other_group) {
    if (!body.group.empty()) out.add(arena, "group", Value::view(body.group));
    out.add(arena, "version", Value::view(body.version));
  }
  out.add(arena, "kind", Value::view(body.kind));
  out.add(arena, "verbs", verbs(arena, verb_bits));
  return out;
}

void add_legacy(Arena& arena, Value& list, const ResourceView& resource) {
  const GroupVersionView gv = resource.group_version();
  Value main = legacy_resource(arena, resource.plural(), resource.singular(), resource.namespaced(),
                               {gv.group(), gv.version(), resource.kind()}, false, resource.verbs());
  if (!resource.short_names().empty()) main.add(arena, "shortNames", texts(arena, resource.short_names()));
  if (!resource.categories().empty()) main.add(arena, "categories", texts(arena, resource.categories()));
  list.push(arena, main);
  for (size_t i = 0; i < resource.subresource_count(); ++i) {
    const SubresourceView part = resource.subresource(i);
    const Body body = body_of(resource, part);
    const bool other = body.group != gv.group() || body.version != gv.version();
    list.push(arena, legacy_resource(arena, cat(resource.plural(), "/", part.name), "", resource.namespaced(), body,
                                     other, part.verbs));
  }
}

// "v1beta2" is {beta, major 1, minor 2}; GA is above beta above alpha.
std::optional<std::tuple<int, unsigned, unsigned>> rank(std::string_view version) {
  if (!version.starts_with('v')) return std::nullopt;
  version.remove_prefix(1);
  const size_t end = std::min(version.find_first_not_of("0123456789"), version.size());
  const auto major = parse_number<unsigned>(version.substr(0, end));
  const std::string_view rest = version.substr(end);
  if (!major) return std::nullopt;
  if (rest.empty()) return std::tuple(2, *major, 0u);
  for (const auto& [name, level] : {std::pair(std::string_view("beta"), 1), std::pair(std::string_view("alpha"), 0)})
    if (rest.starts_with(name))
      if (const auto minor = parse_number<unsigned>(rest.substr(name.size()))) return std::tuple(level, *major, *minor);
  return std::nullopt;
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const auto left = rank(a), right = rank(b);
  if (left && right) return *left > *right;
  if (left.has_value() != right.has_value()) return left.has_value();
  return a < b;
}

std::string aggregated_discovery(std::span<const Table* const> tables, bool core, std::string_view version) {
  Arena arena(64u << 10);
  Value items = Value::array(arena);
  for (const Group& group : groups_of(tables)) {
    if (group.name.empty() != core) continue;
    Value versions = Value::array(arena);
    for (const std::string_view name : versions_of(group)) {
      Value resources = Value::array(arena);
      for (const GroupVersionView& gv : group.versions)
        for (size_t i = 0; gv.version() == name && i < gv.resource_count(); ++i)
          resources.push(arena, aggregated_resource(arena, gv.resource(i)));
      Value entry = Value::object(arena, 3);
      entry.add(arena, "version", Value::view(name));
      entry.add(arena, "resources", resources);
      entry.add(arena, "freshness", Value::view("Current"));
      versions.push(arena, entry);
    }
    Value metadata = Value::object(arena, 2);
    if (!group.name.empty()) metadata.add(arena, "name", Value::view(group.name));
    metadata.add(arena, "creationTimestamp", Value());
    Value item = Value::object(arena, 2);
    item.add(arena, "metadata", metadata);
    item.add(arena, "versions", versions);
    items.push(arena, item);
  }
  Value out = Value::object(arena, 4);
  out.add(arena, "kind", Value::view("APIGroupDiscoveryList"));
  out.add(arena, "apiVersion", Value::text(arena, cat("apidiscovery.k8s.io/", version)));
  out.add(arena, "metadata", Value::object(arena));
  out.add(arena, "items", items);
  return write_json(out);
}

std::string api_versions(std::string_view server_address) {
  std::string address;
  write_json_string(address, server_address);
  return cat(
      R"({"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":)",
      address, "}]}");
}

std::string api_group_list(std::span<const Table* const> tables) {
  Arena arena;
  Value list = Value::array(arena);
  for (const Group& group : groups_of(tables))
    if (!group.name.empty()) list.push(arena, group_entry(arena, group));
  Value out = Value::object(arena, 3);
  out.add(arena, "kind", Value::view("APIGroupList"));
  out.add(arena, "apiVersion", Value::view("v1"));
  out.add(arena, "groups", list);
  return write_json(out);
}

std::string api_group(std::span<const Table* const> tables, std::string_view name) {
  Arena arena;
  for (const Group& group : groups_of(tables)) {
    if (group.name != name || name.empty()) continue;
    Value out = Value::object(arena, 5);
    out.add(arena, "kind", Value::view("APIGroup"));
    out.add(arena, "apiVersion", Value::view("v1"));
    const Value entry = group_entry(arena, group);
    for (const Member& member : entry.members()) out.add(arena, member.key, member.value);
    return write_json(out);
  }
  return {};
}

std::string api_resource_list(std::span<const Table* const> tables, std::string_view group, std::string_view version) {
  Arena arena;
  Value list = Value::array(arena);
  bool found = false;
  for (const Table* table : tables)
    if (const GroupVersionView gv = table->find(group, version); gv && gv.resource_count() > 0) {
      found = true;
      for (size_t i = 0; i < gv.resource_count(); ++i) add_legacy(arena, list, gv.resource(i));
    }
  if (!found) return {};
  Value out = Value::object(arena, 4);
  out.add(arena, "kind", Value::view("APIResourceList"));
  if (!group.empty()) out.add(arena, "apiVersion", Value::view("v1"));
  out.add(arena, "groupVersion", Value::text(arena, group.empty() ? std::string(version) : cat(group, "/", version)));
  out.add(arena, "resources", list);
  return write_json(out);
}

}  // namespace proa::kube
