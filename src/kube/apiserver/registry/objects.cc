#include "kube/apiserver/registry/objects.h"

#include <utility>

#include "base/log.h"
#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/registry/metadata.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/strategy.h"
#include "kube/custom/custom.h"
#include "kube/patch/managed_fields.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr int kMostNames = 8;  // that are tried for generateName
// Of which each lost to another that won: many when all clients count against one quota.
constexpr int kMostAttempts = 1024;
// What the tries of one write may take, since none gives its memory back before the last.
constexpr size_t kMostMemory = 128u << 20;

Value without_status(Arena& arena, const Value& object) {
  Value out = Value::object_of(arena, object.members());
  out.erase("status");
  return out;
}

// The object with only its status from `sent`; and, of built-in kinds, its metadata but for the labels of all but pods.
Value with_status_of(Arena& arena, const Resource& resource, const Value& sent, const Value& old_object) {
  Value out = Value::object_of(arena, old_object.members());
  const Value* status = sent.find("status");
  if (status != nullptr && !status->is_null())
    out.set(arena, "status", *status);
  else
    out.erase("status");
  Value metadata = Value::object_of(arena, sent.get("metadata").members());
  if (resource.custom) {
    metadata = Value::object_of(arena, old_object.get("metadata").members());
    for (const std::string_view field : {"managedFields", "resourceVersion", "uid"}) {
      const Value* given = sent.find({"metadata", field});
      if (given != nullptr) metadata.set(arena, field, *given);
    }
  } else if (resource.view.plural() != "pods") {
    const Value labels = old_object.get({"metadata", "labels"});
    labels.is_null() ? static_cast<void>(metadata.erase("labels"))
                     : static_cast<void>(metadata.set(arena, "labels", labels));
  }
  out.set(arena, "metadata", metadata);
  return out;
}

Value with_old_status(Arena& arena, const Value& object, const Value& old_object) {
  Value out = without_status(arena, object);
  if (const Value* status = old_object.find("status")) out.set(arena, "status", *status);
  return out;
}

bool has_status(const Resource& resource) { return resource.view.find_subresource("status").has_value(); }

Answer<Value> conform_stored(Arena& arena, const Resource& resource, const Value& object) {
  auto out = conform_as(arena, body_kind(resource, ""), object);
  if (!out) return refuse(bad_request(out.error().message()));
  return *out;
}

Answer<> validate(const Admission& w) {
  std::vector<FieldError> errors;
  if (w.resource.custom)
    errors = validate_custom(w.resource.view, w.object, w.old_object, w.subresource);
  else if (w.old_object.is_null())
    errors = validate_create(w.resource.view, w.object);
  else
    errors = validate_update(w.resource.view, w.object, w.old_object, w.subresource);
  if (errors.empty()) return {};
  return refuse(invalid(w.resource.group(), w.resource.kind(), w.object.string({"metadata", "name"}), errors));
}

// Counts a change of what is wanted.
void count_generation(Admission& w) {
  if (!w.resource.strategy->generation) return;
  Value& metadata = w.object.child(w.arena, "metadata");
  if (w.old_object.is_null()) {
    metadata.set(w.arena, "generation", Value::integer(1));
    return;
  }
  const int64_t before = w.old_object.get({"metadata", "generation"}).as_int();
  if (metadata.get("generation").as_int() > before) return;  // by the strategy
  if (w.subresource != "status" && w.subresource != "binding" && differs_in_content(w.object, w.old_object))
    metadata.set(w.arena, "generation", Value::integer(before + 1));
}

}  // namespace

ApiError store_refusal(const Error& error, std::string_view key) {
  if (store::is(error, store::Code::kTooLarge)) return entity_too_large("the object does not fit into the store");
  if (store::is(error, store::Code::kUncertain))
    return timed_out("request did not complete within the allotted timeout", 0);
  if (store::is(error, store::Code::kUnavailable)) return unavailable(error.message());
  log::warning("write ", key, ": ", error.message());
  return internal_error(error.message());
}

Value Objects::shown(const Context& context, const Value& object) const {
  if (context.subresource.empty() || object.is_null()) return object;
  const Subresource* special = parts_.subresources.find(*context.resource, context.subresource);
  if (special == nullptr || !special->show) return object;
  return special->show(context.arena, *context.resource, object);
}

Answer<StoredPtr> Objects::get(const Context& context) const {
  const auto record = parts_.store.get(context.resource->key(context.ns, context.name));
  if (!record) return refuse(store_refusal(record.error(), context.name));
  if (*record == nullptr) return refuse(not_found(context.resource->qualified, context.name));
  return parse_record(*record);
}

