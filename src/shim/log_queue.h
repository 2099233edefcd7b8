// Output on its way into the log: straight, or through a buffer that a thread of its own empties, so that a slow disk
// never holds up the container. What the buffer has no room for is dropped, whole lines of it, and counted.
//
// Threads: one calls open(), append(), finish(), rest(), reopen() and the counters, another run(). The log is the
// latter's while there is a buffer.
#pragma once

#include <string_view>

#include "shim/lock.h"
#include "shim/log.h"
#include "shim/text.h"

namespace proa::shim {

class LogQueue {
 public:
  explicit LogQueue(Log& log) : log_(log) {}

  // From now on run() has to be running in another thread. At most `limit` bytes wait, or one call's, and the ends of
  // their lines.
  Result<> open(uint64_t limit);
  bool is_open() const { return ring_ != nullptr; }

  // At most kMost bytes.
  void append(Stream stream, std::string_view bytes, timespec time);
  // What comes from now on waits for room instead of being dropped: nobody is held up any more.
  void be_patient() { patient_ = true; }
  // The output has ended: waits until all is written, and run() with it.
  void finish(timespec time);
  // Gives memory back; false if there is work under way.
  bool rest();
  // Has the log's file opened anew. Fails if the disk does not answer within a second; it is done when it does.
  Result<> reopen();
  // Bytes of output that there was no room for.
  uint64_t dropped() const { return dropped_; }

  // Writes what is appended until finish().
  void run();

  static constexpr size_t kMost = 64 * 1024;

 private:
  struct Record {
    timespec time;
    uint32_t size;
    Stream stream;
    bool gap;  // something of this stream was dropped before it
  };
  struct Lane {
    bool gap = false;      // the next record comes after something that was dropped
    bool skip = false;     // what comes belongs to a line whose beginning was dropped
    bool in_line = false;  // what was taken last has no line end
  };
  static unsigned index(Stream stream) { return stream == Stream::err ? 1 : 0; }

  // Puts in what there is room for, whole lines unless it is all of the bytes; answers how many.
  size_t take(Lane& lane, Stream stream, std::string_view bytes, timespec time);
  // How many of the bytes can be taken now, whole lines unless it is all of them. A line that was begun may end beyond
  // the limit.
  size_t room_for(const Lane& lane, std::string_view bytes) const;
  void drop(Lane& lane, std::string_view bytes);
  void put(const void* bytes, size_t size);
  void get(void* to, size_t size);
  // The bytes from `at` on, as far as they lie in one piece.
  std::string_view piece(size_t at, size_t size) const;
  enum class Work : uint8_t { none, reopen, record, finish };
  Work next(Record* record);
  void write(const Record& record);
  void reopen_file();
  void end();

  static constexpr size_t kBeyond = 3 * (sizeof(Record) + kMost);

  Log& log_;
  char* ring_ = nullptr;
  size_t capacity_ = 0, limit_ = 0;

  Lock lock_;  // for all up to the signals
  size_t head_ = 0, pending_ = 0;
  bool idle_ = false, finishing_ = false, finished_ = false, reopen_ = false;
  timespec end_ = {};
  Result<> reopened_;
  Signal work_, progress_;

  Lane lanes_[2];  // the caller's
  bool patient_ = false;
  uint64_t dropped_ = 0;
  bool in_line_[2] = {};  // the writer's: the stream's last line has no end yet
};

}  // namespace proa::shim
