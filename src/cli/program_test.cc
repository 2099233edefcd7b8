#include "cli/program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "base/json.h"
#include "base/yaml.h"
#include "cli/print.h"
#include "cli/runtime_double.h"

namespace proa::cli {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The whole program in a child process: logging is set up once in a process.
// In a child that is about to become the program.
void open_as(int fd, const std::string& path, int flags) {
  const int opened = ::open(path.c_str(), flags, 0600);
  if (opened < 0 || ::dup2(opened, fd) < 0) ::_exit(99);
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    char path[] = "/tmp/proa-cli-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    runtime_double() = {};
  }
  ~ProgramTest() override {
    for (const char* name : {"/out", "/err", "/log"}) ::unlink((folder_ + name).c_str());
    ::rmdir(folder_.c_str());
  }

  int run(std::vector<std::string> words) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (const auto& [name, fd] : {std::pair("/out", STDOUT_FILENO), std::pair("/err", STDERR_FILENO)})
        open_as(fd, folder_ + name, O_CREAT | O_TRUNC | O_WRONLY);
      std::vector<char*> pointers;
      pointers.reserve(words.size());
      for (std::string& word : words) pointers.push_back(word.data());
      ::_exit(run_program(pointers));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    out_ = slurp(folder_ + "/out");
    err_ = slurp(folder_ + "/err");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string folder_, out_, err_;
};

TEST_F(ProgramTest, RoleByName) {
  EXPECT_EQ(run({"/usr/bin/proa-runtime", "--version"}), 0);
  EXPECT_THAT(out_,
              MatchesRegex("proa-runtime version [0-9.]+\ncommit: [^\n]+\nspec: 1[.]3[.]0\nlibseccomp: [0-9.]+\n"));
  EXPECT_EQ(run({"proa", "runtime", "--version"}), 0);
  EXPECT_THAT(out_, StartsWith("proa-runtime version "));
  EXPECT_EQ(run({"./proa", "--version"}), 0);
  EXPECT_THAT(out_, MatchesRegex("proa version [0-9.]+\n"));
  EXPECT_EQ(run({"proa-runtime", "start", "web"}), 0);
  EXPECT_EQ(run({}), 0);
}

