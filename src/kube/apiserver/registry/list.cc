#include "kube/apiserver/registry/list.h"

#include <chrono>

#include "base/text.h"
#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/cursor.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

constexpr size_t kPortion = 512;
constexpr std::chrono::milliseconds kLongestWait(3000), kWaitStep(10);

constexpr std::string_view kOldContinue =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list.";

ApiError too_large_version(store::Revision wanted, store::Revision current) {
  ApiError out = timed_out(cat("Too large resource version: ", wanted, ", current: ", current), 1);
  out.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  return out;
}

}  // namespace

Answer<std::optional<store::Revision>> parse_revision(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto number = parse_number<store::Revision>(text);
  if (number && *number >= 0) return number;
  ApiError error;  // upstream's words, and its code
  error.code = 500;
  error.message = cat("resourceVersion: Invalid value: ", quoted(text), ": strconv.ParseUint: parsing ", quoted(text),
                      ": invalid syntax");
  return refuse(std::move(error));
}

net::Task<Answer<>> wait_for_revision(store::Store& store, store::Revision wanted) {
  if (store.revision() >= wanted) co_return Answer<>();
  static_cast<void>(co_await store.fresh());
  for (auto waited = std::chrono::milliseconds(0); store.revision() < wanted; waited += kWaitStep) {
    if (waited >= kLongestWait) co_return refuse(too_large_version(wanted, store.revision()));
    co_await net::sleep(kWaitStep);
  }
  co_return Answer<>();
}

// The range of keys, and the revision it is to be of: 0 is now.
Answer<> List::place(const Context& context, const ListOptions& options, store::Revision& at) {
  const Resource& resource = *context.resource;
  const std::string* ns = selection_.ns();
  prefix_ = resource.range_prefix(!context.ns.empty() || ns == nullptr ? std::string_view(context.ns) : *ns);
  range_ = store::Range::of_prefix(prefix_);
  if (const std::string* name = selection_.name();
      name != nullptr && (!resource.namespaced() || prefix_ != resource.prefix) && name->find('/') == std::string::npos)
    range_ = {.key = prefix_ + *name, .end = ""};
  if (options.limit > 0) limit_ = static_cast<size_t>(options.limit);
  if (options.continue_token.empty()) return {};
  if (!options.resource_version.empty() && options.resource_version != "0")
    return refuse(bad_request("specifying resource version is not allowed when using continue"));
  const Cursor cursor = TRY(read_cursor(options.continue_token));
  range_.key = prefix_ + cursor.start;
  at = cursor.revision;
  consistent_ = cursor.revision > 0;
  if (!consistent_) at = 0;
  return {};
}

Answer<> List::open(store::Revision at) {
  auto snapshot = objects_.parts().store.snapshot(at);
  if (snapshot) {
    snapshot_ = std::move(*snapshot);
    head_.revision = snapshot_->revision();
    return {};
  }
  if (!store::is(snapshot.error(), store::Code::kCompacted)) return refuse(store_refusal(snapshot.error(), prefix_));
  return refuse(expired("The resourceVersion for the provided list is too old."));
}

net::Task<Answer<std::unique_ptr<List>>> List::begin(const Objects& objects, const Context& context,
                                                     const ListOptions& options) {
  store::Store& store = objects.parts().store;
  auto selection = Selection::of(*context.catalog, *context.resource, options.label_selector, options.field_selector);
  if (!selection) co_return refuse(std::move(selection.error()));
  std::unique_ptr<List> out(new List(objects, std::move(*selection)));
  store::Revision at = 0;
  CO_TRY(out->place(context, options, at));
  const auto version = parse_revision(options.resource_version);
  if (!version) co_return refuse(bad_request(cat("invalid resource version: ", version.error().message)));
  const std::optional<store::Revision> wanted = *version;
  const bool continued = !options.continue_token.empty();
  if (!continued && wanted && *wanted > 0) {
    CO_TRY(co_await wait_for_revision(store, *wanted));
    const bool exact =
        options.match == VersionMatch::kExact || (options.match == VersionMatch::kUnset && options.limit > 0);
    if (exact) at = *wanted;
  } else if (!wanted && at == 0) {
    // The most recent state of all.
    static_cast<void>(co_await store.fresh());
  }
  auto opened = out->open(at);
  if (!opened && continued) {
    ApiError error = expired(kOldContinue);
    error.continue_token = write_cursor({-1, out->range_.key.substr(out->prefix_.size())});
    co_return refuse(std::move(error));
  }
  if (!opened) co_return refuse(std::move(opened.error()));
  co_return out;
}

Answer<std::vector<store::RecordPtr>> List::next() {
  std::vector<store::RecordPtr> out;
  while (!done_ && out.empty()) {
    store::Range part = range_;
    const size_t left = limit_ > 0 ? limit_ - given_ : kPortion;
    part.limit = range_.end.empty() ? 0 : std::min(left, kPortion);
    // What remains is told at the end of a limited list, if it is told at all.
    part.uncounted = limit_ == 0 || !selection_.everything() || left > kPortion;
    store::RangeResult found = snapshot_->range(part);
    if (!found.records.empty() && found.more) range_ = range_.after(found.records.back()->key());
    for (store::RecordPtr& record : found.records)
      if (selection_.matches(*record)) out.push_back(std::move(record));
    given_ += out.size();
    done_ = !found.more;
    if (!done_ && limit_ > 0 && given_ >= limit_) {
      done_ = true;
      head_.continue_token = write_cursor({consistent_ ? head_.revision : -1, range_.key.substr(prefix_.size())});
      if (selection_.everything()) head_.remaining = found.count - static_cast<int64_t>(found.records.size());
    }
  }
  return out;
}

}  // namespace proa::kube::api
