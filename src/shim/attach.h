// Clients of attach.sock: they get the container's output as it comes, and may write its input.
//
// There is one chunk of output under way at a time, and no buffer per client: a client that cannot take
// all of it holds up the reading of more output until it can, or until its patience has run out and it
// is dropped. The log is not held up, as it has the chunk before.
#pragma once

#include <string_view>

#include "shim/frame.h"
#include "shim/input.h"
#include "shim/poller.h"

namespace proa::shim {

class Attach {
 public:
  Attach(Poller& poller, Input& input) : poller_(poller), input_(input) {}

  // `peer`: an accepted connection; owned from here on.
  void add(int peer);
  void on_event(unsigned index, uint32_t events);
  // Sends to every client that wants this stream. The bytes must stay in place while busy().
  void deliver(Stream stream, std::string_view bytes);
  // One that has said its line already: it misses nothing of what is read from now on.
  void add_first(int peer) {
    add(peer);
    on_event(0, EPOLLIN);
  }
  bool busy() const { return lagging_ != 0; }
  // When the next client's patience runs out, in sys::milliseconds(); INT64_MAX for never.
  int64_t deadline() const;
  void drop_late(int64_t now);
  // The input has become empty: clients that wait to write may go on.
  void on_input_free();
  void close_all();
  unsigned count() const;
  uint64_t dropped() const { return dropped_; }

 private:
  static constexpr unsigned kMost = 64;
  static constexpr size_t kMaxHello = 120;

  struct Client {
    enum class Phase : uint8_t { none, hello, attached };
    Phase phase;
    bool read_ended, watched, lagging;
    Hello hello;
    int fd;
    uint32_t events, sent;
    int64_t deadline;
    size_t hello_size;
    char hello_text[kMaxHello];
  };

  void read_from(Client& client);
  void read_hello(Client& client);
  void greet(Client& client, std::string_view line);
  void refuse(Client& client, std::string_view why);
  void end_of_reading(Client& client);
  void push(Client& client);
  void stop_output(Client& client);
  void watch(Client& client);
  void drop(Client& client);

  Poller& poller_;
  Input& input_;
  unsigned lagging_ = 0;
  uint64_t dropped_ = 0;
  Stream stream_ = Stream::out;
  std::string_view chunk_;
  Client clients_[kMost] = {};
};

}  // namespace proa::shim
