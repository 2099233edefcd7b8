#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "cli/help.h"
#include "cli/invocation.h"
#include "cli/suggest.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Program kProa{.name = "proa", .root = &kProaRoot, .usage_status = 2, .as_runc = false};
constexpr Program kRuntime{.name = "proa-runtime", .root = &kRuntimeRoot, .usage_status = 1, .as_runc = true};

// A command line that owns its words.
struct Line {
  Line(const Program& program, std::vector<std::string> given) : words(std::move(given)), invocation(program) {
    std::vector<char*> pointers;
    pointers.reserve(words.size());
    for (std::string& word : words) pointers.push_back(word.data());
    result = parse(pointers, invocation);
  }
  std::string error() const { return result ? "" : result.error().message(); }
  std::string hint() const { return result ? "" : result.error().hint(); }

  std::vector<std::string> words;
  Invocation invocation;
  Result<> result;
};

TEST(Parse, WhatContainerdPasses) {
  const Line line(kRuntime, {"--root", "/run/containerd/runc/k8s.io", "--log", "/l.json", "--log-format", "json",
                             "--systemd-cgroup", "create", "--bundle", "/b", "--pid-file", "/b/init.pid",
                             "--console-socket", "/s", "--preserve-fds", "2", "web"});
  ASSERT_EQ(line.error(), "");
  const Invocation& in = line.invocation;
  EXPECT_EQ(in.command_line(), "proa-runtime create");
  EXPECT_EQ(in.text("root"), "/run/containerd/runc/k8s.io");
  EXPECT_EQ(in.text("log-format"), "json");
  EXPECT_TRUE(in.on("systemd-cgroup"));
  EXPECT_EQ(in.text("bundle"), "/b");
  EXPECT_EQ(in.whole("preserve-fds"), 2u);
  EXPECT_FALSE(in.on("no-pivot"));
  EXPECT_THAT(in.arguments(), ElementsAre("web"));
}

TEST(Parse, FormsOfFlags) {
  const Line line(kRuntime, {"-root=/r", "-debug", "run", "-b", "/b", "--detach=true", "-keep=false", "web",
                             "--no-pivot=0", "-pid-file", "-p"});
  ASSERT_EQ(line.error(), "");
  const Invocation& in = line.invocation;
  EXPECT_EQ(in.text("root"), "/r");
  EXPECT_TRUE(in.on("debug"));
  EXPECT_EQ(in.text("bundle"), "/b");
  EXPECT_TRUE(in.on("detach"));
  EXPECT_FALSE(in.on("keep"));
  EXPECT_TRUE(in.is_set("keep"));
  EXPECT_FALSE(in.is_set("no-subreaper"));
  EXPECT_EQ(in.text("pid-file"), "-p") << "a value may begin with a dash";
  EXPECT_THAT(in.arguments(), ElementsAre("web"));
}

TEST(Parse, LettersTogether) {
  const Line line(kRuntime, {"exec", "-tde", "A=B", "-u1000:1000", "-e=C=D", "web", "sh"});
  ASSERT_EQ(line.error(), "");
  EXPECT_TRUE(line.invocation.on("tty"));
  EXPECT_TRUE(line.invocation.on("detach"));
  EXPECT_EQ(line.invocation.text("user"), "1000:1000");
  EXPECT_THAT(line.invocation.texts("env"), ElementsAre("A=B", "C=D"));
}

TEST(Parse, ExecAndPsTakeTheRestAsItStands) {
  const Line exec(kRuntime, {"exec", "--env", "A=1", "web", "ls", "--env", "-la", "--", "--help"});
  ASSERT_EQ(exec.error(), "");
  EXPECT_FALSE(exec.invocation.help_wanted());
  EXPECT_THAT(exec.invocation.texts("env"), ElementsAre("A=1"));
  EXPECT_THAT(exec.invocation.arguments(), ElementsAre("web", "ls", "--env", "-la", "--", "--help"));
  const Line ps(kRuntime, {"ps", "-f", "json", "web", "-o", "pid"});
  ASSERT_EQ(ps.error(), "");
  EXPECT_THAT(ps.invocation.arguments(), ElementsAre("web", "-o", "pid"));
}

TEST(Parse, TwoDashesEndFlags) {
  const Line line(kRuntime, {"delete", "--", "-f"});
  ASSERT_EQ(line.error(), "");
  EXPECT_THAT(line.invocation.arguments(), ElementsAre("-f"));
  EXPECT_FALSE(line.invocation.on("force"));
}

