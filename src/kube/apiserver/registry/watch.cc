#include "kube/apiserver/registry/watch.h"

#include "kube/apiserver/registry/attempt.h"

namespace proa::kube::api {
namespace {

ApiError too_old(store::Revision wanted, store::Revision oldest) {
  return expired(cat("too old resource version: ", wanted, " (", oldest, ")"));
}

// Whether it begins with what is there.
bool begins_with_state(const ListOptions& options, std::optional<store::Revision> from) {
  if (options.send_initial_events) return *options.send_initial_events;
  return !from || *from == 0;
}

}  // namespace

Answer<> Watcher::open(const Context& context, const ListOptions&, store::Revision from) {
  const Resource& resource = *context.resource;
  const std::string* ns = selection_.ns();
  const std::string prefix =
      resource.range_prefix(!context.ns.empty() || ns == nullptr ? std::string_view(context.ns) : *ns);
  store::WatchRequest request{.key = prefix, .end = store::prefix_end(prefix), .from = from};
  if (const std::string* name = selection_.name(); name != nullptr &&
                                                   (!resource.namespaced() || prefix != resource.prefix) &&
                                                   name->find('/') == std::string::npos) {
    request.key = prefix + *name;
    request.end.clear();
  }
  store::Store& store = objects_.parts().store;
  auto watch = store.watch(std::move(request));
  if (!watch && store::is(watch.error(), store::Code::kCompacted)) {
    refused_ = std::make_unique<ApiError>(too_old(from - 1, store.compacted()));
    return {};
  }
  if (!watch) return refuse(store_refusal(watch.error(), prefix));
  watch_ = std::move(*watch);
  return {};
}

net::Task<Answer<std::unique_ptr<Watcher>>> Watcher::begin(const Objects& objects, const Context& context,
                                                           const ListOptions& options) {
  auto selection = Selection::of(*context.catalog, *context.resource, options.label_selector, options.field_selector);
  if (!selection) co_return refuse(std::move(selection.error()));
  std::unique_ptr<Watcher> out(new Watcher(objects, std::move(*selection)));
  const auto from = CO_TRY(parse_revision(options.resource_version));
  if (!begins_with_state(options, from)) {
    CO_TRY(out->open(context, options, from && *from > 0 ? *from + 1 : 0));
    co_return out;
  }
  ListOptions state = options;
  state.limit = 0;
  state.continue_token.clear();
  state.match = VersionMatch::kNotOlderThan;
  out->list_ = CO_TRY(co_await List::begin(objects, context, state));
  CO_TRY(out->open(context, options, out->list_->head().revision + 1));
  co_return out;
}

bool Watcher::select(const store::Event& event, WatchChange& out) const {
  const bool is = !event.record->deleted() && selection_.matches(*event.record);
  const bool was = event.previous != nullptr && selection_.matches(*event.previous);
  if (!is && !was) return false;
  out.type = !is ? WatchChange::Type::kDeleted : was ? WatchChange::Type::kModified : WatchChange::Type::kAdded;
  out.record = is ? event.record : event.previous;
  out.revision = event.record->mod_revision();
  return true;
}

Answer<Changes> Watcher::initial() {
  Changes out{.revision = list_->head().revision};
  for (store::RecordPtr& record : TRY(list_->next())) {
    const store::Revision revision = record->mod_revision();
    out.changes.push_back({WatchChange::Type::kAdded, std::move(record), revision});
  }
  if (out.changes.empty()) {
    list_.reset();
    out.initial_end = true;
  }
  return out;
}

net::Task<Answer<Changes>> Watcher::next() {
  if (refused_) co_return refuse(*refused_);
  if (list_) co_return initial();
  auto batch = co_await watch_->next();
  if (!batch) {
    cancelled_ = store::is(batch.error(), store::Code::kCancelled);
    if (store::is(batch.error(), store::Code::kCompacted) || store::is(batch.error(), store::Code::kSlowWatcher))
      co_return refuse(expired(batch.error().message()));
    co_return refuse(unavailable(batch.error().message()));
  }
  Changes out{.revision = batch->revision};
  out.changes.reserve(batch->events.size());
  for (const store::Event& event : batch->events)
    if (WatchChange change; select(event, change)) out.changes.push_back(std::move(change));
  co_return out;
}

}  // namespace proa::kube::api
