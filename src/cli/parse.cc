// Why not a parsing library: the runtime must read what runc reads (one-dash long flags, arguments
// taken verbatim after the container's id, a flag of a command hiding a global one), which CLI11
// cannot, and building its objects for one command costs 40 us a start and 2 MB of program, as much
// as all else the runtime's command line does.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/values.h"
#include "cli/invocation.h"
#include "cli/suggest.h"

namespace proa::cli {
namespace {

constexpr Flag kHelp{.name = "help", .letters = "h", .kind = Kind::kBool, .value_name = {}, .help = "show help"};

Result<> check_value(const Flag& flag, std::string_view text) {
  const auto forget = [](auto result) -> Result<> {
    TRY(std::move(result));
    return {};
  };
  if (!flag.choices.empty() && std::ranges::find(flag.choices, text) == flag.choices.end()) {
    std::string known;
    for (const std::string_view choice : flag.choices)
      if (!choice.empty()) known += cat(known.empty() ? "" : ", ", choice);
    return fail("'", text, "' is none of ", known);
  }
  // runc takes an empty number as one not given.
  if (text.empty() && flag.kind != Kind::kBool && flag.kind != Kind::kDuration) return {};
  switch (flag.kind) {
    case Kind::kBool: return forget(parse_bool(text));
    case Kind::kInteger: return forget(parse_integer(text));
    case Kind::kUnsigned: return forget(parse_unsigned(text));
    case Kind::kDuration: return forget(parse_duration(text));
    case Kind::kBytes: return forget(parse_bytes(text));
    case Kind::kText:
    case Kind::kTexts: break;
  }
  return {};
}

}  // namespace

class Parser {
 public:
  Parser(std::span<char* const> words, Invocation& out) : words_(words), out_(out) {}

  Result<> run() {
    while (next_ < words_.size()) {
      const std::string_view word = words_[next_++];
      if (flags_over_ || word.size() < 2 || word.front() != '-') {
        TRY(plain_word(word));
      } else if (word == "--") {
        flags_over_ = true;
      } else {
        TRY(flag_word(word));
      }
      if (out_.help_wanted_) return {};
    }
    return check_arguments();
  }

 private:
  Result<> plain_word(std::string_view word) {
    const Command& command = out_.command();
    if (!command.commands.empty() && out_.arguments_.empty()) return choose(command, word);
    out_.arguments_.emplace_back(word);
    if (command.verbatim_after > 0 && out_.arguments_.size() >= command.verbatim_after) {
      for (; next_ < words_.size(); ++next_) out_.arguments_.emplace_back(words_[next_]);
    }
    return {};
  }

  Result<> choose(const Command& command, std::string_view word) {
    for (const Command* candidate : command.commands) {
      if (!candidate->is(word)) continue;
      out_.path_.push_back(candidate);
      return {};
    }
    std::vector<std::string_view> names;
    for (const Command* candidate : command.commands) names.push_back(candidate->name);
    const std::string_view meant = nearest(word, names);
    const std::string help = cat("'", out_.command_line(), " --help' lists the commands");
    Failure unknown = fail("unknown command '", word, "'");
    if (meant.empty()) return std::move(unknown).hint(help);
    return std::move(unknown).hint(cat("did you mean '", out_.command_line(), " ", meant, "'?"));
  }

  // -flag, --flag, -flag=value; else letters: -xyz, -bVALUE.
  Result<> flag_word(std::string_view word) {
    const bool two_dashes = word.starts_with("--");
    std::string_view name = word.substr(two_dashes ? 2 : 1);
    const size_t equals = name.find('=');
    const std::string_view attached = equals == std::string_view::npos ? std::string_view() : name.substr(equals + 1);
    const bool has_value = equals != std::string_view::npos;
    if (const Flag* flag = find(name.substr(0, equals)))
      return take(*flag, word.substr(0, word.find('=')), has_value, attached);
    if (!two_dashes && find_letter(name.front()) != nullptr) return letters(name);
    return unknown_flag(word.substr(0, word.find('=')), name.substr(0, equals));
  }

  Result<> letters(std::string_view cluster) {
    while (!cluster.empty()) {
      const Flag* flag = find_letter(cluster.front());
      const std::string shown = cat('-', cluster.front());
      if (flag == nullptr) return unknown_flag(shown, shown);
      cluster.remove_prefix(1);
      if (flag->kind != Kind::kBool && !cluster.empty()) {
        if (cluster.front() == '=') cluster.remove_prefix(1);
        return take(*flag, shown, true, cluster);
      }
      TRY(take(*flag, shown, false, {}));
    }
    return {};
  }

  Result<> take(const Flag& flag, std::string_view shown, bool has_value, std::string_view value) {
    if (flag.kind == Kind::kBool && !has_value) {
      value = "true";
    } else if (!has_value) {
      if (next_ >= words_.size()) return fail("flag ", shown, ": needs a value").hint(usage_hint());
      value = words_[next_++];
    }
    auto checked = check_value(flag, value);
    if (!checked) return fail("flag ", shown, ": ", checked.error().message());
    if (&flag == &kHelp) {
      out_.help_wanted_ = value == "true";
      return {};
    }
    out_.values_.push_back({&flag, std::string(value)});
    return {};
  }

