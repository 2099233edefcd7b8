#include "kube/apiserver/access/rbac/reconcile.h"

#include <algorithm>
#include <set>

#include "kube/apiserver/access/rbac/bootstrap.h"
#include "kube/selector/label_selector.h"
#include "net/loop.h"

namespace proa::kube::api {
namespace {

using rbac::BootstrapObject;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

Target target_of(const BootstrapObject& object) {
  return {.group = std::string(kGroup),
          .version = {},
          .resource = object.resource,
          .ns = object.ns,
          .name = object.name,
          .subresource = {}};
}

net::Task<Answer<>> create(Client& client, const BootstrapObject& wanted) {
  Arena arena;
  const auto made = co_await client.create(arena, target_of(wanted), wanted.value(arena));
  // Another server was quicker.
  if (!made && made.error().reason != "AlreadyExists") co_return refuse(made.error());
  co_return Answer<>();
}

net::Task<Answer<>> reconcile(Client& client, const BootstrapObject& wanted) {
  const Target target = target_of(wanted);
  const auto there = client.get(target);
  if (!there && there.error().code != 404) co_return refuse(there.error());
  if (!there) co_return co_await create(client, wanted);
  Arena arena;
  if (rbac::reconciled(arena, (*there)->root(), wanted).is_null()) co_return Answer<>();
  if (rbac::refers_elsewhere((*there)->root(), wanted)) {
    const auto removed = co_await client.remove(arena, target, {});
    if (!removed && removed.error().code != 404) co_return refuse(removed.error());
    co_return co_await create(client, wanted);
  }
  const auto written = co_await client.write(arena, target, [&](Arena& memory, const Value& now) -> Answer<Value> {
    const Value changed = rbac::reconciled(memory, now, wanted);
    return changed.is_null() ? now : changed;
  });
  co_return written ? Answer<>() : refuse(written.error());
}

// What runs side by side, and who waits for the last.
struct Crowd {
  size_t left = 0;
  Answer<> first_error;
  net::Event done;
};

net::Task<> join(Crowd& crowd, net::Task<Answer<>> task) {
  auto result = co_await task;
  if (!result && crowd.first_error) crowd.first_error = std::move(result);
  if (--crowd.left == 0) crowd.done.notify();
}

Target cluster_role(std::string_view name) {
  return {.group = std::string(kGroup),
          .version = {},
          .resource = "clusterroles",
          .ns = {},
          .name = std::string(name),
          .subresource = {}};
}

// The rules of all that the selectors match, by name, each once.
Value aggregated(Arena& arena, const Value& role, const std::vector<StoredPtr>& all) {
  Value rules = Value::array(arena);
  for (const Value& each : role.get({"aggregationRule", "clusterRoleSelectors"}).items()) {
    const auto selector = LabelSelector::of(each);
    if (!selector) continue;
    for (const StoredPtr& other : all) {
      const Value& root = other->root();
      if (root.string({"metadata", "name"}) == role.string({"metadata", "name"}) ||
          !selector->matches(root.get({"metadata", "labels"})))
        continue;
      for (const Value& rule : root.get("rules").items())
        if (std::ranges::none_of(rules.items(), [&](const Value& there) { return equal(there, rule); }))
          rules.push(arena, clone(arena, rule));
    }
  }
  return rules;
}

bool same_rules(const Value& a, const Value& b) {
  return a.size() == b.size() && std::ranges::equal(a.items(), b.items(), equal);
}

class Aggregation : public Controller {
 public:
  std::string_view name() const override { return "clusterrole-aggregation-controller"; }

  void begin(Frame& frame) override {
    client_ = frame.surroundings().client(name());
    frame.informer(kGroup, "clusterroles").add_handler([this, &queue = frame.queue(*this)](const Change& change) {
      const std::string role(change.object().string({"metadata", "name"}));
      if (change.deleted() || change.object().get("aggregationRule").is_null())
        aggregating_.erase(role);
      else
        aggregating_.insert(role);
      for (const std::string& each : aggregating_) queue.add(each);
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) override {
    auto done = co_await aggregate_cluster_role(*client_, key);
    if (!done) co_return refuse(done.error());
    co_return kDone;
  }

 private:
  std::unique_ptr<Client> client_;
  std::set<std::string> aggregating_;
};

}  // namespace

net::Task<Answer<>> aggregate_cluster_role(Client& client, std::string_view name) {
  const Target target = cluster_role(name);
  const auto there = client.get(target);
  if (!there && there.error().code == 404) co_return Answer<>();
  if (!there) co_return refuse(there.error());
  if ((*there)->root().get("aggregationRule").is_null()) co_return Answer<>();
  const auto all = client.list(cluster_role(""));
  if (!all) co_return refuse(all.error());
  Arena arena;
  const Value rules = aggregated(arena, (*there)->root(), *all);
  if (same_rules(rules, (*there)->root().get("rules"))) co_return Answer<>();
  const auto written = co_await client.write(arena, target, [&](Arena& memory, const Value& now) -> Answer<Value> {
    Value changed = clone(memory, now);
    changed.set(memory, "rules", aggregated(memory, now, *all));
    return changed;
  });
  if (!written && written.error().code != 404) co_return refuse(written.error());
  co_return Answer<>();
}

net::Task<Answer<>> reconcile_rbac(Client& client) {
  const auto& policy = rbac::bootstrap_policy();
  Crowd crowd;
  crowd.left = policy.size() + 1;
  for (const BootstrapObject& each : policy) net::Loop::start(join(crowd, reconcile(client, each)));
  if (--crowd.left > 0) co_await crowd.done.wait();
  if (!crowd.first_error) co_return crowd.first_error;
  // In the order of the policy admin is before edit, which it aggregates: once more for what the first round brought.
  for (int round = 0; round < 3; ++round)
    for (const BootstrapObject& each : policy) {
      if (each.aggregates.empty()) continue;
      auto done = co_await aggregate_cluster_role(client, each.name);
      if (!done) co_return done;
    }
  co_return Answer<>();
}

std::unique_ptr<Controller> cluster_role_aggregation() { return std::make_unique<Aggregation>(); }

}  // namespace proa::kube::api
