// Binding and eviction of pods; and what is said of pods, services and nodes that cannot be reached.
#include <algorithm>

#include "base/error.h"
#include "kube/apiserver/admission/common.h"
#include "kube/apiserver/registry/subresources.h"
#include "kube/codec/time.h"
#include "kube/selector/label_selector.h"
#include "kube/validation/validate.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

Value success(Arena& arena) {
  Value out = Value::object(arena, 5);
  out.add(arena, "kind", Value::view("Status"));
  out.add(arena, "apiVersion", Value::view("v1"));
  out.add(arena, "metadata", Value::object(arena));
  out.add(arena, "status", Value::view("Success"));
  out.add(arena, "code", Value::integer(201));
  return out;
}

// A call about another object by the same user.
Context context_for(const Context& context, std::string_view group, std::string_view resource, std::string name,
                    std::string subresource) {
  return {.catalog = context.catalog,
          .resource = context.catalog->find(group, "v1", resource),
          .subresource = std::move(subresource),
          .ns = context.ns,
          .name = std::move(name),
          .user = context.user,
          .arena = context.arena,
          .warnings = {},
          .annotations = {}};
}

void hand_on(Context& context, Context& part) {
  std::ranges::move(part.warnings, std::back_inserter(context.warnings));
  std::ranges::move(part.annotations, std::back_inserter(context.annotations));
}

// --- binding

Answer<> check_target(const Value& binding, std::string_view name) {
  std::vector<FieldError> errors;
  const std::string_view kind = binding.string({"target", "kind"});
  if (!kind.empty() && kind != "Node")
    errors.push_back(
        {FieldError::Type::kUnsupported, "target.kind", quoted(kind), "supported values: \"Node\", \"<empty>\""});
  if (binding.string({"target", "name"}).empty())
    errors.push_back({FieldError::Type::kRequired, "target.name", {}, {}});
  if (errors.empty()) return {};
  return refuse(invalid("", "Binding", name, errors));
}

ApiError cannot_bind(std::string_view pod, std::string_view why) { return conflict("pods/binding", pod, why); }

void set_scheduled(Arena& arena, Value& pod, int64_t now) {
  Value& conditions = list_in(arena, pod.child(arena, "status"), "conditions");
  Value condition = Value::object(arena, 5);
  condition.add(arena, "type", Value::view("PodScheduled"));
  condition.add(arena, "status", Value::view("True"));
  condition.add(arena, "lastTransitionTime", Value::text(arena, format_time(now)));
  for (Value& known : conditions.items())
    if (known.string("type") == "PodScheduled") {
      known = condition;
      return;
    }
  conditions.push(arena, condition);
}

Answer<Value> bound(Arena& arena, const Value& pod, const Value& binding, int64_t now) {
  const std::string_view name = pod.string({"metadata", "name"}), node = binding.string({"target", "name"});
  for (const std::string_view field : {"uid", "resourceVersion"}) {
    const std::string_view wanted = binding.string({"metadata", field});
    if (!wanted.empty() && wanted != pod.string({"metadata", field}))
      return refuse(cannot_bind(name, field == "uid" ? cat("Precondition failed: UID in precondition: ", wanted,
                                                           ", UID in object meta: ", pod.string({"metadata", "uid"}))
                                                     : std::string()));
  }
  if (being_deleted(pod))
    return refuse(cannot_bind(name, cat("pod ", name, " is being deleted, cannot be assigned to a host")));
  if (const std::string_view known = pod.string({"spec", "nodeName"}); !known.empty())
    return refuse(cannot_bind(name, cat("pod ", name, " is already assigned to node ", quoted(known))));
  if (pod.get({"spec", "schedulingGates"}).size() > 0)
    return refuse(cannot_bind(name, cat("pod ", name, " has non-empty .spec.schedulingGates")));
  Value out = clone_shape(arena, pod);
  out.child(arena, "spec").set(arena, "nodeName", Value::text(arena, node));
  const Value notes = binding.get({"metadata", "annotations"});
  if (notes.size() > 0)
    for (const Member& note : notes.members())
      out.child(arena, "metadata").child(arena, "annotations").set(arena, note.key, note.value);
  set_scheduled(arena, out, now);
  return out;
}

}  // namespace

net::Task<Answer<Written>> bind_pod(Objects& objects, Context& context, Value binding, WriteOptions options) {
  const std::string name(context.name.empty() ? binding.string({"metadata", "name"}) : context.name);
  const std::string_view inner = binding.string({"metadata", "name"});
  if (!inner.empty() && inner != name)
    co_return refuse(bad_request("name in URL does not match name in Binding object"));
  if (auto fine = check_target(binding, name); !fine) co_return refuse(std::move(fine.error()));
  Context pod = context_for(context, "", "pods", name, "binding");
  const int64_t now = objects.parts().now();
  auto written = co_await objects.write(
      pod, Operation::kUpdate, options,
      [binding, now](Arena& arena, const Value& old_object) { return bound(arena, old_object, binding, now); });
  hand_on(context, pod);
  if (!written) co_return refuse(std::move(written.error()));
  co_return Written{.object = success(context.arena), .created = true};
}

