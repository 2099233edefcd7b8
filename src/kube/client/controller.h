// The frame of controllers: informers feed keys to each controller's queue, workers take them and reconcile.
//
//   class Greeter : public Controller {
//     std::string_view name() const override { return "greeter"; }
//     void begin(Frame& frame) override {
//       frame.informer("", "namespaces").add_handler([&queue = frame.queue(*this)](const Change& change) {
//         if (change.created()) queue.add(std::string(change.object().string({"metadata", "name"})));
//       });
//     }
//     net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) override { … co_return kDone; }
//   };
//
//   Controllers controllers(surroundings);
//   controllers.add(std::make_unique<Greeter>(…));
//   co_await controllers.run();                       // on a loop; until stop()
//   while (controllers.step()) continue;              // or by hand, in a simulation: a store without threads
//
// All of it happens on one thread, so that controllers need no locks; they must not block. Clock and randomness are
// given, so that a simulation can be repeated.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "kube/client/client.h"
#include "kube/client/informer.h"
#include "kube/client/queue.h"

namespace proa::kube::api {

inline constexpr std::chrono::nanoseconds kDone{0};

// What controllers of one server share; all outlives them.
struct Surroundings {
  const Reader& reader;
  const Clock& clock;
  std::function<uint64_t()> random;
  // A client with the identity of a controller: "namespace-controller" is kube-system's service account of that name.
  std::function<std::unique_ptr<Client>(std::string_view controller)> client;
  // How often handlers are told of all objects again; zero: never.
  std::chrono::nanoseconds resync{0};
};

class Controller;

// What a controller sees of its frame.
class Frame {
 public:
  virtual ~Frame() = default;
  virtual const Surroundings& surroundings() const = 0;
  // Of one built-in resource; shared by all controllers. For begin().
  virtual Informer& informer(std::string_view group, std::string_view resource) = 0;
  // Of everything that is stored.
  virtual Informer& informer_of_all() = 0;
  virtual WorkQueue& queue(const Controller& controller) = 0;
};

class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string_view name() const = 0;
  // Called once: subscribes, and keeps what it needs of the frame.
  virtual void begin(Frame& frame) = 0;
  // Makes what `key` stands for as it should be. Gives kDone, or when to come again. After an error it comes again by
  // itself, later with each; conflicts and the like are not worth a word, all others are logged.
  virtual net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string key) = 0;
  // Keys worked on at the same time.
  virtual size_t workers() const { return 1; }
};

class Controllers : public Frame {
 public:
  explicit Controllers(Surroundings surroundings);
  ~Controllers() override;

  // Before run() and step().
  void add(std::unique_ptr<Controller> controller);

  // On a loop: until stop() was called and what was begun has ended.
  net::Task<> run();
  // Any thread.
  void stop();

  // By hand: tells what has come and begins what is due; whether there was anything.
  bool step();
  // When there will be something by itself.
  std::optional<MonotonicTime> next_time() const;
  // Nothing is queued or being worked on.
  bool idle() const;
  bool synced() const;

  const Surroundings& surroundings() const override { return surroundings_; }
  Informer& informer(std::string_view group, std::string_view resource) override;
  Informer& informer_of_all() override { return informer_of("/registry/"); }
  WorkQueue& queue(const Controller& controller) override;

 private:
  struct Slot;
  Informer& informer_of(std::string prefix);
  void begin();
  bool work(Slot& slot);
  net::Task<> reconcile(Slot& slot, std::string key);
  net::Task<> follow(Informer& informer);
  bool resync();
  void ring();
  void end();

  const Surroundings surroundings_;
  std::map<std::string, std::unique_ptr<Informer>, std::less<>> informers_;
  std::vector<std::unique_ptr<Slot>> slots_;
  bool begun_ = false;
  size_t running_ = 0;    // reconciliations
  size_t following_ = 0;  // informers with a coroutine
  std::atomic<bool> stopping_ = false;
  bool stopped_ = false;
  net::Event bell_;
  std::atomic<net::Loop*> loop_ = nullptr;
  MonotonicTime next_resync_{};
};

}  // namespace proa::kube::api
