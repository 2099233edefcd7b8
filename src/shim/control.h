// Clients of ctl.sock: lines in, a line of answer for each.
#pragma once

#include <string_view>

#include "shim/command.h"
#include "shim/poller.h"

namespace proa::shim {

class Control {
 public:
  // Carries a command out and writes the answer, one line; not called for `wait`.
  class Executor {
   public:
    virtual void execute(const Command& command, Writer& answer) = 0;

   protected:
    ~Executor() = default;
  };

  Control(Poller& poller, Executor& executor) : poller_(poller), executor_(executor) {}

  // `peer`: an accepted connection; owned from here on.
  void add(int peer);
  void on_event(unsigned index, uint32_t events);
  // Answers all that wait with `record`, one line, and closes every connection.
  void end(std::string_view record);

 private:
  static constexpr unsigned kMost = 64;
  static constexpr size_t kMaxLine = 120;

  struct Client {
    bool used, waiting, read_ended;
    int fd;
    size_t size;
    char text[kMaxLine];
  };

  void read_from(Client& client);
  void run_lines(Client& client);
  void answer(Client& client, std::string_view text);
  void drop(Client& client);

  Poller& poller_;
  Executor& executor_;
  Client clients_[kMost] = {};
};

}  // namespace proa::shim
