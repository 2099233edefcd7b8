#include "cli/completion.h"

#include <functional>

#include "base/error.h"
#include "cli/command.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

using Path = std::vector<const Command*>;
using Visit = std::function<void(const std::string& line, const Path& path)>;

void walk(const Path& path, const std::string& line, const Visit& visit) {
  visit(line, path);
  for (const Command* below : path.back()->commands) {
    Path deeper = path;
    deeper.push_back(below);
    walk(deeper, cat(line, " ", below->name), visit);
  }
}
void walk_all(const Visit& visit) { walk({&kProaRoot}, "proa", visit); }

std::string words_of(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words)
    if (!word.empty()) out += cat(out.empty() ? "" : " ", word);
  return out;
}

std::string command_names(const Command& command) {
  std::string out;
  for (const Command* below : command.commands) out += cat(out.empty() ? "" : " ", below->name);
  return out;
}

// How a script writes what to offer: words, or one of its own @-words.
std::string offer_words(Offer offer, std::span<const std::string_view> choices) {
  if (!choices.empty()) return words_of(choices);
  switch (offer) {
    case Offer::kFile: return "@file";
    case Offer::kFolder: return "@folder";
    case Offer::kContainer: return "@container";
    case Offer::kName: return "@name";
    case Offer::kSignal: return "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP";
    case Offer::kCommand: return "@command";
    case Offer::kShell:
    case Offer::kNothing: break;
  }
  return "";
}

std::string single_quoted(std::string_view text, std::string_view quote) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += quote;
    else
      out += c;
  }
  return out += "'";
}

// The three case statements that bash and zsh share; `describe` makes the words of a list.
struct Cases {
  std::string commands, flags, values, arguments;
};

Cases make_cases(const std::function<std::string(std::string_view word, std::string_view help)>& describe) {
  Cases out;
  walk_all([&](const std::string& line, const Path& path) {
    const Command& command = *path.back();
    if (!command.commands.empty()) {
      out.commands += cat("    '", line, "') list=(");
      for (const Command* below : command.commands) out.commands += cat(" ", describe(below->name, below->summary));
      out.commands += " );;\n";
    }
    out.flags += cat("    '", line, "') list=(");
    for (const Flag& flag : command.flags)
      if (!flag.hidden) out.flags += cat(" ", describe(cat("--", flag.name), flag.help));
    out.flags += cat(" ", describe("--help", "show help"), " );;\n");
    for (const Command* owner : path) {
      for (const Flag& flag : owner->flags) {
        if (flag.kind == Kind::kBool) continue;
        std::string cases;
        for (const char letter : flag.letters) cases += cat("|'", line, " -", letter, "'");
        out.values += cat("    '", line, " --", flag.name, "'", cases, ") offer='",
                          offer_words(flag.offer, flag.choices), "';;\n");
      }
    }
    size_t position = 0;
    for (const Argument& argument : command.arguments) {
      const std::string words = offer_words(argument.offer, argument.choices);
      if (!words.empty()) out.arguments += cat("    '", line, " ", position, "') offer='", words, "';;\n");
      ++position;
    }
  });
  return out;
}

// Shared by bash and zsh: walks the words before the cursor. Sets path, flag (awaiting its value),
// count (arguments so far), rooted (the --root given). Arrays are handed in as "$@".
constexpr std::string_view kWalk = R"sh(
__proa_walk() {
  local word list offer first=${1##*/}
  shift
  path=proa flag= count=0 rooted=()
  [[ $first == proa-runtime ]] && path='proa runtime'
  for word in "$@"; do
    if [[ -n $flag ]]; then
      [[ $word == '=' ]] && continue
      [[ $flag == --root ]] && rooted=(--root "$word")
      flag=
      continue
    fi
    case $word in
      --root=*) rooted=("$word") ;;
      -*=*) ;;
      -?*) __proa_value "$path" "$word" && flag=$word ;;
      *)
        if __proa_commands "$path" && __proa_has "$word"; then path="$path $word"; else count=$((count + 1)); fi ;;
    esac
  done
}
)sh";

constexpr std::string_view kBashEnd = R"sh(
__proa_has() {
  local known
  for known in "${list[@]}"; do [[ $known == "$1" ]] && return 0; done
  return 1
}

