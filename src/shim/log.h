// A container's log: cuts output into lines, encodes them in batches and hands them to the file.
//
// One write(2) and one clock reading per batch, not per line; lines of one batch share its time.
// A line without its end is held until the rest comes, it grows to kMaxPiece, or the output ends.
#pragma once

#include <string_view>

#include "shim/log_file.h"
#include "shim/record.h"

namespace proa::shim {

class Log {
 public:
  explicit Log(LogFormat format = LogFormat::json_file) : format_(format) {}

  LogFile& file() { return file_; }
  void set_format(LogFormat format) { format_ = format; }
  // A JSON object for each record of json_file; outlives the log.
  void set_attrs(std::string_view attrs) { attrs_ = attrs; }

  // Does nothing without an open file. `time` is when the bytes were read.
  void append(Stream stream, std::string_view bytes, timespec time);
  // The output has ended: logs the unfinished lines.
  void finish(timespec time);
  // Gives the memory of the batch buffer back until it is needed again.
  void release();

 private:
  struct Held {
    size_t size = 0;
    char bytes[kMaxPiece];
  };

  void append_raw(std::string_view bytes);
  // Logs the next line or piece of `bytes`, or holds it; answers how many bytes it took.
  size_t take(Held& held, Stream stream, std::string_view bytes);
  void emit(Stream stream, std::string_view piece);
  void flush();

  static constexpr size_t kBatch = 192 * 1024;
  static_assert(kBatch >= kMaxRecord);

  alignas(4096) char batch_[kBatch];
  size_t pending_ = 0;
  Timestamp time_;
  LogFormat format_;
  std::string_view attrs_;
  LogFile file_;
  Held held_[2];
};

}  // namespace proa::shim
