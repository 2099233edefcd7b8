// A list: the records of one revision, in portions, so that it takes no memory of its own however long it is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/apiserver/answer.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/select.h"
#include "kube/store/store.h"
#include "net/task.h"

namespace proa::kube::api {

// What stands in a list's metadata.
struct ListHead {
  store::Revision revision = 0;
  std::string continue_token;
  std::optional<int64_t> remaining;
};

class List {
 public:
  // Waits until the revision asked for is there. 410 for one that is gone.
  static net::Task<Answer<std::unique_ptr<List>>> begin(const Objects& objects, const Context& context,
                                                        const ListOptions& options);

  // The next records; none at the end.
  Answer<std::vector<store::RecordPtr>> next();
  // Known once next() gave none; with a limit, call it before the first byte goes out. Without one only the revision
  // counts, which is known at once.
  const ListHead& head() const { return head_; }
  bool limited() const { return limit_ > 0; }
  const Selection& selection() const { return selection_; }

 private:
  List(const Objects& objects, Selection selection) : objects_(objects), selection_(std::move(selection)) {}
  Answer<> open(store::Revision at);
  Answer<> place(const Context& context, const ListOptions& options, store::Revision& at);

  const Objects& objects_;
  Selection selection_;
  std::unique_ptr<store::Snapshot> snapshot_;
  store::Range range_;
  std::string prefix_;
  size_t limit_ = 0;
  size_t given_ = 0;
  bool done_ = false;
  bool consistent_ = true;
  ListHead head_;
};

// A resource version of a request: nothing if it is empty; 500 if it is no number.
Answer<std::optional<store::Revision>> parse_revision(std::string_view text);
// Until the store has it, for a few seconds; 504 then.
net::Task<Answer<>> wait_for_revision(store::Store& store, store::Revision wanted);

}  // namespace proa::kube::api