__proa_containers() {
  local program=("${COMP_WORDS[0]}")
  [[ ${COMP_WORDS[0]##*/} == proa-runtime ]] || program+=(runtime)
  "${program[@]}" "${rooted[@]}" list --quiet 2>/dev/null
}

_proa() {
  local cur=${COMP_WORDS[COMP_CWORD]} path flag count offer=
  local -a list=() rooted=()
  COMPREPLY=()
  __proa_walk "${COMP_WORDS[@]:0:COMP_CWORD}"
  [[ $cur == '=' ]] && cur=
  if [[ -n $flag ]]; then
    __proa_value "$path" "$flag"
  elif [[ $cur == -* ]]; then
    __proa_flags "$path"
    COMPREPLY=($(compgen -W "${list[*]}" -- "$cur"))
    return
  elif __proa_commands "$path"; then
    COMPREPLY=($(compgen -W "${list[*]}" -- "$cur"))
    return
  else
    __proa_argument "$path" "$count"
  fi
  case $offer in
    @file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    @folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    @container) COMPREPLY=($(compgen -W "$(__proa_containers)" -- "$cur")) ;;
    @name) COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" ps -a --format '{{.Names}}' 2>/dev/null)" -- "$cur")) ;;
    @command) __proa_commands "${path% *}" && COMPREPLY=($(compgen -W "${list[*]}" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$offer" -- "$cur")) ;;
  esac
}

complete -F _proa proa proa-runtime
)sh";

constexpr std::string_view kZshEnd = R"sh(
__proa_has() {
  local known
  for known in "${list[@]}"; do [[ ${known%%:*} == "$1" ]] && return 0; done
  return 1
}

__proa_containers() {
  local -a program=("${words[1]}")
  [[ ${words[1]##*/} == proa-runtime ]] || program+=(runtime)
  "${program[@]}" "${rooted[@]}" list --quiet 2>/dev/null
}

_proa() {
  local cur=${words[CURRENT]} path flag count offer=
  local -a list rooted ids
  __proa_walk "${(@)words[1,CURRENT-1]}"
  if [[ -z $flag && $cur == --*=* ]]; then
    flag=${cur%%=*}
    compset -P '*='
  fi
  if [[ -n $flag ]]; then
    __proa_value "$path" "$flag"
  elif [[ $cur == -* ]]; then
    __proa_flags "$path"
    _describe -o flag list
    return
  elif __proa_commands "$path"; then
    _describe command list
    return
  else
    __proa_argument "$path" "$count"
  fi
  case $offer in
    @file) _files ;;
    @folder) _files -/ ;;
    @container) ids=(${(f)"$(__proa_containers)"}); compadd -a ids ;;
    @name) ids=(${(f)"$("${words[1]}" ps -a --format '{{.Names}}' 2>/dev/null)"}); compadd -a ids ;;
    @command) __proa_commands "${path% *}" && _describe command list ;;
    *) compadd -- ${=offer} ;;
  esac
}

# Sourced: register it; read as a file of $fpath: complete at once.
if [[ $funcstack[1] == _proa ]]; then
  _proa "$@"
else
  compdef _proa proa proa-runtime
fi
)sh";

std::string case_function(std::string_view name, std::string_view subject, std::string_view cases,
                          std::string_view setup) {
  return cat("\n", name, "() {\n  ", setup, "\n  case ", subject, " in\n", cases, "    *) return 1;;\n  esac\n}\n");
}

std::string cases_script(const Cases& cases) {
  return cat(case_function("__proa_commands", "$1", cases.commands, "list=()"),
             case_function("__proa_flags", "$1", cases.flags, "list=()"),
             case_function("__proa_value", "\"$1 $2\"", cases.values, "offer="),
             case_function("__proa_argument", "\"$1 $2\"", cases.arguments, "offer="), kWalk);
}

std::string bash_script() {
  const Cases cases = make_cases([](std::string_view word, std::string_view) { return std::string(word); });
  return cat("# bash completion of proa; made by 'proa completion bash'.\n", cases_script(cases), kBashEnd);
}

std::string zsh_script() {
  const Cases cases = make_cases(
      [](std::string_view word, std::string_view help) { return single_quoted(cat(word, ":", help), "'\\''"); });
  return cat("#compdef proa proa-runtime\n# zsh completion of proa; made by 'proa completion zsh'.\n",
             cases_script(cases), kZshEnd);
}