TEST(Parse, LastValueWinsAndDefaultsApply) {
  const Line line(kRuntime, {"create", "-b", "/1", "-b", "/2", "web"});
  EXPECT_EQ(line.invocation.text("bundle"), "/2");
  EXPECT_THAT(line.invocation.texts("bundle"), ElementsAre("/1", "/2"));
  const Line events(kRuntime, {"events", "web"});
  EXPECT_EQ(events.invocation.seconds("interval"), 5);
  EXPECT_THAT(events.invocation.texts("interval"), IsEmpty());
}

TEST(Parse, GlobalFlagsAlsoAfterTheCommandUnlessItHasItsOwn) {
  const Line list(kRuntime, {"list", "--root", "/r"});
  ASSERT_EQ(list.error(), "");
  EXPECT_EQ(*list.invocation.last_of(kRuntimeRoot, "root"), "/r");
  const Line spec(kProa, {"runtime", "--rootless", "auto", "spec", "--rootless"});
  ASSERT_EQ(spec.error(), "");
  EXPECT_TRUE(spec.invocation.on("rootless"));
  EXPECT_EQ(*spec.invocation.last_of(kRuntimeRoot, "rootless"), "auto");
}

TEST(Parse, EmptyNumberIsNotGiven) {
  const Line line(kRuntime,
                  {"update", "--memory", "", "--cpu-quota", "-1", "--memory-swap=-1", "--pids-limit", "0x10", "web"});
  ASSERT_EQ(line.error(), "");
  EXPECT_EQ(line.invocation.bytes("memory"), std::nullopt);
  EXPECT_EQ(line.invocation.integer("cpu-quota"), -1);
  EXPECT_EQ(line.invocation.bytes("memory-swap"), -1);
  EXPECT_EQ(line.invocation.integer("pids-limit"), 16);
}

TEST(Parse, ErrorsNameTheFlagOrArgument) {
  EXPECT_EQ(Line(kRuntime, {"create", "--bundle"}).error(), "flag --bundle: needs a value");
  EXPECT_EQ(Line(kRuntime, {"create", "--preserve-fds", "x", "web"}).error(),
            "flag --preserve-fds: 'x' is not a whole number, zero or more");
  EXPECT_EQ(Line(kRuntime, {"run", "--detach=maybe", "web"}).error(),
            "flag --detach: 'maybe' is neither true nor false");
  EXPECT_EQ(Line(kRuntime, {"--log-format", "xml", "list"}).error(), "flag --log-format: 'xml' is none of text, json");
  EXPECT_EQ(Line(kRuntime, {"start"}).error(), "missing argument CONTAINER for 'proa-runtime start'");
  EXPECT_EQ(Line(kRuntime, {"start", "a", "b"}).error(), "unexpected argument 'b' for 'proa-runtime start'");
  EXPECT_EQ(Line(kRuntime, {"list", "a"}).error(), "unexpected argument 'a' for 'proa-runtime list'");
  EXPECT_EQ(Line(kRuntime, {"run", "-dx", "web"}).error(), "unknown flag -x");
  EXPECT_EQ(Line(kProa, {"completion", "ksh"}).error(), "argument SHELL: 'ksh' is none of bash, zsh, fish");
  EXPECT_EQ(Line(kProa, {"doctor", "-o", "xml"}).error(), "flag -o: 'xml' is none of table, json, yaml");
}

TEST(Parse, SaysWhatWasMeant) {
  EXPECT_EQ(Line(kProa, {"runtime", "craete"}).hint(), "did you mean 'proa runtime create'?");
  EXPECT_EQ(Line(kProa, {"docter"}).hint(), "did you mean 'proa doctor'?");
  EXPECT_EQ(Line(kRuntime, {"create", "--bundel", "x"}).hint(), "did you mean '--bundle'?");
  EXPECT_EQ(Line(kProa, {"frobnicate"}).hint(), "'proa --help' lists the commands");
}

TEST(Parse, WhatStoodBeforeAnErrorIsReadable) {
  const Line line(kRuntime, {"--log", "/l", "create", "--bogus"});
  EXPECT_FALSE(line.result);
  EXPECT_EQ(*line.invocation.last_of(kRuntimeRoot, "log"), "/l");
}

TEST(Parse, HelpStopsEverything) {
  for (const char* flag : {"-h", "--help", "-help"}) {
    const Line line(kRuntime, {"create", flag, "--no-such-flag"});
    EXPECT_EQ(line.error(), "");
    EXPECT_TRUE(line.invocation.help_wanted());
  }
}

