// Services: families, addresses, ports on nodes, and what of them goes when the type changes.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/registry/strategies/allocation.h"
#include "kube/apiserver/registry/strategies/strategies.h"
#include "kube/object/json.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

// Of a service's spec.
bool needs_address(const Value& spec) { return spec.is_object() && spec.string("type") != "ExternalName"; }
bool needs_node_ports(const Value& spec) {
  const std::string_view type = spec.string("type");
  if (type == "NodePort") return true;
  const Value allocates = spec.get("allocateLoadBalancerNodePorts");
  return type == "LoadBalancer" && (!allocates.is_bool() || allocates.as_bool());
}
bool needs_health_port(const Value& spec) {
  return spec.string("type") == "LoadBalancer" && spec.string("externalTrafficPolicy") == "Local";
}
bool reached_from_outside(const Value& spec) {
  const std::string_view type = spec.string("type");
  return type == "NodePort" || type == "LoadBalancer" || (type == "ClusterIP" && spec.get("externalIPs").size() > 0);
}
bool headless(const Value& spec) { return spec.string("clusterIP") == "None"; }

Value one(Arena& arena, const Value& item) {
  Value out = Value::array(arena, 1);
  out.push(arena, item);
  return out;
}

// clusterIP and the first of clusterIPs are the same field under two names; who changes one means both.
void settle_addresses(Arena& arena, Value& spec, const Value& before) {
  const Value address = spec.get("clusterIP"), list = spec.get("clusterIPs");
  if (before.is_null()) {
    if (!address.as_string().empty() && list.size() == 0) spec.set(arena, "clusterIPs", one(arena, address));
    return;
  }
  const bool same_address = address.as_string() == before.string("clusterIP");
  const bool same_list = equal(list, before.get("clusterIPs"));
  if (!same_address && same_list) {
    if (address.as_string().empty())
      spec.erase("clusterIPs");
    else
      spec.set(arena, "clusterIPs", one(arena, address));
  } else if (same_address && !same_list) {
    if (list.size() == 0)
      spec.erase("clusterIP");
    else if (spec.string("clusterIP") != list.items()[0].as_string())
      spec.set(arena, "clusterIP", list.items()[0]);
  }
}

// What the client leaves out stays as it was given.
void keep_allocated(Arena& arena, Value& spec, const Value& before) {
  if (needs_address(before) && needs_address(spec) && spec.string("clusterIP").empty() &&
      spec.get("clusterIPs").size() == 0)
    for (const std::string_view field : {"clusterIP", "clusterIPs"})
      if (const Value* known = before.find(field)) spec.set(arena, field, *known);
  if (needs_node_ports(before) && needs_node_ports(spec)) {
    std::set<int64_t> used;
    for (const Value& port : spec.get("ports").items()) used.insert(port.get("nodePort").as_int());
    for (Value& port : spec.get("ports").items()) {
      if (port.get("nodePort").as_int() != 0) continue;
      for (const Value& known : before.get("ports").items())
        if (known.string("name") == port.string("name") && !used.contains(known.get("nodePort").as_int()))
          port.set(arena, "nodePort", known.get("nodePort"));
    }
  }
  if (needs_health_port(before) && needs_health_port(spec) && spec.get("healthCheckNodePort").as_int() == 0)
    if (const Value* known = before.find("healthCheckNodePort")) spec.set(arena, "healthCheckNodePort", *known);
}

// What the new type has no use for goes, if the client did not touch it.
void drop_unneeded(Value& spec, const Value& before) {
  const auto drop = [&](std::initializer_list<std::string_view> fields) {
    for (const std::string_view field : fields)
      if (equal(spec.get(field), before.get(field))) spec.erase(field);
  };
  if (needs_address(before) && !needs_address(spec)) drop({"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"});
  if (needs_node_ports(before) && !needs_node_ports(spec)) {
    const auto ports = [](const Value& of) {
      std::vector<int64_t> out;
      for (const Value& port : of.get("ports").items()) out.push_back(port.get("nodePort").as_int());
      return out;
    };
    if (ports(spec) == ports(before))
      for (Value& port : spec.get("ports").items()) port.erase("nodePort");
  }
  if (needs_health_port(before) && !needs_health_port(spec)) drop({"healthCheckNodePort"});
  const bool balanced = before.string("type") == "LoadBalancer";
  if (balanced && spec.string("type") != "LoadBalancer") drop({"allocateLoadBalancerNodePorts", "loadBalancerClass"});
  if (reached_from_outside(before) && !reached_from_outside(spec)) drop({"externalTrafficPolicy"});
}

