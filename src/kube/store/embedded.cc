#include "kube/store/embedded.h"

#include <sys/file.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "kernel/file.h"
#include "kube/store/machine.h"
#include "kube/store/wakes.h"

namespace proa::kube::store {

namespace {

constexpr size_t kMostTogether = 512;  // calls in one commit

// One thing asked of the writer, and who waits for the answer: a coroutine of a loop, or a thread.
struct Call {
  Call() = default;
  Call(const Call&) = delete;
  virtual ~Call() = default;
  virtual void run(Machine& machine) = 0;
  // Instead of an answer that was a success.
  virtual void fail(const Error& error) = 0;

  net::Loop* loop = nullptr;
  std::coroutine_handle<> waiting;
  bool done = false;
};

class Embedded final : public EmbeddedStore {
 public:
  Embedded(EmbeddedOptions options, std::optional<Journal> journal, Fd lock, const Clock& clock)
      : EmbeddedStore({.own_thread = options.threads, .watch_buffer = options.watch_buffer}),
        options_(std::move(options)),
        clock_(clock),
        lock_(std::move(lock)),
        machine_(cache_, std::move(journal), options_, clock) {}
  ~Embedded() override { stop(); }

  Result<> start();

  net::Task<Result<Revision>> fresh() override { co_return revision(); }
  net::Task<Result<RangeResult>> read(Range wanted) override { co_return range(wanted); }
  net::Task<Result<TxnResult>> commit(Txn txn) override {
    co_return co_await ask<TxnResult>([&](Machine& machine) { return machine.txn(std::move(txn)); });
  }
  net::Task<Result<>> compact(Revision revision) override {
    co_return co_await ask<void>([&](Machine& machine) { return machine.compact(revision); });
  }
  net::Task<Result<Lease>> grant(int64_t ttl, LeaseId id) override {
    co_return co_await ask<Lease>([&](Machine& machine) { return machine.grant(ttl, id); });
  }
  net::Task<Result<Lease>> renew(LeaseId id) override {
    co_return co_await ask<Lease>([&](Machine& machine) { return machine.renew(id); });
  }
  net::Task<Result<>> revoke(LeaseId id) override {
    co_return co_await ask<void>([&](Machine& machine) { return machine.revoke(id); });
  }
  net::Task<Result<std::vector<Lease>>> leases() override {
    co_return co_await ask<std::vector<Lease>>(
        [](Machine& machine) -> Result<std::vector<Lease>> { return machine.leases(); });
  }
  net::Task<Result<StoreStatus>> status() override;
  void tick() override;

 private:
  template <typename T, typename F>
  struct Ask final : Call {
    Ask(Embedded& s, F f) : store(s), function(std::move(f)) {}
    void run(Machine& machine) override { answer.emplace(function(machine)); }
    void fail(const Error& error) override {
      if (*answer) answer.emplace(std::unexpected(error));
    }
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) { return store.submit(*this, handle); }
    Result<T> await_resume() { return *std::move(answer); }

    Embedded& store;
    F function;
    std::optional<Result<T>> answer;
  };
  template <typename T, typename F>
  Ask<T, F> ask(F function) {
    return Ask<T, F>(*this, std::move(function));
  }

  // Whether the answer is still to come.
  bool submit(Call& call, std::coroutine_handle<> handle);
  bool submit_here(Call& call, std::coroutine_handle<> handle);
  void run();
  void stop();
  void process(const std::vector<Call*>& calls);
  void deliver(const std::vector<Call*>& calls);

  const EmbeddedOptions options_;
  const Clock& clock_;
  const Fd lock_;
  Machine machine_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;  // for waiting threads
  std::vector<Call*> queue_;
  bool processing_ = false;  // without threads
  bool ticked_ = false;
  bool ending_ = false;
  std::thread writer_;
};

Result<> Embedded::start() {
  TRY(machine_.load());
  if (options_.threads) writer_ = start_thread([this] { run(); });
  return {};
}

void Embedded::stop() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_one();
  writer_.join();
}

bool Embedded::submit(Call& call, std::coroutine_handle<> handle) {
  if (!options_.threads) return submit_here(call, handle);
  call.loop = net::Loop::current();
  if (call.loop) call.waiting = handle;
  std::unique_lock lock(mutex_);
  const bool asleep = queue_.empty();
  queue_.push_back(&call);
  if (call.loop) {
    // From here on the call may be answered, and gone.
    lock.unlock();
    if (asleep) work_.notify_one();
    return true;
  }
  if (asleep) work_.notify_one();
  done_.wait(lock, [&] { return call.done; });
  return false;
}

