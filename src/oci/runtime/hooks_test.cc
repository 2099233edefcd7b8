#include "oci/runtime/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <sys/stat.h>

#include "kernel/runs_programs_test.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST(SummarizeOutput, IsOneLine) {
  EXPECT_EQ(summarize_output("one\ntwo\r\n\tthree  four\n\n"), "one two three four");
  EXPECT_EQ(summarize_output(" \n "), "");
  EXPECT_EQ(summarize_output(""), "");
}

TEST(SummarizeOutput, NothingSteersATerminal) {
  EXPECT_EQ(summarize_output("a\x1b[31mred\x7f\x07z"), "a [31mred z");
  EXPECT_EQ(summarize_output(std::string("a\0b", 3)), "a b");
  EXPECT_EQ(summarize_output("a\u009b31mb"), "a 31mb") << "C1 controls are characters of two bytes";
}

TEST(SummarizeOutput, KeepsWhatIsValidUtf8) {
  EXPECT_EQ(summarize_output("größe € 😀 \u00a0\U0010fffd"), "größe € 😀 \u00a0\U0010fffd");
}

TEST(SummarizeOutput, TakesOutBrokenUtf8) {
  EXPECT_EQ(summarize_output("a\xff\xfe z"), "a z");
  EXPECT_EQ(summarize_output("a\xc3"), "a") << "cut short";
  EXPECT_EQ(summarize_output("a\xc0\xaf z"), "a z") << "longer than it needs to be";
  EXPECT_EQ(summarize_output("a\xe0\x80\xaf z"), "a z") << "longer than it needs to be";
  EXPECT_EQ(summarize_output("a\xf0\x80\x80\xaf z"), "a z") << "longer than it needs to be";
  EXPECT_EQ(summarize_output("a\xed\xa0\x80 z"), "a z") << "half of a surrogate pair";
  EXPECT_EQ(summarize_output("a\xf4\x90\x80\x80 z"), "a z") << "beyond the last character";
}

TEST(SummarizeOutput, KeepsTheEndAndNoHalfCharacter) {
  EXPECT_EQ(summarize_output("0123456789", 4), "6789");
  EXPECT_EQ(summarize_output("a€bc", 4), "bc");
  EXPECT_EQ(summarize_output(std::string(1000, 'x')).size(), 512u);
}

class RunHooks : public RunsPrograms {
 protected:
  // A hook that is a shell script, run in the folder's path as $1.
  Hook script(std::string_view name, std::string_view text) const {
    folder.write(name, cat("#!/bin/sh\n", text, "\n"));
    EXPECT_EQ(::chmod((folder / name).c_str(), 0755), 0);
    return {.path = folder / name, .args = {std::string(name), folder.path()}, .env = {}, .timeout = {}};
  }
  // Text of the one error of hooks.prestart.
  std::string error_of(const std::vector<Hook>& hooks) const {
    const auto done = run_hooks("prestart", hooks, "{}");
    return done ? "no error" : done.error().message();
  }

  TempFolder folder;
};

TEST_F(RunHooks, StateIsOnStdin) {
  const std::string state = R"({"id":"box","pid":7})";
  ASSERT_TRUE(run_hooks("prestart", {script("a", "cat > $1/got")}, state));
  EXPECT_EQ(folder.read("got"), state);
}

TEST_F(RunHooks, EnvironmentAndArguments) {
  ::setenv("OF_THE_RUNTIME", "leaked", 1);
  Hook hook = script("a", "echo \"$A $OF_THE_RUNTIME|$#|$2\" > $1/got");
  hook.env = {"A=b c"};
  hook.args.emplace_back("two words");
  ASSERT_TRUE(run_hooks("prestart", {hook}, "{}"));
  ::unsetenv("OF_THE_RUNTIME");
  EXPECT_EQ(folder.read("got"), "b c |2|two words\n");
}

TEST_F(RunHooks, WithoutArgumentsThePathIsTheName) {
  Hook hook = script("a", cat("echo \"$0 $#\" > ", folder.path(), "/got"));
  hook.args.clear();
  ASSERT_TRUE(run_hooks("prestart", {hook}, "{}"));
  EXPECT_EQ(folder.read("got"), cat(folder / "a", " 0\n"));
}

TEST_F(RunHooks, InOrderUntilTheFirstFailure) {
  const std::vector<Hook> hooks{script("a", "echo a >> $1/got"), script("b", "echo b >> $1/got; exit 3"),
                                script("c", "echo c >> $1/got")};
  EXPECT_EQ(error_of(hooks), cat("hooks.prestart[1]: ", folder / "b", ": exit status 3"));
  EXPECT_EQ(folder.read("got"), "a\nb\n");
}

TEST_F(RunHooks, FailureShowsTheOutput) {
  EXPECT_THAT(error_of({script("a", "echo first; echo 'no such\tdevice' >&2; exit 1")}),
              EndsWith(": exit status 1: first no such device"));
  EXPECT_THAT(error_of({script("b", "kill -KILL $$")}), EndsWith(": exit status 137"));
}

TEST_F(RunHooks, ThatTakeTooLongAreKilled) {
  Hook hook = script("a", "echo begun; exec sleep 600");
  hook.timeout = 1;
  EXPECT_THAT(error_of({hook}), EndsWith("/a: no end after 1 s, killed"));
}

TEST_F(RunHooks, LongestTimeoutIsLong) {
  Hook hook = script("a", "exit 0");
  hook.timeout = INT_MAX;
  EXPECT_EQ(error_of({hook}), "no error");
}

TEST_F(RunHooks, ThatCannotBeStarted) {
  EXPECT_EQ(error_of({{.path = "/no/such/hook", .args = {}, .env = {}, .timeout = {}}}),
            "hooks.prestart[0]: start /no/such/hook: no such file or directory");
  folder.write("data", "");
  EXPECT_THAT(error_of({{.path = folder / "data", .args = {}, .env = {}, .timeout = {}}}),
              EndsWith("data: permission denied"));
}

TEST_F(RunHooks, WarningsDoNotStopTheOthers) {
  testing::internal::CaptureStderr();
  run_hooks_warning("poststop", {script("a", "exit 2"), script("b", "touch $1/ran")}, "{}");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("level=warning"), HasSubstr("hooks.poststop[0]: "), HasSubstr("exit status 2")));
  EXPECT_TRUE(std::filesystem::exists(folder / "ran"));
}

}  // namespace
}  // namespace proa::oci::runtime
