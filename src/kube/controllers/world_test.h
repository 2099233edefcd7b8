// A server's inside without HTTP for tests of controllers: a store without threads, objects, definitions, controllers
// that are moved by hand.
#pragma once

#include <gtest/gtest.h>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/definitions.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/subresource_table.h"
#include "kube/client/controller.h"
#include "kube/controllers/controllers.h"
#include "kube/object/json.h"
#include "kube/store/embedded.h"

namespace proa::kube::api {

class World : public testing::Test {
 protected:
  struct Everybody : Authorizer {
    Verdict authorize(const AccessQuestion&) const override { return Verdict{.decision = Decision::kAllow}; }
    bool rules_for(const User&, std::string_view, UserRules&) const override { return true; }
  };

  World() {
    // What the server makes at its start.
    create({.resource = "namespaces"}, R"({"metadata":{"name":"default"}})");
  }

  static constexpr int64_t kBegin = 1'700'000'000;
  FakeClock clock_{WallTime(std::chrono::seconds(kBegin))};
  uint64_t dice_ = 1;
  std::unique_ptr<store::EmbeddedStore> store_ =
      store::open_embedded({.folder = "", .threads = false, .clock = &clock_, .random = [this] { return ++dice_; }})
          .value();
  Catalog catalog_;
  Reader reader_{*store_, catalog_};
  Everybody everybody_;
  AdmissionChain admission_;
  Subresources subresources_;
  Definitions definitions_{reader_, catalog_};
  Objects objects_{{.store = *store_,
                    .catalog = catalog_,
                    .reader = reader_,
                    .admission = admission_,
                    .subresources = subresources_,
                    .now = [this] { return clock_.wall().time_since_epoch().count() / 1'000'000'000; },
                    .definitions_changed = [this] { definitions_.follow(); }}};
  std::unique_ptr<Client> client_ = make_client(objects_, catalog_, everybody_, own_user(), "test");
  std::unique_ptr<Controllers> controllers_;

  // All controllers at work from here on.
  void control() {
    controllers_ = std::make_unique<Controllers>(Surroundings{.reader = reader_,
                                                              .clock = clock_,
                                                              .random = [this] { return ++dice_; },
                                                              .client =
                                                                  [this](std::string_view name) {
                                                                    return make_client(objects_, catalog_, everybody_,
                                                                                       own_user(), std::string(name));
                                                                  }});
    add_own_controllers(*controllers_);
    settle();
  }
  // Until nothing is left to do, for some minutes of the clock.
  void settle(int seconds = 30) {
    for (int i = 0; i < seconds * 10; ++i) {
      for (int steps = 0; controllers_->step(); ++steps) ASSERT_LT(steps, 10'000) << "the controllers never rest";
      clock_.advance(std::chrono::milliseconds(100));
    }
  }

  std::string create(const Target& target, std::string_view json) {
    Arena arena;
    const auto done = store::finish(client_->create(arena, target, read_json(arena, json).value()));
    if (!done) return done.error().message;
    return std::string(done->string({"metadata", "uid"}));
  }
  std::string remove(const Target& target, Propagation propagation = Propagation::kBackground) {
    Arena arena;
    DeleteOptions options;
    options.propagation = propagation;
    const auto done = store::finish(client_->remove(arena, target, options));
    return done ? "" : done.error().message;
  }
  // JSON of what is there; "" if nothing is.
  std::string shown(const Target& target, std::initializer_list<std::string_view> path = {}) const {
    const auto found = client_->get(target);
    if (!found) return "";
    return write_json(path.size() == 0 ? (*found)->root() : (*found)->root().get(path));
  }
  bool there(const Target& target) const { return !shown(target).empty(); }
};

}  // namespace proa::kube::api
