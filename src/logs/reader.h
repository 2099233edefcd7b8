// Reading what the shim logged (docs/shim.md, "Logs"): its files in the order they were written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace proa::logs {

struct LogQuery {
  std::optional<WallTime> since, until;
  std::optional<uint64_t> tail;  // lines; unset: all
  bool timestamps = false;
  bool follow = false;
  // Before each line its details as text: the record's own, or where those have none, this.
  std::optional<std::string> details;
};

// Where the text goes: whole lines or parts of them, `error` for standard error.
using LogSink = std::function<Result<>(bool error, std::string_view bytes)>;

// `path`: the newest file; older ones are path.1, path.2, compressed or not. `cri`: not json-file. `ended` says, when
// following, whether more is to come.
Result<> read_logs(const std::string& path, bool cri, const LogQuery& query, const LogSink& sink,
                   const std::function<bool()>& ended);

}  // namespace proa::logs