TEST(Suggest, NearEnoughOnly) {
  const std::string_view known[] = {"create", "checkpoint", "run"};
  EXPECT_EQ(nearest("crate", known), "create");
  EXPECT_EQ(nearest("rnu", known), "run");
  EXPECT_EQ(nearest("check", known), "checkpoint");
  EXPECT_EQ(nearest("xyz", known), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), known), "");
}

// Every entry of the table is fit to be shown.
void check_command(const Command& command, std::set<const Command*>& seen) {
  seen.insert(&command);
  EXPECT_FALSE(command.summary.empty()) << command.name;
  EXPECT_FALSE(command.summary.ends_with('.')) << command.name;
  EXPECT_FALSE(command.description.empty()) << command.name;
  EXPECT_FALSE(command.examples.empty()) << command.name << " has no example";
  EXPECT_TRUE(command.handler != nullptr || !command.commands.empty()) << command.name;
  std::set<std::string_view> names;
  for (const Flag& flag : command.flags) {
    EXPECT_TRUE(names.insert(flag.name).second) << command.name << " --" << flag.name;
    for (size_t i = 0; i < flag.letters.size(); ++i)
      EXPECT_TRUE(names.insert(flag.letters.substr(i, 1)).second) << command.name << " -" << flag.letters;
    EXPECT_EQ(flag.value_name.empty(), flag.kind == Kind::kBool) << command.name << " --" << flag.name;
    EXPECT_FALSE(flag.help.empty()) << command.name << " --" << flag.name;
  }
  bool shown = !command.commands.empty();
  for (const Example& example : command.examples) {
    EXPECT_THAT(std::string(example.line), AnyOf(HasSubstr("{command}"), HasSubstr("{program} ")));
    shown |= example.line.contains("{command}") || example.line.contains(cat(" ", command.name));
  }
  EXPECT_TRUE(shown) << command.name << " is in none of its examples";
  for (const Command* below : command.commands) check_command(*below, seen);
}

TEST(Table, IsWhole) {
  std::set<const Command*> seen;
  check_command(kProaRoot, seen);
  EXPECT_TRUE(seen.contains(&kRuntimeRoot));
  EXPECT_GT(seen.size(), 20u);
}

TEST(Help, ShowsEverythingAboutACommand) {
  const auto path = find_command("proa", kProaRoot, {"runtime", "kill"}).value();
  const std::string text = help_text("proa", path);
  EXPECT_THAT(text, HasSubstr("Usage: proa runtime kill [FLAGS] CONTAINER [SIGNAL]\n"));
  EXPECT_THAT(text, HasSubstr("  -a, --all "));
  EXPECT_THAT(text, HasSubstr("  proa runtime kill web KILL\n"));
  EXPECT_THAT(text, HasSubstr("--systemd-cgroup"));
  EXPECT_THAT(text, testing::Not(AnyOf(HasSubstr("{program}"), HasSubstr("{command}"))));
  EXPECT_EQ(help_text("proa-runtime", {&kRuntimeRoot}).find("proa runtime"), std::string::npos);
}

TEST(Help, FitsTheWidth) {
  std::string all = help_text("proa", {&kProaRoot});
  for (const Command* command : kRuntimeRoot.commands) all += help_text("proa", {&kProaRoot, &kRuntimeRoot, command});
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find('\n', at);
    EXPECT_LE(end - at, 100u) << all.substr(at, end - at);
    EXPECT_TRUE(end == at || all[end - 1] != ' ') << all.substr(at, end - at);
    at = end + 1;
  }
}

TEST(Help, UnknownCommand) {
  const auto found = find_command("proa", kProaRoot, {"runtime", "strat"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message(), "'proa runtime' has no command 'strat'");
  EXPECT_EQ(found.error().hint(), "did you mean 'start'?");
}

TEST(Help, MarkdownNamesEveryCommandAndFlag) {
  const std::string text = help_markdown("proa", kProaRoot);
  for (const Command* command : kRuntimeRoot.commands) {
    EXPECT_THAT(text, HasSubstr(cat("#### proa runtime ", command->name, "\n")));
    for (const Flag& flag : command->flags)
      if (!flag.hidden) EXPECT_THAT(text, HasSubstr(cat("--", flag.name)));
  }
}

}  // namespace
}  // namespace proa::cli