// Whoever is woken by a call may make further ones: they are answered after it.
bool Embedded::submit_here(Call& call, std::coroutine_handle<> handle) {
  queue_.push_back(&call);
  if (std::exchange(processing_, true)) {
    call.waiting = handle;
    return true;
  }
  while (!queue_.empty()) {
    const std::vector<Call*> calls = std::exchange(queue_, {});
    process(calls);
    deliver(calls);
  }
  processing_ = false;
  return false;
}

void Embedded::run() {
  for (;;) {
    std::vector<Call*> calls;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return !queue_.empty() || ending_ || ticked_; };
      if (const auto deadline = machine_.next_deadline())
        work_.wait_for(lock, *deadline - clock_.monotonic(), ready);
      else
        work_.wait(lock, ready);
      if (ending_ && queue_.empty()) return;
      ticked_ = false;
      if (queue_.size() <= kMostTogether) {
        calls.swap(queue_);
      } else {
        calls.assign(queue_.begin(), queue_.begin() + kMostTogether);
        queue_.erase(queue_.begin(), queue_.begin() + kMostTogether);
      }
    }
    process(calls);
    deliver(calls);
  }
}

void Embedded::process(const std::vector<Call*>& calls) {
  machine_.keep_house();
  for (Call* const call : calls) call->run(machine_);
  if (const Result<> committed = machine_.commit(); !committed)
    for (Call* const call : calls) call->fail(committed.error());
}

void Embedded::deliver(const std::vector<Call*>& calls) {
  Wakes wakes;
  bool threads = false;
  {
    const std::lock_guard lock(mutex_);
    for (Call* const call : calls)
      if (call->waiting)
        wakes.add(call->loop, call->waiting);
      else
        call->done = threads = true;
  }
  if (threads) done_.notify_all();
}

void Embedded::tick() {
  if (options_.threads) {
    {
      const std::lock_guard lock(mutex_);
      ticked_ = true;
    }
    return work_.notify_one();
  }
  for (;;) {
    process({});
    const auto deadline = machine_.next_deadline();
    if (!deadline || *deadline > clock_.monotonic()) return;
  }
}

net::Task<Result<StoreStatus>> Embedded::status() {
  StoreStatus status{.kind = "embedded", .revision = revision(), .compacted = compacted(), .memory = cache_.figures()};
  for (const std::string_view suffix : {"", "-wal"}) {
    struct stat file{};
    if (::stat(cat(options_.folder, "/", kDatabaseFile, suffix).c_str(), &file) == 0)
      status.bytes_on_disk += static_cast<uint64_t>(file.st_size);
  }
  co_return status;
}

// The lock's file says who has it: for people, the lock itself decides.
std::string holder_of(int lock) {
  char text[16];
  const ssize_t size = ::pread(lock, text, sizeof text, 0);
  const auto pid = parse_number<pid_t>(std::string_view(text, size > 0 ? static_cast<size_t>(size) : 0));
  return pid ? cat("process ", *pid) : "another process";
}

Result<Fd> take_lock(const std::string& folder) {
  const std::string path = folder + "/store.lock";
  Fd lock = TRY(kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail_errno(EBUSY, path, ": ", holder_of(lock.get()), " has the store open")
          .hint("stop that one, or choose another folder");
    return fail_errno(errno, path, ": lock");
  }
  const std::string pid = cat(::getpid());
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
    log::debug(path, ": the holder could not be noted");
  return lock;
}

}  // namespace

Result<std::unique_ptr<EmbeddedStore>> open_embedded(EmbeddedOptions options) {
  const Clock& clock = options.clock ? *options.clock : Clock::system();
  std::optional<Journal> journal;
  Fd lock;
  if (!options.folder.empty()) {
    TRY(kernel::make_dirs(options.folder, 0700));
    lock = TRY(take_lock(options.folder));
    journal = TRY(Journal::open(cat(options.folder, "/", kDatabaseFile), options.vfs));
  }
  auto store = std::make_unique<Embedded>(std::move(options), std::move(journal), std::move(lock), clock);
  TRY(store->start());
  return store;
}

}  // namespace proa::kube::store
