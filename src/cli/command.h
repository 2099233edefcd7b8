// The command table's types. Everything a command is (names, flags, arguments, examples) stands once,
// as constant data, in the *_table.cc files; parser, help, completions and the reference are made
// from it. The tables cost nothing at start: they are constants of the program's image.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"

namespace proa::cli {

class Invocation;

enum class Kind : uint8_t {
  kBool,      // --x, --x=false
  kText,      // --x VALUE
  kTexts,     // --x VALUE, may be repeated
  kInteger,   // 64-bit, signed
  kUnsigned,  // 64-bit
  kDuration,  // 1m30s, 500ms
  kBytes,     // 512m, 1.5g, -1 for no limit
};

// What a shell offers as the value.
enum class Offer : uint8_t { kNothing, kFile, kFolder, kContainer, kName, kSignal, kShell, kCommand };

struct Flag {
  std::string_view name;     // without dashes
  std::string_view letters;  // one-letter names, e.g. "b"
  Kind kind = Kind::kBool;
  std::string_view value_name;  // in help: --bundle PATH
  std::string_view help;
  std::string_view initial = {};                   // the default, as text; empty: unset
  std::span<const std::string_view> choices = {};  // the only values allowed
  Offer offer = Offer::kNothing;
  bool hidden = false;  // taken for compatibility, not shown
};

struct Argument {
  std::string_view name;
  std::string_view help;
  bool required = true;
  bool repeated = false;
  Offer offer = Offer::kNothing;
  std::span<const std::string_view> choices = {};
};

struct Example {
  std::string_view line;
  std::string_view what;
};

// Runs the command; the number is the program's exit status.
using Handler = Result<int> (*)(const Invocation&);

struct Command {
  bool is(std::string_view word) const {
    for (const std::string_view alias : aliases)
      if (alias == word) return true;
    return name == word;
  }

  std::string_view name;
  std::span<const std::string_view> aliases = {};  // Docker's other names, taken and not shown
  std::string_view summary;                        // one line, in lists of commands
  std::string_view description;                    // paragraphs for its help
  std::span<const Flag> flags = {};
  std::span<const Argument> arguments = {};
  std::span<const Example> examples = {};  // {command}: this one's line; {program}: that of the group it is in
  std::span<const Command* const> commands = {};
  Handler handler = nullptr;
  // After this many arguments the rest is taken as it stands, dashes and all; 0: never.
  uint8_t verbatim_after = 0;
  int error_status = 1;  // exit status when the handler fails
};

}  // namespace proa::cli
