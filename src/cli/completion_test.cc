#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/error.h"

namespace proa::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

struct Output {
  int status = -1;
  std::vector<std::string> lines;
};

bool installed(const std::string& shell) {
  return std::system(cat("command -v ", shell, " >/dev/null 2>&1").c_str()) == 0;
}

class Completion : public testing::Test {
 protected:
  Completion() {
    char path[] = "/tmp/proa-completion-XXXXXX";
    folder_ = ::mkdtemp(path);
  }
  ~Completion() override {
    for (const char* name : {"script", "test", "folder/file.json"}) ::unlink(cat(folder_, "/", name).c_str());
    ::rmdir(cat(folder_, "/folder").c_str());
    ::rmdir(folder_.c_str());
  }

  void write(const char* name, const std::string& text) { std::ofstream(cat(folder_, "/", name)) << text; }

  // Runs `body` after the completion script was sourced, in the scratch folder.
  Output run(const std::string& shell, const std::string& options, const std::string& body) {
    write("script", completion_script(shell));
    write("test", cat("source ./script\n", body));
    Output output;
    FILE* pipe = ::popen(cat("cd ", folder_, " && ", shell, " ", options, " ./test 2>&1").c_str(), "r");
    char line[4096];
    while (std::fgets(line, sizeof line, pipe) != nullptr) {
      output.lines.emplace_back(line);
      while (output.lines.back().ends_with('\n')) output.lines.back().pop_back();
    }
    output.status = WEXITSTATUS(::pclose(pipe));
    return output;
  }

  // What bash offers for these words; the last is being typed.
  std::vector<std::string> bash(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) list += cat(" '", word, "'");
    return run("bash", "--norc",
               cat("proa() { [[ \"$*\" == 'runtime --root /r list --quiet' ]] && echo rooted; echo web; echo was; }\n",
                   "proa-runtime() { echo other; }\n", "COMP_WORDS=(", list, ")\nCOMP_CWORD=", words.size() - 1,
                   "\n_proa\n[[ ${#COMPREPLY[@]} == 0 ]] || printf '%s\\n' \"${COMPREPLY[@]}\"\n"))
        .lines;
  }

  std::string folder_;
};

