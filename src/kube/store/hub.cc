#include "kube/store/hub.h"

#include <algorithm>

#include "kube/store/errors.h"
#include "kube/store/wakes.h"

namespace proa::kube::store {

namespace {

constexpr size_t kMostBuried = 256;

Error as_error(Code code, std::string message) { return Error(std::move(message), static_cast<int>(code)); }

// With the state's mutex held, if it is ready.
void take_waiter(WatchState& state, Wakes& wakes) {
  if (state.waiting) wakes.add(state.loop, std::exchange(state.waiting, nullptr));
  state.came.notify_all();
}

}  // namespace

// --- the reader's side ----------------------------------------------------------------------------------------

Watch::~Watch() { cancel(); }

bool Watch::Next::await_ready() const {
  const std::lock_guard lock(watch_.state_->mutex);
  return watch_.state_->ready(watch_.hub_.told());
}

bool Watch::Next::await_suspend(std::coroutine_handle<> handle) const {
  WatchState& state = *watch_.state_;
  const std::lock_guard lock(state.mutex);
  if (state.ready(watch_.hub_.told())) return false;
  state.loop = net::Loop::current();
  state.waiting = handle;
  return true;
}

Result<WatchBatch> Watch::poll() {
  WatchBatch batch;
  // Read before the queue is: all of that revision is in it, or was.
  batch.revision = hub_.told();
  const std::lock_guard lock(state_->mutex);
  if (state_->error) return std::unexpected(*state_->error);
  if (state_->progress_wanted <= batch.revision) state_->progress_wanted = 0;
  auto& queue = state_->queue;
  if (queue.empty()) return batch;
  if (queue.back().record->mod_revision() <= batch.revision) {
    batch.events.swap(queue);
    return batch;
  }
  const auto end =
      std::ranges::find_if(queue, [&](const Event& event) { return event.record->mod_revision() > batch.revision; });
  batch.events.assign(std::move_iterator(queue.begin()), std::move_iterator(end));
  queue.erase(queue.begin(), end);
  return batch;
}

Result<WatchBatch> Watch::wait(std::chrono::milliseconds timeout) {
  {
    std::unique_lock lock(state_->mutex);
    state_->came.wait_for(lock, timeout, [&] { return state_->ready(hub_.told()); });
  }
  return poll();
}

void Watch::request_progress() { hub_.want_progress(state_); }

void Watch::cancel() {
  hub_.close(state_, as_error(Code::kCancelled, "the watch was cancelled"));
  hub_.bury_many();
}

// --- adding and removing --------------------------------------------------------------------------------------

WatchGroup& Hub::group_of(const WatchState& state) {
  const WatchGroup::Kind kind = state.end.empty()                    ? WatchGroup::kKey
                                : state.end == prefix_end(state.key) ? WatchGroup::kPrefix
                                                                     : WatchGroup::kRange;
  Groups& groups = kind == WatchGroup::kKey ? keys_ : kind == WatchGroup::kPrefix ? prefixes_ : ranges_;
  // A range is known by both its ends.
  const std::string name = kind == WatchGroup::kRange ? cat(state.key.size(), " ", state.key, state.end) : state.key;
  const auto [found, made] = groups.try_emplace(name);
  if (made) {
    found->second.kind = kind;
    found->second.key = name;
    if (kind == WatchGroup::kPrefix) ++prefix_lengths_[name.size()];
  }
  return found->second;
}

std::unique_ptr<Watch> Hub::add(WatchRequest request, std::vector<Event> backlog, size_t limit) {
  bury();
  auto state = std::make_shared<WatchState>();
  state->key = std::move(request.key);
  state->end = std::move(request.end);
  state->from = request.from;
  state->limit = limit + backlog.size();
  state->queue = std::move(backlog);
  WatchGroup& group = group_of(*state);
  state->group = &group;
  state->place = group.members.size();
  group.members.push_back(state);
  size_.fetch_add(1, std::memory_order_relaxed);
  return std::make_unique<Watch>(*this, std::move(state));
}

void Hub::remove(WatchState& state) {
  WatchGroup* const group = std::exchange(state.group, nullptr);
  if (!group) return;
  auto& members = group->members;
  std::swap(members[state.place], members.back());
  members[state.place]->place = state.place;
  members.pop_back();
  size_.fetch_sub(1, std::memory_order_relaxed);
  if (!members.empty()) return;
  if (group->kind == WatchGroup::kPrefix)
    if (const auto length = prefix_lengths_.find(group->key.size()); --length->second == 0)
      prefix_lengths_.erase(length);
  Groups& groups = group->kind == WatchGroup::kKey ? keys_ : group->kind == WatchGroup::kPrefix ? prefixes_ : ranges_;
  groups.erase(groups.find(group->key));
}

// Under hold().
void Hub::bury() {
  std::vector<std::shared_ptr<WatchState>> gone;
  {
    const std::lock_guard lock(side_mutex_);
    gone.swap(buried_);
  }
  for (const auto& state : gone) remove(*state);
}

// Watches that come and go while nothing is written.
void Hub::bury_many() {
  {
    const std::lock_guard lock(side_mutex_);
    if (buried_.size() < kMostBuried) return;
  }
  if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) bury();
}

