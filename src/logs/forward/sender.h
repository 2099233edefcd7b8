// What a driver does with lines: one class for each protocol, behind this.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "logs/details.h"
#include "logs/forward/connection.h"

namespace proa::logs {

// A line, or a piece of one of more than 16 KiB.
struct Record {
  WallTime time;
  std::string text;  // without the line's end
  bool error = false;
  // Of a piece: the same for all of a line, and from 1 on. A whole line has number 0.
  std::string piece_of;
  unsigned piece = 0;
  bool last_piece = false;
};

// What all protocols tell of the container.
struct Identity {
  Subject subject;
  std::string tag, host;
  StringMap extras;
  int64_t pid = 0;  // of its first process; 0: not known
};

// How often, and how long apart, sending is tried.
struct Retries {
  uint64_t most = UINT64_MAX;  // failures in a row, then what was to be sent is given up
  int64_t first_ms = 100, longest_ms = 10000;
  double factor = 2;
};

class Sender {
 public:
  virtual ~Sender() = default;
  // Returns when the receiver has them, as far as its protocol can tell. After an error some may have arrived; the next
  // call begins with a new connection. ECANCELED: the watch says that it is over.
  virtual Result<> send(std::span<const Record> records) = 0;
  // Makes the connection now.
  virtual Result<> connect() = 0;
  virtual Retries retries() const { return {}; }
};

// `watch` outlives it. Options are as check_options() takes them.
Result<std::unique_ptr<Sender>> make_sender(const std::string& driver, const StringMap& options, Identity identity,
                                            Watch& watch);

Result<std::unique_ptr<Sender>> make_syslog(const StringMap& options, Identity identity, Watch& watch);
Result<std::unique_ptr<Sender>> make_gelf(const StringMap& options, Identity identity, Watch& watch);
Result<std::unique_ptr<Sender>> make_fluentd(const StringMap& options, Identity identity, Watch& watch);
Result<std::unique_ptr<Sender>> make_journald(const StringMap& options, Identity identity, Watch& watch);

// Parts of messages, for tests.
std::string syslog_message(std::string_view format, int facility, const Identity& identity, const Record& record);
std::string gelf_message(const Identity& identity, const Record& record);
std::string journald_message(const Identity& identity, const Record& record);
std::string fluentd_message(const Identity& identity, std::span<const Record> records, bool precise,
                            std::string_view chunk);

}  // namespace proa::logs
