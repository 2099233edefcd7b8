#include "shim/command.h"

namespace proa::shim {
namespace {

constexpr uint64_t kMaxSignal = 64;

Result<Command> parse_resize(std::string_view* line) {
  Command command{.kind = Command::Kind::resize};
  for (uint16_t* side : {&command.rows, &command.columns}) {
    uint64_t value = 0;
    if (!parse_number(take_word(line), UINT16_MAX, &value)) return fail("expected: resize ROWS COLUMNS");
    *side = static_cast<uint16_t>(value);
  }
  return command;
}

Result<Command> parse_signal(std::string_view* line) {
  uint64_t value = 0;
  if (!parse_number(take_word(line), kMaxSignal, &value) || value == 0)
    return fail("expected: signal NUMBER, from 1 to ", kMaxSignal);
  return Command{.kind = Command::Kind::signal, .signal = static_cast<int>(value)};
}

Result<Command> parse_timer(std::string_view* line) {
  Command command{.kind = Command::Kind::timer};
  if (!parse_number(take_word(line), INT32_MAX, &command.milliseconds) || command.milliseconds == 0)
    return fail("expected: timer MILLISECONDS");
  return command;
}

Result<Command> parse_first_word(std::string_view* line) {
  const std::string_view word = take_word(line);
  if (word == "resize") return parse_resize(line);
  if (word == "signal") return parse_signal(line);
  if (word == "hold") return Command{.kind = Command::Kind::hold};
  if (word == "timer") return parse_timer(line);
  if (word == "close-stdin") return Command{.kind = Command::Kind::close_stdin};
  if (word == "reopen-logs") return Command{.kind = Command::Kind::reopen_logs};
  if (word == "status") return Command{.kind = Command::Kind::status};
  if (word == "wait") return Command{.kind = Command::Kind::wait};
  return fail("unknown command '", word,
              "': expected hold, resize, signal, close-stdin, reopen-logs, status, timer or wait");
}

}  // namespace

Result<Command> parse_command(std::string_view line) {
  const Result<Command> command = parse_first_word(&line);
  if (!command) return command;
  const std::string_view extra = take_word(&line);
  if (!extra.empty()) return fail("unexpected '", extra, "'");
  return command;
}

}  // namespace proa::shim