// What the client wants, in the place of what is there: with the server's own fields, and who owns which.
Answer<Value> Objects::changed(Context& context, Mode mode, const Change& change, const Value& old_object) const {
  Arena& arena = context.arena;
  const Resource& resource = *context.resource;
  Value object = TRY(change(arena, old_object));
  const bool creates = old_object.is_null();
  object = Value::object_of(arena, object.members());
  TRY(check_address(context, creates && mode == Mode::kCreate ? Operation::kCreate : Operation::kUpdate, object));
  if (creates) {
    if (has_status(resource) && !resource.strategy->status_on_create) object = without_status(arena, object);
  } else if (context.subresource == "status") {
    object = with_status_of(arena, resource, object, old_object);
  } else if (has_status(resource) && context.subresource.empty()) {
    object = with_old_status(arena, object, old_object);
  }
  if (creates) {
    // What is made by PUT or apply: a version in it is of something that is gone.
    if (mode == Mode::kCreateOrUpdate) object.child(arena, "metadata").erase("resourceVersion");
    TRY(begin_metadata(context, object, parts_.now()));
  } else {
    TRY(continue_metadata(context, object, old_object));
  }
  return object;
}

// Upstream's order around admission; `w.object` conforms before and after.
Answer<> Objects::admit(Admission& w, const Context& context) const {
  const Strategy& strategy = *w.resource.strategy;
  TRY(parts_.admission.mutate(w));
  if (strategy.prepare != nullptr) strategy.prepare(w);
  w.object = TRY(conform_stored(w.arena, *context.resource, w.object));
  if (strategy.allocate != nullptr) TRY(strategy.allocate(w, parts_.reader));
  count_generation(w);
  if (auto fine = validate(w); !fine) return fine;
  if (strategy.warn != nullptr) strategy.warn(w);
  return parts_.admission.validate(w);
}

// An object that goes with the transaction.
void Objects::plan_removal(Admission& w, const Context& context, const store::Record& record, Attempt& out) const {
  const Value kept = w.object;
  w.object = Value();
  if (context.resource->strategy->removed != nullptr) context.resource->strategy->removed(w, parts_.reader);
  parts_.admission.removed(w);
  w.object = kept;
  out.txn.success.emplace_back(store::Delete{.key = std::string(record.key()), .end = ""});
  out.removes = true;
}

Answer<Objects::Attempt> Objects::attempt(Context& context, Mode mode, const WriteOptions& options,
                                          const Change& change) const {
  const Resource& resource = *context.resource;
  Arena& arena = context.arena;
  Attempt out;
  if (!context.name.empty()) {
    auto found = parts_.store.get(resource.key(context.ns, context.name));
    if (!found) return refuse(store_refusal(found.error(), context.name));
    out.record = std::move(*found);
  }
  if (mode == Mode::kCreate) out.record = nullptr;  // the transaction finds out
  if (out.record == nullptr && mode == Mode::kUpdate) return refuse(not_found(resource.qualified, context.name));
  Value old_object;
  if (out.record != nullptr) old_object = TRY(read_record(arena, *context.catalog, resource, *out.record));
  const bool creates = old_object.is_null();

  Value object = TRY(changed(context, mode, change, old_object));
  if (!options.in_form) object = TRY(conform_stored(arena, resource, object));
  if (!options.applied) {
    Value live = old_object;
    if (creates) live = TRY(empty_object(arena, resource));
    const FieldWriter writer{.manager = options.field_manager,
                             .api_version = arena.copy(resource.api_version()),
                             .subresource = context.subresource,
                             .now = parts_.now()};
    // Fields that cannot be told apart have no owners; the write goes on, as upstream's.
    if (const auto told = update_managed_fields(arena, resource.view.type(), live, object, writer); !told)
      log::debug("managed fields of ", resource.qualified, ": ", told.error().message());
  }

  const std::string_view name = object.string({"metadata", "name"});
  Admission w{.operation = creates ? Operation::kCreate : Operation::kUpdate,
              .resource = resource,
              .subresource = context.subresource,
              .ns = context.ns,
              .name = name,
              .user = *context.user,
              .dry_run = options.dry_run,
              .arena = arena,
              .object = object,
              .old_object = old_object,
              .now = parts_.now()};
  auto admitted = admit(w, context);
  context.warnings.insert(context.warnings.end(), w.warnings.begin(), w.warnings.end());
  context.annotations.insert(context.annotations.end(), w.annotations.begin(), w.annotations.end());
  if (!admitted) return refuse(std::move(admitted.error()));
  out.object = w.object;
  out.created = creates;
  out.generated = creates && !w.object.string({"metadata", "generateName"}).empty();
  out.key = resource.key(context.ns, name);
  if (!creates && settle_unchanged(arena, out.object, old_object) && w.together.success.empty()) {
    out.unchanged = true;
    return out;
  }

  out.txn.compares.push_back(creates ? store::Compare::absent(out.key)
                                     : store::Compare::unchanged(out.key, out.record->mod_revision()));
  if (!creates && goes_now(resource, out.object)) {
    plan_removal(w, context, *out.record, out);
  } else {
    Value stored = TRY(convert(arena, resource, *resource.storage, out.object));
    out.txn.success.emplace_back(store::Put{.draft = stored_draft(out.key, *resource.storage, stored)});
  }
  out.take(std::move(w.together));
  return out;
}

