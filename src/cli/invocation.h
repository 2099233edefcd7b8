// A command line after parsing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/command.h"

namespace proa::cli {

// Which program the user sees: error style, exit status of a usage error and help differ.
struct Program {
  std::string_view name;  // "proa", "proa-runtime"
  const Command* root;    // what its first word chooses from
  int usage_status;       // exit status of a usage error
  bool as_runc;           // errors go to the log in runc's form
};

// Values are checked when parsed, so reading them cannot fail. A flag is looked up in the command
// first, then in those above it; asking for one that neither has is a bug and ends the program.
class Invocation {
 public:
  explicit Invocation(const Program& program) : program_(&program), path_{program.root} {}

  const Program& program() const { return *program_; }
  // The root, then each command down to the chosen one.
  const std::vector<const Command*>& path() const { return path_; }
  const Command& command() const { return *path_.back(); }
  // "proa runtime create"
  std::string command_line() const;
  const std::vector<std::string>& arguments() const { return arguments_; }
  // The argument, or nothing where it was left out.
  std::string argument(size_t index) const { return index < arguments_.size() ? arguments_[index] : std::string(); }
  bool help_wanted() const { return help_wanted_; }

  bool is_set(std::string_view flag) const { return last(flag) != nullptr; }
  bool on(std::string_view flag) const;
  std::string text(std::string_view flag) const;
  std::vector<std::string> texts(std::string_view flag) const;
  std::optional<int64_t> integer(std::string_view flag) const;
  std::optional<uint64_t> whole(std::string_view flag) const;
  std::optional<double> seconds(std::string_view flag) const;
  std::optional<int64_t> bytes(std::string_view flag) const;
  // A flag of `owner`, which must be in path(), passing over flags of the same name below it.
  const std::string* last_of(const Command& owner, std::string_view flag) const;

 private:
  friend class Parser;
  struct Value {
    const Flag* flag;
    std::string text;
  };
  const Flag& find(std::string_view name) const;
  const std::string* last(std::string_view flag) const;
  const std::string* last_value(const Flag& flag) const;
  // The value given, else the default, else nothing.
  std::optional<std::string_view> value(std::string_view flag) const;

  const Program* program_;
  std::vector<const Command*> path_;
  std::vector<Value> values_;
  std::vector<std::string> arguments_;
  bool help_wanted_ = false;
};

// Fills `invocation` from the words after the program's name, by the rules of Go's flag package and
// urfave/cli: one dash or two, `-flag value` or `-flag=value`, flags anywhere before the verbatim
// arguments, `--` ends flags; also getopt's `-xyz` and `-bVALUE`. What was read before an error stays
// readable, so that --log can be honoured for reporting it.
Result<> parse(std::span<char* const> words, Invocation& invocation);

}  // namespace proa::cli
