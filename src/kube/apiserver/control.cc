#include "kube/apiserver/control.h"

#include <unistd.h>

#include <climits>

#include "base/ids.h"
#include "kube/controllers/controllers.h"

namespace proa::kube::api {
namespace {

std::string host_name() {
  char out[HOST_NAME_MAX + 1] = {};
  return ::gethostname(out, sizeof out - 1) == 0 ? out : "localhost";
}

}  // namespace

Surroundings Control::surroundings() {
  return {.reader = parts_.objects.reader(),
          .clock = Clock::system(),
          .random = [] { return random_number().value_or(0); },
          .client =
              [this](std::string_view name) {
                return controller_client(parts_.objects, parts_.catalog, parts_.authorizer, name);
              }};
}

std::shared_ptr<Controllers> Control::make_controllers() {
  auto out = std::make_shared<Controllers>(surroundings());
  add_own_controllers(*out);
  add_access_controllers(*out, parts_.access);
  return out;
}

Result<std::unique_ptr<Control>> Control::start(Parts parts) {
  std::unique_ptr<Control> out(new Control(std::move(parts)));
  Control& self = *out;
  if (self.parts_.elect) {
    self.election_client_ =
        make_client(self.parts_.objects, self.parts_.catalog, self.parts_.authorizer, own_user(), "leader-election");
    self.election_surroundings_.emplace(self.surroundings());
    self.election_.emplace(*self.election_client_, *self.election_surroundings_,
                           ElectionOptions{.identity = cat(host_name(), "_", TRY(random_uuid()))});
  } else {
    self.controllers_ = self.make_controllers();
  }
  self.loops_ = TRY(net::Loops::start({.threads = 1, .blocking_threads = 1}));
  self.running_ = 2;
  self.loops_->at(0).spawn(self.run());
  self.loops_->at(0).spawn(self.follow_definitions());
  return out;
}

Control::~Control() {
  if (loops_ == nullptr) return;
  loops_->at(0).post([this] {
    stopping_ = true;
    step_down();
    wake_.notify();
  });
  parts_.definitions.stop();
  std::unique_lock lock(mutex_);
  end_.wait(lock, [this] { return running_ == 0; });
}

void Control::step_down() {
  if (controllers_ != nullptr) controllers_->stop();
}

net::Task<> Control::run() {
  if (election_)
    co_await run_when_elected();
  else
    co_await controllers_->run();
  ended();
}

// Looks at the lease now and then; a term is a coroutine beside it, since renewing must not wait for controllers.
net::Task<> Control::run_when_elected() {
  net::Loop& loop = *net::Loop::current();
  net::Timer next(loop, [](void* self) { static_cast<Control*>(self)->wake_.notify(); }, this);
  // A renewal may take longer than there is time.
  net::Timer end(loop, [](void* self) { static_cast<Control*>(self)->step_down(); }, this);
  while (!stopping_) {
    co_await election_->attempt();
    if (election_->leads() && !stopping_) {
      end.set(std::chrono::time_point_cast<net::Clock::duration>(election_->until()));
      if (controllers_ == nullptr) net::Loop::start(term());
    } else {
      step_down();
    }
    if (stopping_) break;
    next.set_after(std::chrono::ceil<net::Duration>(election_->pause()));
    co_await wake_.wait();
  }
  step_down();
  while (controllers_ != nullptr) co_await wake_.wait();
  co_await election_->release();
}

net::Task<> Control::term() {
  const std::shared_ptr<Controllers> own = controllers_ = make_controllers();
  co_await own->run();
  controllers_ = nullptr;
  wake_.notify();
}

net::Task<> Control::follow_definitions() {
  co_await parts_.definitions.watch();
  ended();
}

void Control::ended() {
  const std::lock_guard lock(mutex_);
  --running_;
  end_.notify_all();
}

}  // namespace proa::kube::api
