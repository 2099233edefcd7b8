#include "logs/forward/forwarder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>

#include "base/log.h"
#include "base/text.h"
#include "base/values.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "logs/forward/position.h"
#include "logs/forward/source.h"

namespace proa::logs {
namespace {

constexpr int kRest = 5000;  // milliseconds between looks when nothing calls
constexpr unsigned kLastTries = 10;

volatile sig_atomic_t hurried = 0;

void hurry(int) { hurried = 1; }

void catch_signals() {
  struct sigaction action{};
  action.sa_handler = hurry;
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

Result<Identity> identity_for(const Subject& subject, const StringMap& options) {
  Identity out{.subject = subject,
               .tag = TRY(tag_of(subject, options, "{{.ID}}")),
               .host = {},
               .extras = TRY(extras_of(subject, options))};
  std::array<char, 256> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  out.host = host.data();
  return out;
}

// How much may wait: beyond it the oldest is left out. 0: all there is on the disk.
uint64_t most_waiting(const std::string& driver, const StringMap& options) {
  if (const uint64_t buffer = buffer_of(options); buffer != 0) return buffer;
  if (driver == "fluentd" && flag_of(options, "fluentd-async"))
    return static_cast<uint64_t>(parse_bytes(option_of(options, "fluentd-buffer-limit")).value_or(0));
  return 0;
}

class Forwarder {
 public:
  Forwarder(const ForwardJob& job, const PositionFile& position, Watch& watch, Sender& sender)
      : position_(position),
        watch_(watch),
        sender_(sender),
        source_(job.path),
        most_waiting_(most_waiting(job.driver, job.options)) {}

  Result<> run() {
    TRY(source_.seek(position_.load()));
    for (;;) {
      // What was written before the end is read after it.
      const bool last = watch_.ended() || hurried != 0;
      const std::vector<Record> records = TRY(source_.next());
      if (records.empty()) {
        if (last) return {};
        TRY(watch_.wait_for_change(kRest));
        continue;
      }
      if (!TRY(deliver(records))) return {};
    }
  }

 private:
  // False: that was the last try.
  Result<bool> deliver(const std::vector<Record>& records) {
    const Retries retries = sender_.retries();
    double pause = static_cast<double>(retries.first_ms);
    for (uint64_t failures = 0;;) {
      const auto sent = sender_.send(records);
      if (sent) break;
      if (sent.error().code() == ECANCELED) return std::unexpected(sent.error());
      ++failures;
      log::debug("log: ", sent.error().message());
      if (hurried != 0 || (watch_.ended() && failures >= kLastTries)) return false;
      if (failures > retries.most) break;  // given up
      TRY(watch_.sleep(static_cast<int>(pause)));
      pause = std::min(pause * retries.factor, static_cast<double>(retries.longest_ms));
      if (most_waiting_ != 0 && TRY(source_.skip_to_last(most_waiting_))) return true;
    }
    TRY(position_.save(source_.position()));
    return true;
  }

  const PositionFile& position_;
  Watch& watch_;
  Sender& sender_;
  Source source_;
  uint64_t most_waiting_;
};

// Whether the descriptor's file is still the one in the folder: not if the container was removed while we waited.
bool still_there(const std::string& folder) {
  struct stat info{};
  return ::stat(folder.c_str(), &info) == 0;
}

}  // namespace

Result<> forward(const ForwardJob& job) {
  catch_signals();
  if (job.last) hurried = 1;
  // Its lock goes last of all: whoever waits for it takes this process for gone then.
  const PositionFile position = TRY(PositionFile::open(job.path));
  while (true) {
    const auto locked = position.lock();
    if (locked) break;
    if (locked.error().code() != EINTR) return locked;
  }
  if (!still_there(job.folder)) return {};
  Watch watch = TRY(Watch::open(job.folder, job.run ? job.run() : Fd()));
  Identity identity = TRY(identity_for(job.subject, job.options));
  const std::string pid = kernel::read_file((job.shim + "/pid").c_str()).value_or("");
  identity.pid = parse_number<int64_t>(std::string_view(pid).substr(0, pid.find('\n'))).value_or(0);
  const std::unique_ptr<Sender> sender = TRY(make_sender(job.driver, job.options, std::move(identity), watch));
  auto done = Forwarder(job, position, watch, *sender).run();
  if (!done && done.error().code() == ECANCELED) return {};
  return done;
}

Result<> check_receiver(const std::string& driver, const StringMap& options) {
  if (driver == "fluentd" && flag_of(options, "fluentd-async")) return {};
  Watch watch;
  const auto sender = TRY(make_sender(driver, options, {}, watch));
  TRY_CTX(sender->connect(), "failed to initialize logging driver");
  return {};
}

void finish(const std::string& path, int patience_ms, const std::function<Result<pid_t>()>& begin) {
  using Steady = std::chrono::steady_clock;
  const auto end = Steady::now() + std::chrono::milliseconds(patience_ms);
  const auto left = [&] {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(end - Steady::now()).count();
    return static_cast<int>(std::max<int64_t>(ms, 0));
  };
  for (bool begun = false;;) {
    const auto holder = sender_of(path);
    if (holder && *holder <= 0) return;  // of another namespace of processes
    if (holder) {
      const auto process = kernel::pidfd_open(*holder);
      // The number is that process's still, as it holds the lock still.
      if (!process || sender_of(path) != holder) continue;
      (void)kernel::send_signal(process->get(), SIGTERM);
      if (kernel::wait_gone(process->get(), left()).value_or(false)) continue;
      (void)kernel::send_signal(process->get(), SIGKILL);
      (void)kernel::wait_gone(process->get(), -1);
      return;
    }
    if (begun || all_sent(path)) return;
    begun = true;
    const auto child = begin();
    if (!child) return;
    const auto process = kernel::pidfd_open(*child);
    if (process && !kernel::wait_gone(process->get(), left()).value_or(false))
      (void)kernel::send_signal(process->get(), SIGKILL);
    (void)kernel::wait_child(*child);
  }
}

}  // namespace proa::logs
