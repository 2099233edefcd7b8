#include "kube/apiserver/control.h"

#include "base/ids.h"
#include "kube/controllers/controllers.h"

namespace proa::kube::api {

Result<std::unique_ptr<Control>> Control::start(Parts parts) {
  std::unique_ptr<Control> out(new Control(std::move(parts)));
  Control& self = *out;
  self.controllers_ = std::make_unique<Controllers>(Surroundings{
      .reader = self.parts_.objects.reader(),
      .clock = Clock::system(),
      .random = [] { return random_number().value_or(0); },
      .client =
          [&self](std::string_view name) {
            return controller_client(self.parts_.objects, self.parts_.catalog, self.parts_.authorizer, name);
          }});
  add_own_controllers(*self.controllers_);
  add_access_controllers(*self.controllers_, self.parts_.access);
  self.loops_ = TRY(net::Loops::start({.threads = 1, .blocking_threads = 1}));
  self.running_ = 2;
  self.loops_->at(0).spawn(self.run());
  self.loops_->at(0).spawn(self.follow_definitions());
  return out;
}

Control::~Control() {
  if (loops_ == nullptr) return;
  controllers_->stop();
  parts_.definitions.stop();
  std::unique_lock lock(mutex_);
  end_.wait(lock, [this] { return running_ == 0; });
}

net::Task<> Control::run() {
  co_await controllers_->run();
  ended();
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