// --- families

struct Families {
  bool v4 = false, v6 = false, v6_first = false;
  bool both() const { return v4 && v6; }
};

Families families_of(const std::vector<AddressRange>& ranges) {
  Families out{.v6_first = ranges.front().v6};
  for (const AddressRange& range : ranges) (range.v6 ? out.v6 : out.v4) = true;
  return out;
}

Value family(bool v6) { return Value::view(v6 ? "IPv6" : "IPv4"); }

std::string json(const Value& value) { return write_json(value); }

void add_other_family(Arena& arena, Value& spec) {
  Value list = Value::array(arena, 2);
  const Value first = spec.get("ipFamilies").items()[0];
  list.push(arena, first);
  list.push(arena, family(first.as_string() == "IPv4"));
  spec.set(arena, "ipFamilies", list);
}

// Fewer families than before: the second of everything goes.
void narrow(Arena& arena, Value& spec, const Value& before) {
  if (before.is_null() || spec.string("ipFamilyPolicy") != "SingleStack") return;
  const std::string_view old_policy = before.string("ipFamilyPolicy");
  if (old_policy.empty() || old_policy == "SingleStack") return;
  for (const std::string_view field : {"clusterIPs", "ipFamilies"})
    if (const Value list = spec.get(field); list.size() == 2 && equal(list, before.get(field)))
      spec.set(arena, field, one(arena, list.items()[0]));
}

void infer_families(Arena& arena, Value& spec) {
  const std::span<Value> addresses = spec.get("clusterIPs").items();
  if (spec.string("ipFamilyPolicy").empty() && (addresses.size() == 2 || spec.get("ipFamilies").size() == 2))
    spec.set(arena, "ipFamilyPolicy", Value::view("RequireDualStack"));
  if (spec.get("ipFamilies").size() >= addresses.size()) return;
  Value list = Value::array(arena, 2);
  for (size_t i = 0; i < addresses.size(); ++i) {
    bool v6 = false;
    if (!parse_address(addresses[i].as_string(), v6)) return;  // None, or validation's
    const std::span<Value> given = spec.get("ipFamilies").items();
    list.push(arena, i < given.size() ? given[i] : family(v6));
  }
  spec.set(arena, "ipFamilies", list);
}

std::vector<FieldError> set_families(Arena& arena, Value& spec, const Families& cluster) {
  std::vector<FieldError> errors;
  infer_families(arena, spec);
  if (headless(spec) && spec.get("selector").size() == 0) {
    if (spec.string("ipFamilyPolicy").empty()) spec.set(arena, "ipFamilyPolicy", Value::view("RequireDualStack"));
    if (spec.get("ipFamilies").size() == 0) spec.set(arena, "ipFamilies", one(arena, family(cluster.v6_first)));
    if (spec.get("ipFamilies").size() < 2 && spec.string("ipFamilyPolicy") != "SingleStack")
      add_other_family(arena, spec);
    return errors;
  }
  const std::string_view policy = spec.string("ipFamilyPolicy");
  if (policy == "RequireDualStack" && !cluster.both())
    errors.push_back({FieldError::Type::kInvalid, "spec.ipFamilyPolicy", "\"RequireDualStack\"",
                      "this cluster is not configured for dual-stack services"});
  const std::span<Value> given = spec.get("ipFamilies").items();
  for (size_t i = 0; i < given.size(); ++i)
    if (!(given[i].as_string() == "IPv6" ? cluster.v6 : cluster.v4))
      errors.push_back({FieldError::Type::kInvalid, cat("spec.ipFamilies[", i, "]"), json(given[i]),
                        "not configured on this cluster"});
  if (!errors.empty()) return errors;
  if (policy.empty()) spec.set(arena, "ipFamilyPolicy", Value::view("SingleStack"));
  if (given.empty()) spec.set(arena, "ipFamilies", one(arena, family(cluster.v6_first)));
  if (spec.string("ipFamilyPolicy") != "SingleStack" && spec.get("ipFamilies").size() == 1 && cluster.both())
    add_other_family(arena, spec);
  return errors;
}

