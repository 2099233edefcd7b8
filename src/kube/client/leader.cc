#include "kube/client/leader.h"

#include "base/error.h"
#include "base/log.h"
#include "kube/client/events.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

constexpr double kJitter = 1.2;  // client-go's

Value micro_time(Arena& arena, const Clock& clock) {
  const int64_t nanos = clock.wall().time_since_epoch().count();
  return Value::text(arena, format_micro_time({.seconds = nanos / 1'000'000'000,
                                               .nanos = static_cast<int32_t>(nanos % 1'000'000'000)}));
}

}  // namespace

Target LeaderElection::target() const {
  return {.group = "coordination.k8s.io",
          .version = "v1",
          .resource = "leases",
          .ns = options_.ns,
          .name = options_.name,
          .subresource = ""};
}

// Whether it may be taken: nobody has it, this one does, or it has not been renewed for long enough.
bool LeaderElection::observe(const Value& lease, MonotonicTime now) {
  const std::string_view version = lease.string({"metadata", "resourceVersion"});
  if (version != version_) {
    version_ = version;
    holder_ = lease.string({"spec", "holderIdentity"});
    observed_ = now;
  }
  return holder_.empty() || holder_ == options_.identity || now - observed_ >= options_.lease_duration;
}

Value LeaderElection::spec(Arena& arena, const Value& before) const {
  const Value now = micro_time(arena, around_.clock);
  const bool same = before.string("holderIdentity") == options_.identity;
  const int64_t transitions = before.get("leaseTransitions").as_int();
  const auto duration = std::chrono::duration_cast<std::chrono::seconds>(options_.lease_duration);
  Value out = clone_shape(arena, before.is_null() ? Value::object(arena) : before);
  out.set(arena, "holderIdentity", Value::text(arena, options_.identity));
  out.set(arena, "leaseDurationSeconds", Value::integer(duration.count()));
  out.set(arena, "acquireTime", same ? before.get("acquireTime") : now);
  out.set(arena, "renewTime", now);
  out.set(arena, "leaseTransitions", Value::integer(before.is_null() || same ? transitions : transitions + 1));
  return out;
}

net::Task<Answer<>> LeaderElection::make(MonotonicTime now) {
  Arena arena;
  Value metadata = Value::object(arena), lease = Value::object(arena);
  metadata.add(arena, "name", Value::text(arena, options_.name));
  metadata.add(arena, "namespace", Value::text(arena, options_.ns));
  lease.add(arena, "apiVersion", Value::view("coordination.k8s.io/v1"));
  lease.add(arena, "kind", Value::view("Lease"));
  lease.add(arena, "metadata", metadata);
  lease.add(arena, "spec", spec(arena, Value()));
  won(CO_TRY(co_await client_.create(arena, target(), lease)), now);
  co_return Answer<>();
}

net::Task<Answer<>> LeaderElection::take(MonotonicTime now) {
  Arena arena;
  // Of the lease that was judged, and no other.
  const std::string judged = version_;
  won(CO_TRY(co_await client_.write(arena, target(),
                                    [&](Arena& memory, const Value& lease) -> Answer<Value> {
                                      if (lease.string({"metadata", "resourceVersion"}) != judged)
                                        return refuse(conflict("leases.coordination.k8s.io", options_.name));
                                      Value out = clone_shape(memory, lease);
                                      out.set(memory, "spec", spec(memory, lease.get("spec")));
                                      return out;
                                    })),
      now);
  co_return Answer<>();
}

void LeaderElection::won(const Value& lease, MonotonicTime now) {
  version_ = lease.string({"metadata", "resourceVersion"});
  holder_ = options_.identity;
  observed_ = now;
  leader_ = true;
  until_ = now + options_.renew_deadline;
}

net::Task<> LeaderElection::attempt() {
  // The write may take long: what it gives counts from before it.
  const MonotonicTime now = around_.clock.monotonic();
  const bool led = leads();
  const auto found = client_.get(target());
  if (!found && found.error().code != 404) {
    log::warning("lease ", options_.name, ": ", found.error().message);
    co_return;
  }
  if (found && !observe((*found)->root(), now)) {
    leader_ = false;
    co_return;
  }
  const auto done = found ? co_await take(now) : co_await make(now);
  if (!done) {
    log::debug("lease ", options_.name, ": ", done.error().message);
    co_return;
  }
  if (led) co_return;
  log::info(options_.identity, " leads now");
  if (const auto lease = client_.get(target()))
    co_await record_event(client_, around_,
                          {.object = (*lease)->root(),
                           .type = "Normal",
                           .reason = "LeaderElection",
                           .message = cat(options_.identity, " became leader"),
                           .component = options_.name});
}

std::chrono::nanoseconds LeaderElection::pause() const {
  if (leads()) return options_.retry_period;
  const auto most = static_cast<uint64_t>(static_cast<double>(options_.retry_period.count()) * kJitter);
  return options_.retry_period + std::chrono::nanoseconds(around_.random() % (most + 1));
}

net::Task<> LeaderElection::release() {
  if (!leads()) co_return;
  leader_ = false;
  Arena arena;
  const auto done = co_await client_.write(arena, target(), [&](Arena& memory, const Value& lease) -> Answer<Value> {
    if (lease.string({"spec", "holderIdentity"}) != options_.identity)
      return refuse(conflict("leases.coordination.k8s.io", options_.name));
    Value out = clone_shape(memory, lease);
    Value free = spec(memory, lease.get("spec"));
    free.erase("holderIdentity");
    free.set(memory, "leaseDurationSeconds", Value::integer(1));
    out.set(memory, "spec", free);
    return out;
  });
  if (!done) log::debug("lease ", options_.name, ": ", done.error().message);
}

}  // namespace proa::kube::api
