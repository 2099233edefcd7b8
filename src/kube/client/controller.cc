#include "kube/client/controller.h"

#include <algorithm>

#include "base/log.h"

namespace proa::kube::api {
namespace {

// Others were quicker, or it is gone: the next look at it shows that.
bool expected(const ApiError& error) { return error.code == 409 || error.code == 404 || error.code == 410; }

// Gives way to whatever else the loop has to do.
struct Yield {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { net::Loop::current()->post(handle); }
  void await_resume() const {}
};

}  // namespace

struct Controllers::Slot {
  Slot(std::unique_ptr<Controller> c, const Surroundings& around)
      : controller(std::move(c)), queue(around.clock, around.random) {}
  std::unique_ptr<Controller> controller;
  WorkQueue queue;
  size_t busy = 0;
};

Controllers::Controllers(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}
Controllers::~Controllers() = default;

void Controllers::add(std::unique_ptr<Controller> controller) {
  slots_.push_back(std::make_unique<Slot>(std::move(controller), surroundings_));
  slots_.back()->controller->begin(*this);
}

Informer& Controllers::informer(std::string_view group, std::string_view resource) {
  return informer_of(surroundings_.reader.catalog().view()->find(group, resource)->prefix);
}

Informer& Controllers::informer_of(std::string prefix) {
  std::unique_ptr<Informer>& found = informers_[prefix];
  if (found == nullptr) found = std::make_unique<Informer>(surroundings_.reader.store(), std::move(prefix));
  return *found;
}

WorkQueue& Controllers::queue(const Controller& controller) {
  return (*std::ranges::find(slots_, &controller, [](const auto& slot) { return slot->controller.get(); }))->queue;
}

void Controllers::begin() {
  if (std::exchange(begun_, true)) return;
  for (const auto& [prefix, informer] : informers_) informer->start();
  next_resync_ = surroundings_.clock.monotonic() + surroundings_.resync;
}

bool Controllers::synced() const {
  return begun_ && std::ranges::all_of(informers_, [](const auto& entry) { return entry.second->synced(); });
}

bool Controllers::idle() const {
  return running_ == 0 && std::ranges::all_of(slots_, [](const auto& slot) { return slot->queue.size() == 0; });
}

// Whether it was time.
bool Controllers::resync() {
  const MonotonicTime now = surroundings_.clock.monotonic();
  if (surroundings_.resync <= std::chrono::nanoseconds::zero() || now < next_resync_) return false;
  next_resync_ = now + surroundings_.resync;
  for (const auto& [prefix, informer] : informers_) informer->resync();
  return true;
}

bool Controllers::step() {
  begin();
  bool some = resync();
  for (const auto& [prefix, informer] : informers_) some |= informer->step();
  if (!synced()) return some;
  for (const auto& slot : slots_) some |= work(*slot);
  return some;
}

std::optional<MonotonicTime> Controllers::next_time() const {
  std::optional<MonotonicTime> soonest;
  if (begun_ && surroundings_.resync > std::chrono::nanoseconds::zero()) soonest = next_resync_;
  for (const auto& slot : slots_)
    if (const auto time = slot->queue.next_time(); time && (!soonest || *time < *soonest)) soonest = time;
  return soonest;
}

bool Controllers::work(Slot& slot) {
  bool some = false;
  while (!stopping_ && slot.busy < slot.controller->workers()) {
    auto key = slot.queue.take();
    if (!key) break;
    ++slot.busy, ++running_, some = true;
    net::Loop::start(reconcile(slot, std::move(*key)));
  }
  return some;
}

net::Task<> Controllers::reconcile(Slot& slot, std::string key) {
  const auto result = co_await slot.controller->reconcile(key);
  slot.queue.done(key, result.has_value());
  if (!result) {
    if (!expected(result.error())) log::warning(slot.controller->name(), ": ", key, ": ", result.error().message);
    slot.queue.add_failed(key);
  } else if (*result > kDone) {
    slot.queue.add_after(key, *result);
  }
  --slot.busy, --running_;
  ring();
}

void Controllers::ring() {
  if (loop_ != nullptr) bell_.notify();
}

net::Task<> Controllers::follow(Informer& informer) {
  while (!stopping_) {
    co_await informer.next();
    while (informer.step()) {
      ring();
      co_await Yield();
    }
  }
  --following_;
  ring();
}

net::Task<> Controllers::run() {
  net::Loop& loop = *net::Loop::current();
  loop_ = &loop;
  begin();
  for (const auto& [prefix, informer] : informers_) {
    ++following_;
    net::Loop::start(follow(*informer));
  }
  net::Timer timer(loop, [](void* self) { static_cast<Controllers*>(self)->ring(); }, this);
  // A stop() that came too early to find the loop.
  if (stopping_) end();
  while (!stopped_ || running_ > 0 || following_ > 0) {
    resync();
    // Who decides by what is there has to know it all.
    if (synced())
      for (const auto& slot : slots_) work(*slot);
    if (const auto time = next_time(); time && !stopping_) {
      const auto wait = *time - surroundings_.clock.monotonic();
      timer.set_after(std::max(std::chrono::ceil<net::Duration>(wait), net::Duration(1)));
    }
    co_await bell_.wait();
  }
}

void Controllers::stop() {
  if (stopping_.exchange(true)) return;  // what it posts must not come after the end
  if (net::Loop* const loop = loop_) loop->post([this] { end(); });
}

void Controllers::end() {
  for (const auto& [prefix, informer] : informers_) informer->stop();
  stopped_ = true;
  ring();
}

}  // namespace proa::kube::api
