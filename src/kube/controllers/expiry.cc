#include "kube/controllers/expiry.h"

#include <deque>

#include "base/error.h"
#include "kube/client/gather.h"
#include "kube/client/keys.h"
#include "kube/codec/time.h"
#include "net/base64.h"

namespace proa::kube::api {
namespace {

using std::chrono::seconds;

constexpr seconds kSweep{30};
constexpr size_t kAtOnce = 16;

int64_t unix_seconds(const Clock& clock) {
  return std::chrono::duration_cast<seconds>(clock.wall().time_since_epoch()).count();
}

// One key for all: the events stand in a row by age.
class EventCleaner final : public Controller {
 public:
  std::string_view name() const override { return "event-cleaner"; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    keys_ = std::make_unique<KeyIndex>(around_->reader.catalog());
    frame.informer("", "events").add_handler([this, &queue = frame.queue(*this)](const Change& change) {
      if (change.deleted() || change.repeated()) return;
      row_.push_back({std::string(change.key()), change.record()->mod_revision(), written(change)});
      if (row_.size() == 1) queue.add_after("events", kSweep);
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string) override {
    const int64_t old = unix_seconds(around_->clock) - kEventLife.count();
    std::vector<std::string> ended;
    for (; !row_.empty() && row_.front().written <= old; row_.pop_front()) {
      const auto record = around_->reader.store().get(row_.front().key);
      // Written again since: it stands further back as well.
      if (record && *record != nullptr && (*record)->mod_revision() == row_.front().revision)
        ended.push_back(std::move(row_.front().key));
    }
    const auto remove = [&](size_t i) { return remove_one(ended[i]); };
    co_await gather(ended.size(), kAtOnce, remove);
    co_return row_.empty() ? kDone : std::chrono::nanoseconds(kSweep);
  }

 private:
  struct Entry {
    std::string key;
    store::Revision revision;
    int64_t written;
  };

  // Of what is there at the start, all that is known is when it was made.
  int64_t written(const Change& change) const {
    const int64_t now = unix_seconds(around_->clock);
    if (!change.created()) return now;
    const auto made = parse_time(change.object().string({"metadata", "creationTimestamp"}));
    return made ? std::min(made->seconds, now) : now;
  }

  net::Task<> remove_one(std::string_view key) {
    const auto parts = keys_->find(key);
    if (!parts) co_return;
    Arena arena;
    static_cast<void>(co_await client_->remove(arena, parts->target(), {}));
  }

  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
  std::unique_ptr<KeyIndex> keys_;
  std::deque<Entry> row_;
};

class TokenCleaner final : public Controller {
 public:
  std::string_view name() const override { return "token-cleaner"; }

  void begin(Frame& frame) override {
    around_ = &frame.surroundings();
    client_ = around_->client(name());
    frame.informer("", "secrets").add_handler([&queue = frame.queue(*this)](const Change& change) {
      if (change.deleted() || !change.key().starts_with("/registry/secrets/kube-system/")) return;
      if (change.object().string("type") == "bootstrap.kubernetes.io/token")
        queue.add(std::string(change.object().string({"metadata", "name"})));
    });
  }

  net::Task<Answer<std::chrono::nanoseconds>> reconcile(std::string name) override {
    const Target target{
        .group = "", .version = "", .resource = "secrets", .ns = "kube-system", .name = name, .subresource = ""};
    const StoredPtr secret = CO_TRY(client_->get(target));
    if (secret->root().string("type") != "bootstrap.kubernetes.io/token") co_return kDone;
    const auto text = net::base64_decode(secret->root().string({"data", "expiration"}));
    if (!text || text->empty()) co_return kDone;
    const auto end = parse_time(*text);
    if (!end) co_return kDone;
    const int64_t left = end->seconds - unix_seconds(around_->clock);
    if (left > 0) co_return seconds(left);
    Arena arena;
    DeleteOptions options;
    options.uid = std::string(secret->root().string({"metadata", "uid"}));
    CO_TRY(co_await client_->remove(arena, target, options));
    co_return kDone;
  }

 private:
  const Surroundings* around_ = nullptr;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Controller> event_cleaner() { return std::make_unique<EventCleaner>(); }
std::unique_ptr<Controller> token_cleaner() { return std::make_unique<TokenCleaner>(); }

}  // namespace proa::kube::api