void Objects::committed(const Resource& resource) const {
  if (resource.strategy->defines && parts_.definitions_changed) parts_.definitions_changed();
}

net::Task<Answer<Written>> Objects::store(Context& context, Mode mode, const WriteOptions& options,
                                          const Change& change) {
  const size_t warnings = context.warnings.size(), annotations = context.annotations.size();
  int names = 0;
  bool current = false;  // a refusal does not come from what was there a moment ago
  for (int tries = 0; tries < kMostAttempts && context.arena.reserved() < kMostMemory; ++tries) {
    context.warnings.resize(warnings);
    context.annotations.resize(annotations);
    auto prepared = attempt(context, mode, options, change);
    if (!prepared) {
      if (!std::exchange(current, true) && parts_.store.may_lag() && co_await parts_.store.fresh()) continue;
      co_return refuse(std::move(prepared.error()));
    }
    Attempt& now = *prepared;
    if (now.unchanged) co_return Written{.object = shown(context, now.object), .record = now.record};
    if (options.dry_run) {
      const auto there = parts_.store.get(now.key);
      if (now.created && there && *there != nullptr)
        co_return refuse(already_exists(context.resource->qualified, now.object.string({"metadata", "name"})));
      co_return Written{.object = shown(context, now.object), .created = now.created};
    }
    auto result = co_await parts_.store.commit(std::move(now.txn));
    if (!result) co_return refuse(store_refusal(result.error(), now.key));
    if (result->succeeded) {
      committed(*context.resource);
      Written out{.object = now.object, .created = now.created};
      if (!now.removes) out.record = result->results[0].record;
      set_version(context.arena, out.object, result->revision);
      out.object = shown(context, out.object);
      co_return out;
    }
    static_cast<void>(co_await parts_.store.fresh());
    const auto there = parts_.store.get(now.key);
    if (mode == Mode::kCreate && there && *there != nullptr) {
      const bool generated = context.name.empty() && now.generated;
      if (!generated || ++names >= kMostNames)
        co_return refuse(already_exists(context.resource->qualified, now.object.string({"metadata", "name"})));
    }
  }
  co_return refuse(conflict(context.resource->qualified, context.name));
}

net::Task<Answer<Written>> Objects::write(Context& context, Operation operation, const WriteOptions& options,
                                          Change change) {
  co_return co_await store(context, operation == Operation::kCreate ? Mode::kCreate : Mode::kUpdate, options, change);
}

net::Task<Answer<Written>> Objects::create(Context& context, Value object, const WriteOptions& options) {
  const Subresource* special = parts_.subresources.find(*context.resource, context.subresource);
  if (special != nullptr && special->create) co_return co_await special->create(*this, context, object, options);
  if (!context.subresource.empty() || (context.resource->view.verbs() & (kGet | kList)) == 0)
    co_return refuse(method_not_supported(context.resource->qualified, "create"));
  const Change change = [object](Arena&, const Value&) -> Answer<Value> { return object; };
  co_return co_await store(context, Mode::kCreate, options, change);
}

net::Task<Answer<Written>> Objects::update(Context& context, Value object, const WriteOptions& options) {
  if (object.string("kind") == context.resource->kind()) CO_TRY(check_address(context, Operation::kUpdate, object));
  const Subresource* special =
      context.subresource.empty() ? nullptr : parts_.subresources.find(*context.resource, context.subresource);
  const Change change = [&, object](Arena&, const Value& old_object) -> Answer<Value> {
    if (special != nullptr && special->take) return special->take(context, old_object, object);
    return object;
  };
  const bool may_create = context.subresource.empty() && context.resource->strategy->create_on_update;
  co_return co_await store(context, may_create ? Mode::kCreateOrUpdate : Mode::kUpdate, options, change);
}

}  // namespace proa::kube::api
