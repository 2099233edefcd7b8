// The client's side of a container's streams: our standard streams on one end, the shim's attach.sock on the other.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace proa::engine {

struct AttachOptions {
  bool in = false, out = true, err = true;
  bool tty = false;      // the container has a terminal
  bool in_once = false;  // the end of our input is the container's
  bool proxy_signals = true;
  std::string detach_keys = "ctrl-p,ctrl-q";  // empty: none
};

struct AttachEnd {
  bool detached = false;
  std::optional<int> exit_code;  // of the container's program
};

class AttachSession {
 public:
  // Connects; from now on no output is missed. Signals that will be passed on are blocked.
  static Result<AttachSession> connect(const std::string& shim_folder, const AttachOptions& options);
  // On a connection that is attached already, as exec_start() gives it.
  static Result<AttachSession> adopt(Fd socket, const std::string& shim_folder, const AttachOptions& options);
  AttachSession(AttachSession&&) noexcept = default;
  AttachSession& operator=(AttachSession&&) noexcept = default;

  // Copies until the container ends or the user detaches.
  Result<AttachEnd> run();

 private:
  AttachSession() = default;
  Result<> step(AttachEnd& end, bool& over);
  Result<> read_input(AttachEnd& end, bool& over);
  Result<> read_frames(AttachEnd& end, bool& over);
  void on_signal();
  void resize() const;

  AttachOptions options_;
  std::string folder_;
  Fd socket_, signals_;
  bool input_open_ = false;
  std::string to_container_;  // read and not yet taken
  std::string frames_;        // received and not yet whole
  std::string keys_;          // the sequence that detaches
  size_t matched_ = 0;
};

// The line that attaches to these streams, and asks for the exit record.
std::string attach_line(bool in, bool out, bool err);

// "ctrl-p,ctrl-q" to the bytes; an error names what is wrong.
Result<std::string> parse_detach_keys(const std::string& text);

}  // namespace proa::engine