// --- taking and giving

std::vector<std::string> addresses_of(const Value& spec) {
  std::vector<std::string> out;
  if (!needs_address(spec) || headless(spec)) return out;
  for (const Value& address : spec.get("clusterIPs").items()) out.emplace_back(address.as_string());
  return out;
}

std::set<int> ports_of(const Value& spec) {
  std::set<int> out;
  for (const Value& port : spec.get("ports").items())
    if (port.get("nodePort").as_int() != 0) out.insert(static_cast<int>(port.get("nodePort").as_int()));
  if (spec.get("healthCheckNodePort").as_int() != 0)
    out.insert(static_cast<int>(spec.get("healthCheckNodePort").as_int()));
  return out;
}

std::string texts_of(const std::vector<AddressRange>& ranges, bool v6) {
  std::vector<std::string> out;
  for (const AddressRange& range : ranges)
    if (range.v6 == v6) out.push_back(range.text);
  return join(out, ", ");
}

class ServiceAllocation {
 public:
  ServiceAllocation(Admission& w, const Reader& reader)
      : w_(w), allocator_(w, reader), ranges_(service_ranges(reader)), spec_(w.object.child(w.arena, "spec")) {}

  Answer<> run() {
    const Value before = w_.old_object.get("spec");
    if (needs_address(spec_)) {
      narrow(w_.arena, spec_, before);
      errors_ = set_families(w_.arena, spec_, families_of(ranges_));
      if (errors_.empty()) addresses(before);
    }
    if (errors_.empty()) ports(before);
    if (!errors_.empty()) return refuse(invalid("", "Service", w_.object.string({"metadata", "name"}), errors_));
    give_back(before);
    return {};
  }

 private:
  void wrong(std::string field, std::string value, std::string detail) {
    errors_.push_back({FieldError::Type::kInvalid, std::move(field), std::move(value), std::move(detail)});
  }

  void addresses(const Value& before) {
    if (headless(spec_)) return;
    const std::vector<std::string> had = addresses_of(before), given = addresses_of(spec_);
    const std::span<Value> families = spec_.get("ipFamilies").items();
    Value list = Value::array(w_.arena, families.size());
    for (size_t i = 0; i < families.size(); ++i) {
      const bool v6 = families[i].as_string() == "IPv6";
      std::string address = i < given.size() ? given[i] : std::string();
      if (address.empty()) {
        auto any = allocator_.any_address(ranges_, v6);
        if (!any)
          return wrong("spec.clusterIPs", json(spec_.get("clusterIPs")),
                       "failed to allocate a serviceIP: range is full");
        address = *any;
      } else if (std::ranges::find(had, address) == had.end() && !take(address)) {
        return;
      }
      list.push(w_.arena, Value::text(w_.arena, address));
    }
    if (list.size() == 0) return;
    spec_.set(w_.arena, "clusterIP", list.items()[0]);
    spec_.set(w_.arena, "clusterIPs", list);
  }

  bool take(const std::string& address) {
    bool v6 = false;
    const auto number = parse_address(address, v6);
    if (!number) return true;  // validation's
    const bool inside = std::ranges::any_of(
        ranges_, [&](const AddressRange& range) { return range.v6 == v6 && range.contains(*number); });
    const std::string value = json(spec_.get("clusterIPs"));
    if (!inside) {
      wrong("spec.clusterIPs", value,
            cat("failed to allocate IP ", address,
                ": the provided network does not match the current range: ", texts_of(ranges_, v6)));
      return false;
    }
    if (allocator_.take_address(address, v6)) return true;
    wrong("spec.clusterIPs", value, cat("failed to allocate IP ", address, ": provided IP is already allocated"));
    return false;
  }