TEST_F(Completion, Bash) {
  if (!installed("bash")) GTEST_SKIP() << "bash is not installed";
  EXPECT_THAT(bash({"proa", "ru"}), ElementsAre("run", "runtime"));
  EXPECT_THAT(bash({"proa", "runtime", "re"}), ElementsAre("resume", "restore"));
  EXPECT_THAT(bash({"/usr/bin/proa-runtime", "st"}), ElementsAre("start", "state"));
  EXPECT_THAT(bash({"proa", "runtime", "create", "--no-"}), ElementsAre("--no-pivot", "--no-new-keyring"));
  EXPECT_THAT(bash({"proa", "runtime", "--root", "/r", "cr"}), ElementsAre("create"));
  EXPECT_THAT(bash({"proa", "runtime", "--log-format", ""}), ElementsAre("text", "json"));
  EXPECT_THAT(bash({"proa", "version", "--output", "=", "j"}), ElementsAre("json"));
  EXPECT_THAT(bash({"proa", "version", "-o", "y"}), ElementsAre("yaml"));
  EXPECT_THAT(bash({"proa", "completion", ""}), ElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(bash({"proa", "help", "do"}), ElementsAre("doctor"));
  EXPECT_THAT(bash({"proa", "runtime", "create", "-b", "/b", ""}), IsEmpty()) << "a new id cannot be guessed";
}

TEST_F(Completion, BashOffersContainersAndFiles) {
  if (!installed("bash")) GTEST_SKIP() << "bash is not installed";
  ::mkdir(cat(folder_, "/folder").c_str(), 0755);
  write("folder/file.json", "{}");
  EXPECT_THAT(bash({"proa", "runtime", "start", "w"}), ElementsAre("web", "was"));
  EXPECT_THAT(bash({"proa", "stop", "w"}), ElementsAre("web", "was"));
  EXPECT_THAT(bash({"proa", "runtime", "--root", "/r", "start", ""}), ElementsAre("rooted", "web", "was"));
  EXPECT_THAT(bash({"proa-runtime", "kill", ""}), ElementsAre("other"));
  EXPECT_THAT(bash({"proa", "runtime", "kill", "web", "K"}), ElementsAre("KILL"));
  EXPECT_THAT(bash({"proa", "runtime", "create", "--bundle", "fo"}), ElementsAre("folder"));
  EXPECT_THAT(bash({"proa", "runtime", "exec", "-p", "folder/f"}), ElementsAre("folder/file.json"));
}

TEST_F(Completion, BashLoadsBesideBashCompletion) {
  if (::access("/usr/share/bash-completion/bash_completion", R_OK) != 0)
    GTEST_SKIP() << "bash-completion is not installed";
  const Output output =
      run("bash", "--norc",
          "source /usr/share/bash-completion/bash_completion\nsource ./script\ncomplete -p proa proa-runtime\n");
  EXPECT_EQ(output.status, 0);
  EXPECT_THAT(output.lines, ElementsAre("complete -F _proa proa", "complete -F _proa proa-runtime"));
}

TEST_F(Completion, Fish) {
  if (!installed("fish")) GTEST_SKIP() << "fish is not installed";
  const auto offered = [&](const std::string& line) {
    return run("fish", "--no-config",
               cat("function proa; echo web; end\ncomplete -C '", line, "' | string replace -r '\\t.*' ''\n"))
        .lines;
  };
  EXPECT_THAT(offered("proa ru"), ElementsAre("run", "runtime"));
  EXPECT_THAT(offered("proa runtime re"), testing::UnorderedElementsAre("resume", "restore"));
  EXPECT_THAT(offered("proa-runtime sta"), testing::UnorderedElementsAre("start", "state"));
  EXPECT_THAT(offered("proa runtime create --no-"), testing::UnorderedElementsAre("--no-pivot", "--no-new-keyring"));
  EXPECT_THAT(offered("proa runtime --root /r create --no-p"), ElementsAre("--no-pivot"));
  EXPECT_THAT(offered("proa version -o y"), Contains(testing::HasSubstr("yaml")));
  EXPECT_THAT(offered("proa runtime start w"), ElementsAre("web"));
  EXPECT_THAT(offered("proa runtime create "), Not(Contains("start")));
}

// zsh's completion system needs a terminal; its functions are stood in for.
TEST_F(Completion, Zsh) {
  if (!installed("zsh")) GTEST_SKIP() << "zsh is not installed";
  const auto offered = [&](const std::string& words) {
    return run("zsh", "-f",
               cat("_describe() { local name=${@[-1]}; print -l -- ${${(P)name}%%:*}; }\n",
                   "compadd() { [[ $1 == -a ]] && print -l -- ${(P)2} || print -l -- ${@[2,-1]}; }\n",
                   "_files() { print files $1; }\n", "compset() { :; }\n", "proa() { print -l web was; }\n", "words=(",
                   words, ")\nCURRENT=$#words\n_proa\n"))
        .lines;
  };
  // Without compinit the script's last line has no compdef to call; give it one.
  const auto with = [&](const std::string& words) {
    auto lines = offered(words);
    std::erase_if(lines,
                  [](const std::string& line) { return line.find("command not found: compdef") != std::string::npos; });
    return lines;
  };
  EXPECT_THAT(with("proa ''"),
              ElementsAre("run", "create", "start", "attach", "exec", "ps", "logs", "stop", "restart", "kill", "pause",
                          "unpause", "rm", "wait", "top", "stats", "inspect", "cp", "diff", "commit", "rename",
                          "update", "port", "events", "container", "image", "network", "volume", "vm", "runtime",
                          "doctor", "version", "completion", "help"));
  EXPECT_THAT(with("proa runtime create --"), Contains("--no-pivot"));
  EXPECT_THAT(with("proa runtime start ''"), ElementsAre("web", "was"));
  EXPECT_THAT(with("proa runtime create --bundle ''"), ElementsAre("files -/"));
  EXPECT_THAT(with("proa version --output=''"), ElementsAre("table", "json", "yaml"));
}

}  // namespace
}  // namespace proa::cli
