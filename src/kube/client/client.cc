#include "kube/client/client.h"

#include <utility>

#include "base/error.h"

namespace proa::kube::api {
namespace {

class OwnClient final : public Client {
 public:
  OwnClient(Objects& objects, const Catalog& catalog, const Authorizer& authorizer, User user, std::string manager)
      : objects_(objects),
        catalog_(catalog),
        authorizer_(authorizer),
        user_(std::move(user)),
        options_({.field_manager = std::move(manager), .validation = FieldValidation::kIgnore}) {}

  const User& user() const override { return user_; }

  Answer<> allowed(std::string_view verb, const Target& target) const override {
    const AccessQuestion question{.user = user_,
                                  .is_resource = true,
                                  .verb = verb,
                                  .group = target.group,
                                  .version = target.version,
                                  .ns = target.ns,
                                  .resource = target.resource,
                                  .subresource = target.subresource,
                                  .name = target.name};
    const Verdict verdict = authorizer_.authorize(question);
    if (verdict.decision != Decision::kAllow) return refuse(access_refused(question, verdict.reason));
    return {};
  }

  Answer<StoredPtr> get(const Target& target) const override {
    Arena arena;
    const Context context = TRY(context_of(arena, "get", target));
    return objects_.get(context);
  }

  Answer<std::vector<StoredPtr>> list(const Target& target) const override {
    Arena arena;
    const Context context = TRY(context_of(arena, "list", target));
    const auto found =
        objects_.reader().store().range(store::Range::of_prefix(context.resource->range_prefix(target.ns)));
    if (!found) return refuse(internal_error(found.error().message()));
    std::vector<StoredPtr> out;
    out.reserve(found->records.size());
    for (const store::RecordPtr& record : found->records) out.push_back(parse_record(record));
    return out;
  }

  net::Task<Answer<Value>> create(Arena& arena, Target target, Value object) override {
    Context context = CO_TRY(context_of(arena, "create", target));
    co_return value_of(co_await objects_.create(context, object, options_));
  }
  net::Task<Answer<Value>> update(Arena& arena, Target target, Value object) override {
    Context context = CO_TRY(context_of(arena, "update", target));
    co_return value_of(co_await objects_.update(context, object, options_));
  }
  net::Task<Answer<Value>> patch(Arena& arena, Target target, PatchKind kind, Value patch) override {
    Context context = CO_TRY(context_of(arena, "patch", target));
    WriteOptions options = options_;
    options.force = kind == PatchKind::kApply;
    co_return value_of(co_await objects_.patch(context, kind, patch, options));
  }
  net::Task<Answer<Deleted>> remove(Arena& arena, Target target, DeleteOptions options) override {
    Context context = CO_TRY(context_of(arena, "delete", target));
    co_return co_await objects_.remove(context, options);
  }
  net::Task<Answer<Value>> write(Arena& arena, Target target, Objects::Change change) override {
    Context context = CO_TRY(context_of(arena, "update", target));
    const ApiError missing = not_found(context.resource->qualified, target.name);
    co_return value_of(co_await objects_.write(context, Operation::kUpdate, options_,
                                               [&](Arena& memory, const Value& now) -> Answer<Value> {
                                                 if (now.is_null()) return refuse(missing);
                                                 return change(memory, now);
                                               }));
  }

 private:
  // With the user's leave.
  Answer<Context> context_of(Arena& arena, std::string_view verb, const Target& target) const {
    Context context{.catalog = catalog_.view(),
                    .subresource = target.subresource,
                    .ns = target.ns,
                    .name = target.name,
                    .user = &user_,
                    .arena = arena};
    context.resource = target.version.empty() ? context.catalog->find(target.group, target.resource)
                                              : context.catalog->find(target.group, target.version, target.resource);
    if (context.resource == nullptr)
      return refuse(not_found(target.group.empty() ? target.resource : cat(target.resource, ".", target.group), ""));
    TRY(allowed(verb, target));
    return context;
  }

  static Answer<Value> value_of(Answer<Written> written) {
    if (!written) return refuse(std::move(written).error());
    return written->object;
  }

  Objects& objects_;
  const Catalog& catalog_;
  const Authorizer& authorizer_;
  const User user_;
  const WriteOptions options_;
};

}  // namespace

std::unique_ptr<Client> make_client(Objects& objects, const Catalog& catalog, const Authorizer& authorizer, User user,
                                    std::string manager) {
  return std::make_unique<OwnClient>(objects, catalog, authorizer, std::move(user), std::move(manager));
}

}  // namespace proa::kube::api
