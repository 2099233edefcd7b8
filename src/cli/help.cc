#include "cli/help.h"

#include <algorithm>

#include "cli/suggest.h"

namespace proa::cli {
namespace {

constexpr size_t kWidth = 100;
using Path = std::vector<const Command*>;

std::string line_of(std::string_view program, const Path& path) {
  std::string line(program);
  for (size_t i = 1; i < path.size(); ++i) line.append(" ").append(path[i]->name);
  return line;
}

// What {program} stands for: the nearest command that has commands.
std::string group_line(std::string_view program, Path path) {
  while (path.size() > 1 && path.back()->commands.empty()) path.pop_back();
  return line_of(program, path);
}

std::string filled(std::string_view text, std::string_view mark, std::string_view value) {
  std::string out;
  for (size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark)) {
    out.append(text.substr(0, at)).append(value);
    text.remove_prefix(at + mark.size());
  }
  return out.append(text);
}

// The line of an example of the path's command.
std::string example_line(const Example& example, std::string_view program, const Path& path) {
  return filled(filled(example.line, "{program}", group_line(program, path)), "{command}", line_of(program, path));
}

// Breaks at spaces; lines after the first begin with `indent` spaces.
std::string wrapped(std::string_view text, size_t indent) {
  std::string out;
  size_t column = indent;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    const bool line_end = end < text.size() && text[end] == '\n';
    if (column > indent && column + 1 + word.size() > kWidth) {
      out.append("\n").append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line_end) {
      out.append("\n").append(text.starts_with('\n') ? 0 : indent, ' ');
      column = indent;
    }
  }
  return out;
}

// Left column and explanation, aligned over the whole list.
struct Row {
  std::string left, right;
};
std::string columns(const std::vector<Row>& rows) {
  size_t left = 0;
  for (const Row& row : rows) left = std::max(left, row.left.size());
  left = std::min<size_t>(left, 38);
  std::string out;
  for (const Row& row : rows) {
    out.append("  ").append(row.left);
    if (row.left.size() > left)
      out.append("\n").append(left + 5, ' ');
    else
      out.append(left + 3 - row.left.size(), ' ');
    out.append(wrapped(row.right, left + 5)).append("\n");
  }
  return out;
}

std::string flag_names(const Flag& flag) {
  std::string out;
  for (const char letter : flag.letters.substr(0, 1)) out = cat("-", letter, ", ");
  if (out.empty()) out = "    ";
  out += cat("--", flag.name);
  if (!flag.value_name.empty()) out += cat(" ", flag.value_name);
  return out;
}

std::string flag_help(const Flag& flag) {
  const bool worth_showing = !flag.initial.empty() && flag.initial != ".";
  if (flag.initial == ".") return cat(flag.help, " (default: this folder)");
  return worth_showing ? cat(flag.help, " (default: ", flag.initial, ")") : std::string(flag.help);
}

std::vector<Row> flag_rows(const Command& command) {
  std::vector<Row> rows;
  for (const Flag& flag : command.flags)
    if (!flag.hidden) rows.push_back({flag_names(flag), flag_help(flag)});
  return rows;
}

std::string usage(std::string_view program, const Path& path) {
  const Command& command = *path.back();
  std::string out = line_of(program, path);
  if (!command.flags.empty()) out += " [FLAGS]";
  if (!command.commands.empty()) out += " COMMAND";
  for (const Argument& argument : command.arguments) {
    const std::string name = cat(argument.name, argument.repeated ? "..." : "");
    out += argument.required ? cat(" ", name) : cat(" [", name, "]");
  }
  return out;
}

std::string global_section(const Path& path) {
  std::string out;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    if (i == 0 && path.size() > 2) continue;  // --version of the program itself helps nobody here
    const auto rows = flag_rows(*path[i]);
    if (!rows.empty()) out += cat("\nFlags of '", path[i]->name, "':\n", columns(rows));
  }
  return out;
}

void markdown_flags(std::string& out, const Command& command) {
  bool any = false;
  for (const Flag& flag : command.flags) {
    if (flag.hidden) continue;
    if (!any) out += "\n| Flag | Meaning |\n|---|---|\n";
    any = true;
    std::string names = flag_names(flag);
    names.erase(0, names.find_first_not_of(' '));
    std::string cell = flag_help(flag);
    for (size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2) cell.insert(at, "\\");
    for (size_t at = 0; (at = names.find('|', at)) != std::string::npos; at += 2) names.insert(at, "\\");
    out += cat("| `", names, "` | ", cell, " |\n");
  }
}

void markdown_command(std::string& out, std::string_view program, const Path& path) {
  const Command& command = *path.back();
  out += cat("\n", std::string(std::min<size_t>(path.size() + 1, 6), '#'), " ", line_of(program, path), "\n\n",
             command.summary, ".\n\n    ", usage(program, path), "\n\n",
             filled(command.description, "{program}", group_line(program, path)), "\n");
  if (!command.arguments.empty()) out += "\n";
  for (const Argument& argument : command.arguments) out += cat("- `", argument.name, "`: ", argument.help, "\n");
  markdown_flags(out, command);
  if (!command.examples.empty()) out += "\nExamples:\n\n";
  for (const Example& example : command.examples)
    out += cat("    # ", example.what, "\n    ", example_line(example, program, path), "\n");
  for (const Command* below : command.commands) {
    Path deeper = path;
    deeper.push_back(below);
    markdown_command(out, program, deeper);
  }
}

}  // namespace

std::string help_text(std::string_view program, const Path& path) {
  const Command& command = *path.back();
  const std::string group = group_line(program, path);
  std::string out = cat(command.summary, "\n\nUsage: ", usage(program, path), "\n");
  if (!command.description.empty()) out += cat("\n", wrapped(filled(command.description, "{program}", group), 0), "\n");
  std::vector<Row> rows;
  for (const Command* below : command.commands) rows.push_back({std::string(below->name), std::string(below->summary)});
  if (!rows.empty()) out += cat("\nCommands:\n", columns(rows));
  rows.clear();
  for (const Argument& argument : command.arguments)
    rows.push_back({std::string(argument.name), std::string(argument.help)});
  if (!rows.empty()) out += cat("\nArguments:\n", columns(rows));
  rows = flag_rows(command);
  rows.push_back({"-h, --help", "show this help"});
  out += cat("\nFlags:\n", columns(rows), global_section(path));
  if (!command.examples.empty()) out += "\nExamples:\n";
  for (const Example& example : command.examples)
    out += cat("  # ", example.what, "\n  ", example_line(example, program, path), "\n");
  if (!command.commands.empty()) out += cat("\n'", line_of(program, path), " help COMMAND' explains a command.\n");
  return out;
}

std::string help_markdown(std::string_view program, const Command& root) {
  std::string out = cat("# Commands of ", program, "\n\nMade by `", program, " help --markdown`.\n");
  markdown_command(out, program, {&root});
  return out;
}

Result<Path> find_command(std::string_view program, const Command& root, const std::vector<std::string>& names) {
  Path path{&root};
  for (const std::string& name : names) {
    std::vector<std::string_view> known;
    const Command* next = nullptr;
    for (const Command* candidate : path.back()->commands) {
      known.push_back(candidate->name);
      if (candidate->is(name)) next = candidate;
    }
    if (next == nullptr) {
      const std::string_view meant = nearest(name, known);
      Failure unknown = fail("'", line_of(program, path), "' has no command '", name, "'");
      if (meant.empty()) return std::move(unknown);
      return std::move(unknown).hint(cat("did you mean '", meant, "'?"));
    }
    path.push_back(next);
  }
  return path;
}

}  // namespace proa::cli