constexpr std::string_view kFishStart = R"sh(# fish completion of proa; made by 'proa completion fish'.

# The command line's path of commands, e.g. "proa runtime create".
function __proa_path
    set -l words (commandline -opc)
    set -l path proa
    string match -qr '(^|/)proa-runtime$' -- $words[1]; and set path 'proa runtime'
    set -l awaiting 0
    for word in $words[2..-1]
        if test $awaiting = 1
            set awaiting 0
        else if string match -q -- '-*=*' $word
            continue
        else if string match -q -- '-*' $word
            __proa_takes_value $path $word; and set awaiting 1
        else if __proa_has_command $path $word
            set path "$path $word"
        end
    end
    echo $path
end

function __proa_at
    test (__proa_path) = $argv[1]
end

function __proa_names
    set -l words (commandline -opc)
    $words[1] ps -a --format '{{.Names}}' 2>/dev/null
end

function __proa_containers
    set -l words (commandline -opc)
    set -l program $words[1]
    string match -qr '(^|/)proa-runtime$' -- $words[1]; or set -a program runtime
    set -l root (string match -r -- '--root[= ](\S+)' "$words")[2]
    test -n "$root"; and set -a program --root $root
    $program list --quiet 2>/dev/null
end
)sh";

std::string fish_offer(Offer offer, std::span<const std::string_view> choices, bool argument) {
  const std::string words = offer_words(offer, choices);
  const std::string_view exclusive = argument ? "-f" : "-x";
  if (words == "@file") return argument ? " -F" : " -r -F";
  if (words == "@folder") return cat(" ", exclusive, " -a '(__fish_complete_directories)'");
  if (words == "@name") return cat(" ", exclusive, " -a '(__proa_names)'");
  if (words == "@container") return cat(" ", exclusive, " -a '(__proa_containers)'");
  if (words.empty() || words == "@command") return cat(" ", exclusive);
  return cat(" ", exclusive, " -a '", words, "'");
}

// case lines of `switch "$argv[1] $argv[2]"`: everything for which `wanted` holds.
std::string fish_function(std::string_view name, const std::vector<std::string>& cases) {
  std::string out = cat("\nfunction ", name, "\n    switch \"$argv[1] $argv[2]\"\n        case");
  for (const std::string& one : cases) out += cat(" '", one, "'");
  return out += "\n            return 0\n    end\n    return 1\nend\n";
}

std::string fish_script() {
  std::vector<std::string> valued, commands;
  std::string lines;
  const auto described = [](std::string_view help) { return cat(" -d ", single_quoted(help, "\\'"), "\n"); };
  walk_all([&](const std::string& line, const Path& path) {
    const Command& command = *path.back();
    for (const Command* owner : path)
      for (const Flag& flag : owner->flags) {
        if (flag.kind == Kind::kBool) continue;
        valued.push_back(cat(line, " --", flag.name));
        for (const char letter : flag.letters) valued.push_back(cat(line, " -", letter));
      }
    const std::string start = cat("complete -c proa -c proa-runtime -n \"__proa_at '", line, "'\"");
    for (const Command* below : command.commands) {
      commands.push_back(cat(line, " ", below->name));
      lines += cat(start, " -f -a ", below->name, described(below->summary));
    }
    for (const Flag& flag : command.flags) {
      if (flag.hidden) continue;
      std::string letters;
      for (const char letter : flag.letters) letters += cat(" -s ", letter);
      lines += cat(start, " -l ", flag.name, letters,
                   flag.kind == Kind::kBool ? "" : fish_offer(flag.offer, flag.choices, false), described(flag.help));
    }
    lines += cat(start, " -l help -s h", described("show help"));
    if (!command.arguments.empty()) {
      const Argument& first = command.arguments.front();
      const std::string offer = first.offer == Offer::kCommand && path.size() > 1
                                    ? cat(" -f -a '", command_names(*path[path.size() - 2]), "'")
                                    : fish_offer(first.offer, first.choices, true);
      lines += cat(start, offer, "\n");
    }
  });
  return cat(kFishStart, fish_function("__proa_takes_value", valued), fish_function("__proa_has_command", commands),
             "\n", lines);
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  return fish_script();
}

}  // namespace proa::cli
