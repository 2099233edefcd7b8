#include "base/log.h"

#define SPDLOG_HEADER_ONLY
#define SPDLOG_FMT_EXTERNAL
#define FMT_HEADER_ONLY
#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log_format.h"

namespace proa::log {
namespace {

// What configure() decided. Level and fd are plain so that a disabled message costs one load.
struct State {
  Level level = Level::kInfo;
  Format format = Format::kText;
  int fd = STDERR_FILENO;
};
State state;

const char* name_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug: return "debug";
    case spdlog::level::info: return "info";
    case spdlog::level::warn: return "warning";
    default: return "error";
  }
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarning: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

// One write(2) a message: lines of processes sharing the file do not mix (O_APPEND), and nothing is
// left unwritten when the process dies.
class LineSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string line =
        format_line(state.format, name_of(message.level), {message.payload.data(), message.payload.size()},
                    std::chrono::time_point_cast<std::chrono::nanoseconds>(message.time));
    size_t done = 0;
    while (done < line.size()) {
      const ssize_t wrote = ::write(state.fd, line.data() + done, line.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return;  // a log that cannot be written must not stop the work
      done += static_cast<size_t>(wrote);
    }
  }
  void flush_() override {}
};

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("proa", std::make_shared<LineSink>());
    made.set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

}  // namespace

// The file is opened here and not at the first message: by then the process may be inside a
// container, where the same path is somebody else's file.
Result<> configure(const Config& config) {
  if (!config.file.empty()) {
    const int fd = ::open(config.file.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) return fail_errno(errno, "open log file ", config.file);
    if (state.fd != STDERR_FILENO) ::close(state.fd);
    state.fd = fd;
  }
  state.level = config.level;
  state.format = config.format;
  return {};
}

bool enabled(Level level) { return level >= state.level; }
bool to_stderr() { return state.fd == STDERR_FILENO; }
int descriptor() { return state.fd; }

void write(Level level, std::string_view message) {
  try {
    logger().log(spdlog_level(level), spdlog::string_view_t(message.data(), message.size()));
  } catch (const std::exception&) {
    // Out of memory while logging: the message goes out as it is, and the work goes on.
    if (::write(state.fd, message.data(), message.size()) < 0) return;
  }
}

}  // namespace proa::log