  // Long or one-letter name, in the command or above it.
  const Flag* find(std::string_view name) const {
    if (name.size() == 1) return find_letter(name.front());
    for (auto command = out_.path_.crbegin(); command != out_.path_.crend(); ++command)
      for (const Flag& flag : (*command)->flags)
        if (flag.name == name && holds(flag, command)) return &flag;
    return name == kHelp.name ? &kHelp : nullptr;
  }
  // What is taken for compatibility is taken where others take it: before the words of commands below.
  bool holds(const Flag& flag, std::vector<const Command*>::const_reverse_iterator command) const {
    return !flag.hidden || command == out_.path_.crbegin();
  }
  const Flag* find_letter(char letter) const {
    for (auto command = out_.path_.crbegin(); command != out_.path_.crend(); ++command)
      for (const Flag& flag : (*command)->flags)
        if (flag.letters.find(letter) != std::string_view::npos && holds(flag, command)) return &flag;
    return letter == 'h' ? &kHelp : nullptr;
  }

  Result<> unknown_flag(std::string_view shown, std::string_view name) const {
    std::vector<std::string_view> names;
    for (const Command* command : out_.path_)
      for (const Flag& flag : command->flags)
        if (!flag.hidden) names.push_back(flag.name);
    const std::string_view meant = nearest(name, names);
    Failure unknown = fail("unknown flag ", shown);
    if (meant.empty()) return std::move(unknown).hint(usage_hint());
    return std::move(unknown).hint(cat("did you mean '--", meant, "'?"));
  }

  Result<> check_arguments() const {
    const Command& command = out_.command();
    if (!command.commands.empty()) return {};
    size_t least = 0, most = command.arguments.size();
    for (const Argument& argument : command.arguments) {
      if (argument.required) ++least;
      if (argument.repeated) most = SIZE_MAX;
    }
    const size_t given = out_.arguments_.size();
    if (given < least)
      return fail("missing argument ", command.arguments[given].name, " for '", out_.command_line(), "'")
          .hint(usage_hint());
    if (given > most)
      return fail("unexpected argument '", out_.arguments_[most], "' for '", out_.command_line(), "'")
          .hint(usage_hint());
    for (size_t i = 0; i < std::min(given, command.arguments.size()); ++i)
      TRY_CTX(check_choice(command.arguments[i], out_.arguments_[i]), "argument ", command.arguments[i].name);
    return {};
  }
  static Result<> check_choice(const Argument& argument, std::string_view text) {
    return check_value(
        Flag{.name = {}, .letters = {}, .kind = Kind::kText, .value_name = {}, .help = {}, .choices = argument.choices},
        text);
  }
  std::string usage_hint() const { return cat("see '", out_.command_line(), " --help'"); }

  std::span<char* const> words_;
  Invocation& out_;
  size_t next_ = 0;
  bool flags_over_ = false;
};

Result<> parse(std::span<char* const> words, Invocation& invocation) { return Parser(words, invocation).run(); }

std::string Invocation::command_line() const {
  std::string line(program_->name);
  for (size_t i = 1; i < path_.size(); ++i) line.append(" ").append(path_[i]->name);
  return line;
}

const Flag& Invocation::find(std::string_view name) const {
  for (auto command = path_.rbegin(); command != path_.rend(); ++command)
    for (const Flag& flag : (*command)->flags)
      if (flag.name == name) return flag;
  std::fprintf(stderr, "proa: bug: '%s' has no flag --%.*s\n", command_line().c_str(), static_cast<int>(name.size()),
               name.data());
  std::abort();
}

const std::string* Invocation::last_value(const Flag& flag) const {
  for (auto value = values_.rbegin(); value != values_.rend(); ++value)
    if (value->flag == &flag) return &value->text;
  return nullptr;
}

const std::string* Invocation::last(std::string_view flag) const { return last_value(find(flag)); }

const std::string* Invocation::last_of(const Command& owner, std::string_view name) const {
  for (const Flag& flag : owner.flags)
    if (flag.name == name) return last_value(flag);
  return nullptr;
}

std::optional<std::string_view> Invocation::value(std::string_view name) const {
  const Flag& flag = find(name);
  if (const std::string* given = last_value(flag)) return *given;
  if (!flag.initial.empty()) return flag.initial;
  return std::nullopt;
}

bool Invocation::on(std::string_view flag) const {
  const auto given = value(flag);
  return given && parse_bool(*given).value_or(false);
}

std::string Invocation::text(std::string_view flag) const { return std::string(value(flag).value_or("")); }

std::vector<std::string> Invocation::texts(std::string_view name) const {
  const Flag& flag = find(name);
  std::vector<std::string> all;
  for (const Value& value : values_)
    if (value.flag == &flag) all.push_back(value.text);
  return all;
}

namespace {

template <typename T>
std::optional<T> converted(std::optional<std::string_view> text, Result<T> (*convert)(std::string_view)) {
  if (!text) return std::nullopt;
  auto result = convert(*text);
  return result ? std::optional<T>(*result) : std::nullopt;
}

}  // namespace

std::optional<int64_t> Invocation::integer(std::string_view flag) const {
  return converted(value(flag), parse_integer);
}
std::optional<uint64_t> Invocation::whole(std::string_view flag) const {
  return converted(value(flag), parse_unsigned);
}
std::optional<double> Invocation::seconds(std::string_view flag) const {
  return converted(value(flag), parse_duration);
}
std::optional<int64_t> Invocation::bytes(std::string_view flag) const { return converted(value(flag), parse_bytes); }

}  // namespace proa::cli
