// A watch as a client sees it: what is there when it begins, and then what changes of what it selects.
#pragma once

#include <memory>
#include <vector>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/list.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/select.h"
#include "kube/store/store.h"
#include "net/task.h"

namespace proa::kube::api {

struct WatchChange {
  enum class Type : uint8_t { kAdded, kModified, kDeleted };
  Type type = Type::kAdded;
  store::RecordPtr record;       // the bytes to show: of what went, its last ones
  store::Revision revision = 0;  // and the resource version to show with them
};
constexpr std::string_view kChangeNames[] = {"ADDED", "MODIFIED", "DELETED"};

struct Changes {
  std::vector<WatchChange> changes;
  store::Revision revision = 0;  // nothing up to it is still to come
  bool initial_end = false;      // what was there when it began has been told now
};

class Watcher {
 public:
  // A revision that is gone is not an error here, but the first one of next().
  static net::Task<Answer<std::unique_ptr<Watcher>>> begin(const Objects& objects, const Context& context,
                                                           const ListOptions& options);

  // Waits for changes; maybe none, after request_progress(). The error ends the watch: 410 means to list again.
  net::Task<Answer<Changes>> next();
  // Any thread.
  void request_progress() { watch_->request_progress(); }
  void cancel() { watch_->cancel(); }
  bool cancelled() const { return cancelled_; }
  // Why there is no watch: its revision is gone. Null otherwise.
  const ApiError* refused() const { return refused_.get(); }
  bool telling_initial() const { return list_ != nullptr; }

 private:
  Watcher(const Objects& objects, Selection selection) : objects_(objects), selection_(std::move(selection)) {}
  Answer<> open(const Context& context, const ListOptions& options, store::Revision from);
  bool select(const store::Event& event, WatchChange& out) const;
  Answer<Changes> initial();

  const Objects& objects_;
  Selection selection_;
  std::unique_ptr<List> list_;  // while what was there is being told
  std::unique_ptr<store::Watch> watch_;
  std::unique_ptr<ApiError> refused_;
  bool cancelled_ = false;
};

}  // namespace proa::kube::api