  // Of a number that was there before or is taken now.
  bool take_port(int port, std::set<int>& own, const std::string& field) {
    if (own.contains(port)) return true;
    if (port < kFirstNodePort || port > kLastNodePort) {
      wrong(field, cat(port),
            cat("provided port is not in the valid range. The range of valid ports is ", kFirstNodePort, "-",
                kLastNodePort));
      return false;
    }
    if (!allocator_.take_port(port)) {
      wrong(field, cat(port), "provided port is already allocated");
      return false;
    }
    own.insert(port);
    return true;
  }

  void ports(const Value& before) {
    std::set<int> own = ports_of(before);
    const std::span<Value> all = spec_.get("ports").items();
    for (size_t i = 0; i < all.size(); ++i)
      if (const auto given = static_cast<int>(all[i].get("nodePort").as_int());
          given != 0 && !take_port(given, own, cat("spec.ports[", i, "].nodePort")))
        return;
    if (needs_node_ports(spec_))
      for (size_t i = 0; i < all.size(); ++i) {
        if (all[i].get("nodePort").as_int() != 0) continue;
        const int port = shared_port(all, i);
        if (port == 0)
          return wrong(cat("spec.ports[", i, "].nodePort"), "0", "failed to allocate a nodePort: range is full");
        own.insert(port);
        all[i].set(w_.arena, "nodePort", Value::integer(port));
      }
    if (!needs_health_port(spec_)) return;
    if (const auto given = static_cast<int>(spec_.get("healthCheckNodePort").as_int()); given != 0) {
      take_port(given, own, "spec.healthCheckNodePort");
    } else if (const auto any = allocator_.any_port()) {
      spec_.set(w_.arena, "healthCheckNodePort", Value::integer(*any));
    } else {
      wrong("spec.healthCheckNodePort", "0", "failed to allocate a HealthCheck NodePort: range is full");
    }
  }

  // The same port of several protocols is the same on the nodes too.
  int shared_port(std::span<Value> all, size_t at) {
    for (size_t i = 0; i < all.size(); ++i)
      if (i != at && equal(all[i].get("port"), all[at].get("port")) && all[i].get("nodePort").as_int() != 0 &&
          all[i].string("protocol") != all[at].string("protocol"))
        return static_cast<int>(all[i].get("nodePort").as_int());
    return allocator_.any_port().value_or(0);
  }

  void give_back(const Value& before) {
    const std::vector<std::string> now = addresses_of(spec_);
    for (const std::string& address : addresses_of(before))
      if (std::ranges::find(now, address) == now.end()) allocator_.give_address(address);
    const std::set<int> kept = ports_of(spec_);
    for (const int port : ports_of(before))
      if (!kept.contains(port)) allocator_.give_port(port);
  }

  Admission& w_;
  Allocator allocator_;
  const std::vector<AddressRange> ranges_;
  Value& spec_;
  std::vector<FieldError> errors_;
};

}  // namespace

void prepare_service(Admission& w) {
  if (!w.subresource.empty()) return;
  Value& spec = w.object.child(w.arena, "spec");
  const Value before = w.old_object.get("spec");
  settle_addresses(w.arena, spec, before);
  if (!creates(w)) {
    keep_allocated(w.arena, spec, before);
    drop_unneeded(spec, before);
  }
  if (spec.string("type") != "LoadBalancer")
    if (Value* status = w.object.find("status")) status->set(w.arena, "loadBalancer", Value::object(w.arena));
}

Answer<> allocate_service(Admission& w, const Reader& reader) {
  if (!w.subresource.empty()) return {};
  return ServiceAllocation(w, reader).run();
}

void release_service(Admission& w, const Reader& reader) {
  Allocator allocator(w, reader);
  const Value spec = w.old_object.get("spec");
  for (const std::string& address : addresses_of(spec)) allocator.give_address(address);
  for (const int port : ports_of(spec)) allocator.give_port(port);
}

}  // namespace proa::kube::api
