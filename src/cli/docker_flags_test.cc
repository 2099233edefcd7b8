// Docker's flags, as tests/system/clients/docker_flags.tsv lists them, against the command table.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "base/text.h"
#include "cli/help.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

struct Row {
  std::string command, flag, letter, value, stance, why;
};

std::vector<Row> rows() {
  std::ifstream file(PROA_SOURCES "/tests/system/clients/docker_flags.tsv");
  std::vector<Row> out;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::string_view rest = line;
    Row row;
    for (std::string* cell : {&row.command, &row.flag, &row.letter, &row.value, &row.stance, &row.why})
      *cell = cut(rest, '\t');
    out.push_back(std::move(row));
  }
  return out;
}

const Command* command_of(const std::string& line) {
  std::vector<std::string> names;
  for (const std::string_view name : split(line, ' ')) names.emplace_back(name);
  const auto path = find_command("proa", kProaRoot, line == "docker" ? std::vector<std::string>{} : names);
  return path ? path->back() : nullptr;
}

// The command, and its shorter name at the top where Docker has one.
std::vector<std::string> lines_of(const std::string& command) {
  static const std::map<std::string, std::string> kTwins{{"image ls", "images"},
                                                         {"image rm", "rmi"},
                                                         {"container ls", "ps"},
                                                         {"system events", "events"},
                                                         {"system info", "info"}};
  if (const auto twin = kTwins.find(command); twin != kTwins.end()) return {command, twin->second};
  const std::string last = command.substr(command.find(' ') + 1);
  const bool alone = last == "inspect" || last == "prune";  // these two are something else at the top, or nothing
  if (!alone && (command.starts_with("container ") || command.starts_with("image "))) return {command, last};
  return {command};
}

std::string problem(const Command& command, const Row& row) {
  const auto flag = std::ranges::find(command.flags, row.flag, &Flag::name);
  if (flag == command.flags.end()) return "is missing";
  if (!row.letter.empty() && flag->letters.find(row.letter) == std::string_view::npos) return "lacks its letter";
  if ((flag->kind == Kind::kBool) != row.value.empty()) return "differs in taking a value";
  const bool list = row.value == "list" || row.value == "strings" || row.value == "map";
  if (list && flag->kind != Kind::kTexts) return "may not be repeated";
  if (row.stance == "works" && flag->hidden && row.why.empty()) return "works and is not shown";
  if (row.stance == "ignored" && !flag->hidden) return "has no effect and is shown";
  return {};
}

TEST(DockerFlags, EachIsTakenAsTheListSays) {
  const auto all = rows();
  ASSERT_GT(all.size(), 400u);
  for (const Row& row : all)
    for (const std::string& line : lines_of(row.command)) {
      const Command* command = command_of(line);
      if (row.stance == "absent") {
        EXPECT_EQ(command, nullptr) << line << " is there: list its flags";
        continue;
      }
      ASSERT_NE(command, nullptr) << line;
      EXPECT_EQ(problem(*command, row), "") << line << " --" << row.flag;
    }
}

TEST(DockerFlags, EveryStanceIsExplained) {
  for (const Row& row : rows()) {
    EXPECT_TRUE(row.stance == "works" || row.stance == "ignored" || row.stance == "refused" || row.stance == "absent")
        << row.command << " --" << row.flag << ": " << row.stance;
    EXPECT_TRUE(row.stance == "works" || !row.why.empty()) << row.command << " --" << row.flag;
  }
}

}  // namespace
}  // namespace proa::cli