void Hub::close(const std::shared_ptr<WatchState>& state, Error error) {
  {
    Wakes wakes;
    const std::lock_guard lock(state->mutex);
    if (state->error) return;
    state->error = std::make_unique<Error>(std::move(error));
    std::vector<Event>().swap(state->queue);
    take_waiter(*state, wakes);
  }
  const std::lock_guard lock(side_mutex_);
  buried_.push_back(state);
}

void Hub::want_progress(const std::shared_ptr<WatchState>& state) {
  {
    const std::lock_guard lock(state->mutex);
    state->progress_wanted = std::max<Revision>(1, written_.load(std::memory_order_acquire));
  }
  {
    const std::lock_guard lock(side_mutex_);
    wanting_.push_back(state);
  }
  // What is missing is told soon, or has been told just now.
  wake_wanting();
}

void Hub::wake_wanting() {
  Wakes wakes;
  const std::lock_guard side(side_mutex_);
  const Revision revision = told();
  for (auto& state : std::exchange(wanting_, {})) {
    const std::lock_guard lock(state->mutex);
    if (state->ready(revision))
      take_waiter(*state, wakes);
    else if (state->progress_wanted != 0)
      wanting_.push_back(std::move(state));
  }
}

void Hub::end_all(const Error& error) {
  std::vector<std::shared_ptr<WatchState>> all;
  {
    const auto lock = hold();
    for (Groups* groups : {&keys_, &prefixes_, &ranges_})
      for (auto& [name, group] : *groups) all.insert(all.end(), group.members.begin(), group.members.end());
  }
  for (const auto& state : all) close(state, error);
}

// --- telling --------------------------------------------------------------------------------------------------

void Hub::offer(const std::shared_ptr<WatchState>& state, const Event& event) {
  if (event.record->mod_revision() < state->from) return;
  bool slow = false;
  {
    const std::lock_guard lock(state->mutex);
    if (state->error) return;
    slow = state->queue.size() >= state->limit;
    if (!slow) state->queue.push_back(event);
  }
  if (slow)
    return close(state, as_error(Code::kSlowWatcher, cat("the watch is more than ", state->limit, " events behind")));
  if (!std::exchange(state->touched, true)) touched_.push_back(state);
}

void Hub::tell_group(WatchGroup& group, const Event& event) {
  for (const auto& state : group.members) offer(state, event);
}

void Hub::tell(std::span<const Event> events, Revision revision) {
  bury();
  for (const Event& event : events) {
    const std::string_view key = event.record->key();
    for (const auto& [length, groups] : prefix_lengths_) {
      if (length > key.size()) break;
      if (const auto found = prefixes_.find(key.substr(0, length)); found != prefixes_.end())
        tell_group(found->second, event);
    }
    if (const auto found = keys_.find(key); found != keys_.end()) tell_group(found->second, event);
    for (auto& [name, group] : ranges_) {
      const WatchState& any = *group.members.front();
      if (key >= any.key && (any.end == kToTheEnd || key < any.end)) tell_group(group, event);
    }
  }
  set_told(revision);
}

void Hub::wake() {
  std::vector<std::shared_ptr<WatchState>> touched;
  {
    const auto lock = hold();
    touched.swap(touched_);
    for (const auto& state : touched) state->touched = false;
  }
  wake_wanting();
  Wakes wakes;
  const Revision revision = told();
  for (const auto& state : touched) {
    const std::lock_guard lock(state->mutex);
    if (state->ready(revision)) take_waiter(*state, wakes);
  }
}

}  // namespace proa::kube::store