// --- eviction

namespace {

constexpr size_t kMostDisrupted = 2000;

bool is_ready(const Value& pod) {
  const std::span<Value> conditions = pod.get({"status", "conditions"}).items();
  return std::ranges::any_of(conditions, [](const Value& condition) {
    return condition.string("type") == "Ready" && condition.string("status") == "True";
  });
}

// What does not run, or not for long, is nothing that a budget protects.
bool unprotected(const Value& pod) {
  const std::string_view phase = pod.string({"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || being_deleted(pod);
}

// A pod that does not serve now may go without the budget's leave.
bool may_go_unready(const Value& pod, const Value& budget) {
  if (is_ready(pod)) return false;
  if (budget.string({"spec", "unhealthyPodEvictionPolicy"}) == "AlwaysAllow") return true;
  const int64_t wanted = budget.get({"status", "desiredHealthy"}).as_int();
  return wanted > 0 && budget.get({"status", "currentHealthy"}).as_int() >= wanted;
}

ApiError not_now(std::string cause, int retry_after) {
  ApiError out = too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", retry_after);
  out.causes.push_back({"DisruptionBudget", std::move(cause), ""});
  return out;
}

ApiError too_few(std::string_view name, const Value& status) {
  for (const Value& condition : status.get("conditions").items())
    if (condition.string("type") == "DisruptionAllowed" && condition.string("reason") == "SyncFailed")
      return not_now(
          cat("The disruption budget ", name,
              " does not allow evicting pods currently because it failed sync: ", condition.string("message")),
          0);
  return not_now(cat("The disruption budget ", name, " needs ", status.get("desiredHealthy").as_int(),
                     " healthy pods and has ", status.get("currentHealthy").as_int(), " currently"),
                 0);
}

void say_none_left(Arena& arena, Value& status, int64_t now, int64_t generation) {
  Value condition = Value::object(arena, 6);
  condition.add(arena, "type", Value::view("DisruptionAllowed"));
  condition.add(arena, "status", Value::view("False"));
  condition.add(arena, "observedGeneration", Value::integer(generation));
  condition.add(arena, "lastTransitionTime", Value::text(arena, format_time(now)));
  condition.add(arena, "reason", Value::view("InsufficientPods"));
  condition.add(arena, "message", Value::view(""));
  Value& conditions = list_in(arena, status, "conditions");
  for (Value& known : conditions.items())
    if (known.string("type") == "DisruptionAllowed") {
      known = condition;
      return;
    }
  conditions.push(arena, condition);
}

// The budget with one disruption less.
Answer<Value> spent(Arena& arena, const Value& budget, std::string_view pod, int64_t now) {
  const std::string_view name = budget.string({"metadata", "name"});
  const Value before = budget.get("status");
  const int64_t generation = budget.get({"metadata", "generation"}).as_int();
  if (before.get("observedGeneration").as_int() < generation)
    return refuse(not_now(cat("The disruption budget ", name, " is still being processed by the server."), 10));
  const int64_t allowed = before.get("disruptionsAllowed").as_int();
  if (allowed < 0) return refuse(forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative"));
  if (before.get("disruptedPods").size() > kMostDisrupted)
    return refuse(forbidden("poddisruptionbudget.policy", name,
                            "DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
  if (allowed == 0) return refuse(too_few(name, before));
  Value out = clone_shape(arena, budget);
  Value& status = out.child(arena, "status");
  status.set(arena, "disruptionsAllowed", Value::integer(allowed - 1));
  if (allowed == 1) say_none_left(arena, status, now, generation);
  status.child(arena, "disruptedPods").set(arena, arena.copy(pod), Value::text(arena, format_time(now)));
  return out;
}

std::vector<StoredPtr> budgets_for(const Reader& reader, std::string_view ns, const Value& pod) {
  std::vector<StoredPtr> out;
  for (StoredPtr& budget : reader.list("policy", "poddisruptionbudgets", ns)) {
    const auto selector = LabelSelector::of(budget->root().get({"spec", "selector"}));
    if (selector && selector->matches(pod.get({"metadata", "labels"}))) out.push_back(std::move(budget));
  }
  return out;
}

ApiError several_budgets() {
  ApiError out = internal_error("");
  out.message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
  out.reason.clear();
  out.causes.clear();
  return out;
}

}  // namespace

net::Task<Answer<Written>> evict_pod(Objects& objects, Context& context, Value eviction, WriteOptions options) {
  const std::string_view inner = eviction.string({"metadata", "name"});
  if (!inner.empty() && inner != context.name)
    co_return refuse(bad_request("name in URL does not match name in Eviction object"));
  DeleteOptions wanted = CO_TRY(parse_delete_options({}, eviction.get("deleteOptions")));
  wanted.dry_run |= options.dry_run;
  Context target = context_for(context, "", "pods", context.name, "");
  const StoredPtr pod = CO_TRY(objects.get(target));
  if (!unprotected(pod->root())) {
    const std::vector<StoredPtr> budgets = budgets_for(objects.reader(), context.ns, pod->root());
    if (budgets.size() > 1) co_return refuse(several_budgets());
    if (budgets.size() == 1 && !may_go_unready(pod->root(), budgets[0]->root())) {
      Context budget = context_for(context, "policy", "poddisruptionbudgets",
                                   std::string(budgets[0]->root().string({"metadata", "name"})), "status");
      WriteOptions how{.dry_run = wanted.dry_run, .field_manager = options.field_manager};
      const auto taken = co_await objects.write(budget, Operation::kUpdate, how, [&](Arena& arena, const Value& now) {
        return spent(arena, now, context.name, objects.parts().now());
      });
      hand_on(context, budget);
      if (!taken) co_return refuse(taken.error());
    }
  } else if (!wanted.resource_version) {
    // It must not have begun to run meanwhile.
    wanted.resource_version = std::string(pod->root().string({"metadata", "resourceVersion"}));
  }
  auto gone = co_await objects.remove(target, wanted);
  hand_on(context, target);
  if (!gone) co_return refuse(std::move(gone.error()));
  co_return Written{.object = success(context.arena), .created = true};
}

// --- what needs a node

namespace {

bool has_container(const Value& pod, std::string_view name) {
  bool found = false;
  each_container(pod.get("spec"),
                 [&](const Value& container, std::string_view) { found |= container.string("name") == name; });
  return found;
}

std::string names_in(const Value& containers) {
  std::string out;
  for (const Value& container : containers.items()) out.append(out.empty() ? "" : " ").append(container.string("name"));
  return out;
}

Answer<> check_container(const Value& pod, std::string_view wanted) {
  const std::string_view name = pod.string({"metadata", "name"});
  if (!wanted.empty()) {
    if (has_container(pod, wanted)) return {};
    return refuse(bad_request(cat("container ", wanted, " is not valid for pod ", name)));
  }
  const Value containers = pod.get({"spec", "containers"}), inits = pod.get({"spec", "initContainers"});
  if (containers.size() == 1) return {};
  std::string text = cat("a container name must be specified for pod ", name);
  if (containers.size() > 0) text.append(cat(", choose one of: [", names_in(containers), "]"));
  if (containers.size() > 0 && inits.size() > 0)
    text.append(cat(" or one of the init containers: [", names_in(inits), "]"));
  return refuse(bad_request(text));
}

ApiError no_agent(const Reader& reader, std::string_view node) {
  if (reader.get("", "nodes", "", node) == nullptr) return not_found("nodes", node);
  return unavailable(cat("the agent of node ", quoted(node), " cannot be reached"));
}

ApiError pod_refused(const Value& pod, const Reader& reader, std::string_view subresource, std::string_view query) {
  const std::string_view name = pod.string({"metadata", "name"}), node = pod.string({"spec", "nodeName"});
  if (subresource == "proxy") {
    if (pod.string({"status", "podIP"}).empty()) return bad_request("address not allowed");
    return no_agent(reader, node);
  }
  if (subresource != "portforward")
    if (auto fine = check_container(pod, net::Query(query).get("container")); !fine) return std::move(fine.error());
  if (!node.empty()) return no_agent(reader, node);
  // What has never run has logged nothing.
  if (subresource == "log") return {};
  return bad_request(cat("pod ", name, " does not have a host assigned"));
}

}  // namespace

ApiError connect_refused(const Reader& reader, const Context& context, std::string_view query) {
  const std::string_view plural = context.resource->view.plural();
  std::string_view name = context.name;
  if (plural != "pods") {
    // "https:web:443" is the service web.
    if (const size_t colon = name.find(':'); colon != std::string_view::npos) {
      const std::string_view first = name.substr(0, colon), rest = name.substr(colon + 1);
      name = first == "http" || first == "https" ? rest.substr(0, rest.find(':')) : first;
    }
  } else if (context.subresource == "proxy") {
    if (name.starts_with("https:") || name.starts_with("http:")) name.remove_prefix(name.find(':') + 1);
    name = name.substr(0, name.find(':'));
  }
  const StoredPtr found = reader.get("", plural, context.ns, name);
  if (found == nullptr) return not_found(plural, name);
  if (plural == "pods") return pod_refused(found->root(), reader, context.subresource, query);
  if (plural == "services") return unavailable(cat("no endpoints available for service ", quoted(name)));
  return no_agent(reader, name);
}

void add_subresources(Subresources& out) {
  out.add("*/scale",
          {.show = scale_of,
           .take = [](Context& context, const Value& object,
                      const Value& sent) { return with_scale(context.arena, *context.resource, sent, object); },
           .create = nullptr});
  const auto bind = [](Objects& objects, Context& context, Value body, WriteOptions options) {
    return bind_pod(objects, context, body, options);
  };
  out.add("pods/binding", {.show = nullptr, .take = nullptr, .create = bind});
  out.add("bindings", {.show = nullptr, .take = nullptr, .create = bind});
  out.add("pods/eviction", {.show = nullptr,
                            .take = nullptr,
                            .create = [](Objects& objects, Context& context, Value body, WriteOptions options) {
                              return evict_pod(objects, context, body, options);
                            }});
}

}  // namespace proa::kube::api
