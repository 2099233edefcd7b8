// DELETE: at once, or by marking the object until nobody holds it any more.
#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/metadata.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/strategy.h"

namespace proa::kube::api {
namespace {

constexpr int kMostAttempts = 1024;
constexpr size_t kMostMemory = 128u << 20;

// Seconds that the object may take to end; nothing if its kind ends at once.
std::optional<int64_t> grace_of(const Resource& resource, const Value& object, const DeleteOptions& options) {
  if (resource.strategy->grace_seconds == nullptr) return std::nullopt;
  const int64_t own = resource.strategy->grace_seconds(object);
  if (own <= 0) return std::nullopt;
  const int64_t wanted = options.grace_seconds.value_or(own);
  return wanted < 0 ? 1 : wanted;
}

}  // namespace

Answer<Objects::Removal> Objects::plan_deletion(Context& context, const DeleteOptions& options) const {
  const Resource& resource = *context.resource;
  const Strategy& strategy = *resource.strategy;
  Arena& arena = context.arena;
  Removal out;
  Attempt& plan = out.attempt;
  plan.key = resource.key(context.ns, context.name);
  auto found = parts_.store.get(plan.key);
  if (!found) return refuse(store_refusal(found.error(), plan.key));
  if (*found == nullptr) return refuse(not_found(resource.qualified, context.name));
  plan.record = std::move(*found);
  const Value old_object = TRY(read_record(arena, *context.catalog, resource, *plan.record));
  TRY(check_preconditions(context, options, old_object));

  Admission w{.operation = Operation::kDelete,
              .resource = resource,
              .subresource = context.subresource,
              .ns = context.ns,
              .name = context.name,
              .user = *context.user,
              .dry_run = options.dry_run,
              .arena = arena,
              .old_object = old_object,
              .now = parts_.now()};
  auto admitted = parts_.admission.mutate(w);
  if (admitted) admitted = parts_.admission.validate(w);
  context.warnings.insert(context.warnings.end(), w.warnings.begin(), w.warnings.end());
  context.annotations.insert(context.annotations.end(), w.annotations.begin(), w.annotations.end());
  if (!admitted) return refuse(std::move(admitted.error()));

  Value object = clone_shape(arena, old_object);
  Value& metadata = object.child(arena, "metadata");
  const Value finalizers = finalizers_for(arena, old_object, options.propagation, strategy.orphans_by_default);
  finalizers.size() > 0 ? static_cast<void>(metadata.set(arena, "finalizers", finalizers))
                        : static_cast<void>(metadata.erase("finalizers"));
  const bool deleting = !metadata.get("deletionTimestamp").is_null();
  const int64_t pending = metadata.get("deletionGracePeriodSeconds").as_int();
  const std::optional<int64_t> grace = grace_of(resource, old_object, options);
  w.object = object;
  if (!deleting) {
    if (strategy.deleting != nullptr) strategy.deleting(w);
    begin_deletion(arena, w.object, w.now, grace.value_or(0));
  } else if (pending > 0) {
    // Only ever sooner than was said before.
    const int64_t wanted = grace ? (options.grace_seconds ? *grace : pending) : 0;
    if (wanted < pending) {
      const int64_t generation = metadata.get("generation").as_int();
      begin_deletion(arena, w.object, w.now, wanted);
      if (generation > 0) w.object.child(arena, "metadata").set(arena, "generation", Value::integer(generation));
    }
  }
  plan.object = w.object;
  plan.txn.compares.push_back(store::Compare::unchanged(plan.key, plan.record->mod_revision()));
  out.still_there = !goes_now(resource, w.object);
  if (!out.still_there) {
    plan_removal(w, context, *plan.record, plan);
  } else if (equal(w.object, old_object)) {
    plan.unchanged = true;
  } else {
    const Value stored = TRY(convert(arena, resource, *resource.storage, w.object));
    plan.txn.success.emplace_back(store::Put{.draft = stored_draft(plan.key, *resource.storage, stored)});
  }
  plan.take(std::move(w.together));
  return out;
}

net::Task<Answer<Deleted>> Objects::remove(Context& context, const DeleteOptions& options) {
  const size_t warnings = context.warnings.size(), annotations = context.annotations.size();
  bool current = false;  // a refusal does not come from what was there a moment ago
  for (int tries = 0; tries < kMostAttempts && context.arena.reserved() < kMostMemory; ++tries) {
    context.warnings.resize(warnings);
    context.annotations.resize(annotations);
    auto planned = plan_deletion(context, options);
    if (!planned) {
      if (!std::exchange(current, true) && parts_.store.may_lag() && co_await parts_.store.fresh()) continue;
      co_return refuse(std::move(planned.error()));
    }
    Removal& now = *planned;
    Deleted out{.object = now.attempt.object, .still_there = now.still_there};
    if (now.attempt.unchanged || options.dry_run) co_return out;
    const auto result = co_await parts_.store.commit(std::move(now.attempt.txn));
    if (!result) co_return refuse(store_refusal(result.error(), now.attempt.key));
    if (result->succeeded) {
      committed(*context.resource);
      set_version(context.arena, out.object, result->revision);
      co_return out;
    }
    static_cast<void>(co_await parts_.store.fresh());
  }
  co_return refuse(conflict(context.resource->qualified, context.name));
}

}  // namespace proa::kube::api
