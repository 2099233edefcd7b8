// Structured logging, runc's and logrus's two formats: one line each, to stderr or a file.
//   text  time="2026-01-02T03:04:05Z" level=warning msg="..."
//   json  {"level":"warning","msg":"...","time":"2026-01-02T03:04:05Z"}
// Nothing is built before the first message, so a silent program pays nothing. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::log {

enum class Level : uint8_t { kDebug, kInfo, kWarning, kError };
enum class Format : uint8_t { kText, kJson };

struct Config {
  std::string file;  // empty: stderr
  Format format = Format::kText;
  Level level = Level::kInfo;
};

// Opens the file at once (appending, O_CLOEXEC): a bad path is an error here, and a process that has
// entered a container never opens a path of the container's. Call before other threads start.
Result<> configure(const Config& config);
bool enabled(Level level);
// Whether messages go to stderr; when not, a fatal error is also printed there, as runc does.
bool to_stderr();
// The descriptor messages go to, for a process that closes all others.
int descriptor();
void write(Level level, std::string_view message);

template <typename... Parts>
void debug(const Parts&... parts) {
  if (enabled(Level::kDebug)) write(Level::kDebug, cat(parts...));
}
template <typename... Parts>
void info(const Parts&... parts) {
  if (enabled(Level::kInfo)) write(Level::kInfo, cat(parts...));
}
template <typename... Parts>
void warning(const Parts&... parts) {
  if (enabled(Level::kWarning)) write(Level::kWarning, cat(parts...));
}
template <typename... Parts>
void error(const Parts&... parts) {
  if (enabled(Level::kError)) write(Level::kError, cat(parts...));
}

}  // namespace proa::log
