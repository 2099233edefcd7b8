// Holding a created container: the event loop from create to the recorded exit.
#pragma once

#include "shim/attach.h"
#include "shim/control.h"
#include "shim/create.h"
#include "shim/input.h"
#include "shim/log.h"
#include "shim/log_queue.h"
#include "shim/oom.h"
#include "shim/options.h"
#include "shim/poller.h"
#include "shim/process.h"
#include "shim/sys.h"

namespace proa::shim {

// How a container ended, and as the line of JSON that callers get.
struct Ending {
  int pid = 0, code = 0, signal = 0;
  uint64_t oom_kills = 0;
  timespec time = {};
};
void write_ending(const Ending& ending, std::string_view id, Writer& to);

class Monitor final : public Control::Executor {
 public:
  Monitor(const Options& options, const Origin& origin)
      : options_(options),
        origin_(origin),
        timer_{options.timer, options.timer_args.words},
        companion_{options.companion.count != 0 ? kCompanionPause : 0, options.companion.words},
        input_(poller_),
        attach_(poller_, input_),
        control_(poller_, *this) {}

  // Has the log written by a thread of its own, behind a buffer of so many bytes.
  Result<> buffer_log(uint64_t bytes);
  // Makes the sockets in the current folder, so that clients find them as soon as create is reported.
  Result<> listen();
  // A connected socket, to be the first client once there is something to serve.
  void expect(int client) { expected_ = client; }
  // The descriptors are the monitor's from here on. `children`: a signalfd for SIGCHLD.
  Result<> take(const Container& container, int children);
  // Until the container has ended and all its output is logged.
  Ending hold();
  // Hands clients the rest of the output, as far as they can take it at once, and the exit record, a
  // line of JSON.
  void tell(std::string_view record);
  // Whether clients are still taking output.
  bool busy() const { return attach_.busy(); }
  // Serves them until all have the rest and the record, or their patience ends; closes all connections.
  void serve_rest(std::string_view record);

  Log& log() { return log_; }
  void execute(const Command& command, Writer& answer) override;

 private:
  struct Output {
    int fd = -1;
    Stream stream = Stream::out;
    uint64_t tag = 0;
  };

  void dispatch(const epoll_event& event);
  void accept_clients(int listener, bool attach);
  void pump(Output& output);
  // Reads one chunk; false at the end or when there is nothing now.
  bool read_chunk(Output& output, size_t* size);
  void end_output(Output& output);
  void pause_outputs(bool pause);
  void reap_children();
  void drain_outputs();
  bool drain_chunk(Output& output, size_t* size);
  void deliver_tail(std::string_view record);
  int wait_time();
  // A command that is run again and again, never two at a time.
  struct Repeated {
    uint64_t interval;  // milliseconds from one's end to the next; 0: none
    const char* const* command;
    long process = 0;
    int64_t next = 0;  // on the monotonic clock
    bool waits() const { return interval != 0 && process == 0; }
    void ended() { process = 0, next = sys::milliseconds() + static_cast<int64_t>(interval); }
  };
  // Runs what is due.
  void tick(Repeated& repeated);
  void rest();
  void resize(const Command& command, Writer& answer);
  void close_input(Writer& answer);
  void reopen_log(Writer& answer);
  void write_status(Writer& to);

  static constexpr size_t kChunk = 64 * 1024;
  static_assert(kChunk <= LogQueue::kMost);
  // What is read after the end, from each output: more than the largest pipe (/proc/sys/fs/pipe-max-size).
  static constexpr size_t kDrain = 2 * 1024 * 1024;
  static constexpr size_t kTail = 3 * kDrain;

  const Options& options_;
  const Origin& origin_;
  static constexpr uint64_t kCompanionPause = 1000;
  Repeated timer_, companion_;
  Poller poller_;
  Input input_;
  Attach attach_;
  Control control_;
  Log log_;
  LogQueue queue_{log_};
  OomCounter oom_;
  int expected_ = -1, children_ = -1, attach_listener_ = -1, control_listener_ = -1, slave_ = -1;
  bool paused_ = false, ended_ = false, rested_ = false;
  Output outputs_[2];
  Ending ending_;
  // Output that was read after the end while clients lagged: pieces, each with its bytes after it.
  struct Piece {
    Stream stream;
    uint32_t size;
  };
  char* tail_ = nullptr;
  size_t tail_size_ = 0, tail_at_ = 0;
  bool told_ = false;
  alignas(4096) char chunk_[kChunk];
};

}  // namespace proa::shim