TEST_F(ProgramTest, NoCommandShowsHelp) {
  EXPECT_EQ(run({"proa"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: proa [FLAGS] COMMAND\n"));
  EXPECT_EQ(run({"proa-runtime"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: proa-runtime [FLAGS] COMMAND\n"));
  EXPECT_EQ(run({"proa", "help", "runtime", "create"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: proa runtime create [FLAGS] CONTAINER\n"));
  EXPECT_EQ(run({"proa-runtime", "help", "create"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: proa-runtime create [FLAGS] CONTAINER\n"));
  EXPECT_EQ(run({"proa", "runtime", "help", "create"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: proa runtime create [FLAGS] CONTAINER\n"));
  EXPECT_EQ(run({"proa", "help", "--markdown"}), 0);
  EXPECT_THAT(out_, StartsWith("# Commands of proa\n"));
}

TEST_F(ProgramTest, UsageErrors) {
  EXPECT_EQ(run({"proa", "docter"}), 2);
  EXPECT_EQ(err_, "proa: error: unknown command 'docter'\nhint: did you mean 'proa doctor'?\n");
  EXPECT_EQ(out_, "");
  EXPECT_EQ(run({"proa-runtime", "craete"}), 1);
  EXPECT_THAT(err_, MatchesRegex("time=\"[^\"]+\" level=error msg=\"unknown command 'craete' [^\n]+\n"));
}

TEST_F(ProgramTest, RuntimeErrorsGoToTheLogAndStderrAsRunc) {
  runtime_double().failure = "mount /proc: no";
  EXPECT_EQ(run({"proa-runtime", "--log", folder_ + "/log", "--log-format", "json", "create", "web"}), 1);
  EXPECT_EQ(err_, "mount /proc: no (a hint)\n");
  const auto line = json::parse(slurp(folder_ + "/log")).value();
  EXPECT_EQ(line.at("level").as_string(), "error");
  EXPECT_EQ(line.at("msg").as_string(), "mount /proc: no (a hint)");
  EXPECT_EQ(run({"proa-runtime", "run", "web"}), 1);
  EXPECT_THAT(err_, MatchesRegex("time=\"[^\"]+\" level=error msg=\"mount /proc: no [(]a hint[)]\"\n"));
}

TEST_F(ProgramTest, ExitStatuses) {
  runtime_double().status = 42;
  EXPECT_EQ(run({"proa", "runtime", "run", "web"}), 42);
  EXPECT_EQ(run({"proa", "runtime", "exec", "web", "sh"}), 42);
  runtime_double().failure = "no";
  EXPECT_EQ(run({"proa", "runtime", "exec", "web", "sh"}), 255);
  EXPECT_EQ(run({"proa", "runtime", "start", "web"}), 1);
}

TEST_F(ProgramTest, BadLogFlags) {
  EXPECT_EQ(run({"proa-runtime", "--log", "/nonexistent/x", "list"}), 1);
  EXPECT_THAT(err_, HasSubstr("open log file /nonexistent/x: no such file or directory"));
  EXPECT_EQ(run({"proa-runtime", "--log", "syslog:x", "list"}), 1);
  EXPECT_THAT(err_, HasSubstr("flag --log: only files are supported"));
  EXPECT_EQ(run({"proa-runtime", "--log", cat("file:", folder_, "/log"), "list"}), 0);
  EXPECT_EQ(out_, "web\nwas\ndb\n");
}

TEST_F(ProgramTest, VersionInEveryForm) {
  EXPECT_EQ(run({"proa", "version", "-o", "json"}), 0);
  const auto document = json::parse(out_).value();
  EXPECT_EQ(document.at("ociRuntimeSpec").as_string(), "1.3.0");
  EXPECT_EQ(run({"proa", "version", "--output=yaml"}), 0);
  EXPECT_EQ(yaml::parse(out_).value(), document);
  EXPECT_EQ(run({"proa", "version"}), 0);
  EXPECT_THAT(out_, StartsWith("PROPERTY"));
}

TEST_F(ProgramTest, FullDiskIsAnError) {
  const pid_t child = ::fork();
  if (child == 0) {
    open_as(STDOUT_FILENO, "/dev/full", O_WRONLY);
    open_as(STDERR_FILENO, "/dev/null", O_WRONLY);
    char program[] = "proa", command[] = "version";
    char* words[] = {program, command};
    ::_exit(run_program(words));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(RenderTable, AlignsByCharactersAndTrims) {
  EXPECT_EQ(render_table({{"A", "NAME", "X"}, {{"é", "long name", ""}, {"bb", "n", "1"}}}),
            "A    NAME        X\né    long name\nbb   n           1\n");
}

// Doctor's probes run for real; what they find depends on the host, their form does not.
TEST_F(ProgramTest, DoctorReportsEveryAreaAndAFixForEachGap) {
  const int status = run({"proa", "doctor", "-o", "json"});
  const auto document = json::parse(out_).value();
  const bool usable = document.at("containersCanRun").as_bool();
  EXPECT_EQ(status, usable ? 0 : 1);
  std::set<std::string> areas;
  bool missing = false;
  for (const auto& check : document.at("checks").as_array()) {
    areas.emplace(check.at("area").as_string());
    const auto& state = check.at("status").as_string();
    missing = missing || state == "missing";
    EXPECT_EQ(state != "ok", check.as_object().contains("fix")) << check;
  }
  EXPECT_EQ(missing, !usable);
  EXPECT_EQ(areas, (std::set<std::string>{"cgroups", "devices", "kernel", "limits", "mounts", "namespaces", "network",
                                          "processes", "programs", "security"}));
}

}  // namespace
}  // namespace proa::cli
