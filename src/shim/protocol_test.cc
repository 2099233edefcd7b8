// What callers say to a shim: its command line, attach.sock's first line and ctl.sock's commands.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shim/command.h"
#include "shim/frame.h"
#include "shim/oom.h"
#include "shim/options.h"

namespace proa::shim {
namespace {

std::string error_of(const auto& result) { return result ? "" : std::string(result.error().text.view()); }

TEST(FrameHeader, IsDockers) {
  unsigned char header[kFrameHeader];
  write_frame_header(header, Stream::err, 0x01020304);
  EXPECT_EQ(std::vector<unsigned char>({2, 0, 0, 0, 1, 2, 3, 4}), std::vector<unsigned char>(header, header + 8));
}

TEST(Hello, Defaults) {
  const Result<Hello> hello = parse_hello("attach");
  ASSERT_TRUE(hello);
  EXPECT_TRUE(hello->out && hello->err && !hello->in && !hello->raw && !hello->result);
  EXPECT_EQ(kDefaultPatience, hello->patience);
}

TEST(Hello, EveryWord) {
  const Result<Hello> hello = parse_hello("attach stdin stderr exit patience=0");
  ASSERT_TRUE(hello);
  EXPECT_TRUE(hello->in && hello->err && !hello->out && hello->result);
  EXPECT_EQ(0, hello->patience);
  EXPECT_EQ(kForever, parse_hello("attach stdout raw patience=forever")->patience);
}

TEST(Hello, Refusals) {
  for (const char* bad : {"", "detach", "attach stdio", "attach patience=", "attach patience=-1",
                          "attach patience=3600001", "attach raw exit", "ATTACH"})
    EXPECT_NE("", error_of(parse_hello(bad))) << bad;
}

TEST(Commands, Parse) {
  const Result<Command> resize = parse_command("resize 24 80");
  ASSERT_TRUE(resize);
  EXPECT_EQ(Command::Kind::resize, resize->kind);
  EXPECT_EQ(24, resize->rows);
  EXPECT_EQ(80, resize->columns);
  EXPECT_EQ(9, parse_command("signal 9")->signal);
  EXPECT_EQ(Command::Kind::close_stdin, parse_command("close-stdin")->kind);
  EXPECT_EQ(Command::Kind::reopen_logs, parse_command("reopen-logs")->kind);
  EXPECT_EQ(Command::Kind::status, parse_command("status")->kind);
  EXPECT_EQ(Command::Kind::wait, parse_command("wait")->kind);
}

TEST(Commands, Refusals) {
  for (const char* bad : {"", "resize", "resize 1", "resize 1 65536", "resize -1 1", "signal 0", "signal 65",
                          "signal KILL", "status now", "wait 1", "stop"})
    EXPECT_NE("", error_of(parse_command(bad))) << bad;
}

class Arguments {
 public:
  explicit Arguments(std::vector<const char*> more) : all_{"proa-shim"} {
    all_.insert(all_.end(), more.begin(), more.end());
    all_.push_back(nullptr);
  }
  std::string parse() { return error_of(parse_options(all_.data(), &options)); }

  Options options;

 private:
  std::vector<const char*> all_;
};

std::vector<const char*> with(std::vector<const char*> more) {
  std::vector<const char*> all = {"--runtime", "runc", "--bundle", "b", "--id", "box", "--state", "s"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(CommandLine, Everything) {
  Arguments arguments(with({"--root=r", "--terminal", "--stdin-once", "--log", "l", "--log-format=k8s-file",
                            "--log-max-size", "2k", "--log-max-files", "3", "--runtime-arg", "--debug", "--sync-fd",
                            "5", "--preserve-fds=2", "--exit-command", "/bin/x", "--id", "y"}));
  ASSERT_EQ("", arguments.parse());
  const Options& options = arguments.options;
  EXPECT_STREQ("r", options.root);
  EXPECT_TRUE(options.terminal && options.in && options.in_once);
  EXPECT_EQ(LogFormat::cri, options.log_format);
  EXPECT_EQ(2048u, options.log_max_size);
  EXPECT_EQ(3u, options.log_max_files);
  EXPECT_STREQ("--debug", options.runtime_args[0]);
  EXPECT_EQ(5, options.sync_fd);
  EXPECT_STREQ("box", options.id);  // what follows --exit-command is the command's
  EXPECT_STREQ("y", options.exit_command[2]);
  EXPECT_EQ(nullptr, options.exit_command[3]);
}

TEST(CommandLine, ErrorsNameTheFlag) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{"--id"}, "--id"},
      {{"--id", ".."}, "--id"},
      {{"--id", "-x"}, "--id"},
      {{"--id", "a b"}, "--id"},
      {{"--log-format", "json"}, "--log-format"},
      {{"--log-max-files", "0"}, "--log-max-files"},
      {{"--log-max-size", "1m"}, "--log-max-size"},  // without --log
      {{"--sync-fd", "2"}, "--sync-fd"},
      {{"--sync-fd", "4", "--preserve-fds", "2"}, "--sync-fd"},
      {{"--exit-command"}, "--exit-command"},
      {{"--exit-command", "true"}, "--exit-command"},
      {{"--terminal=no"}, "--terminal"},
      {{"--nonsense"}, "--nonsense"},
      {{"stray"}, "stray"},
  };
  for (const auto& [flags, name] : cases)
    EXPECT_NE(std::string::npos, Arguments(with(flags)).parse().find(name)) << name;
  EXPECT_NE(std::string::npos, Arguments({"--state", "s"}).parse().find("--runtime: is required"));
  EXPECT_EQ("", Arguments({"--cleanup", "--state", "s"}).parse());
  EXPECT_NE(std::string::npos, Arguments({"--cleanup"}).parse().find("--state: is required"));
}

TEST(Sizes, Parse) {
  uint64_t size = 0;
  EXPECT_TRUE(parse_size("10M", &size));
  EXPECT_EQ(10u << 20, size);
  EXPECT_TRUE(parse_size("8589934591g", &size));
  for (const char* bad : {"", "k", "1t", "-1", "1.5m", "8589934592g", "99999999999999999999"})
    EXPECT_FALSE(parse_size(bad, &size)) << bad;
}

std::string counter(std::string_view memberships) {
  Path path;
  return oom_counter_path(memberships, &path) ? std::string(path.view()) : "";
}

TEST(OomCounter, FindsTheMemoryController) {
  EXPECT_EQ("/sys/fs/cgroup/a/b/memory.events", counter("0::/a/b\n"));
  EXPECT_EQ("/sys/fs/cgroup/memory/c/memory.oom_control",
            counter("9:name=systemd:/x\n8:memory:/c\n1:cpu,cpuacct:/y\n0::/z\n"));
  EXPECT_EQ("/sys/fs/cgroup/cpu,memory/c:d/memory.oom_control", counter("3:cpu,memory:/c:d\n"));
  EXPECT_EQ("", counter("3:cpu:/c\n"));
  EXPECT_EQ("", counter(""));
}

TEST(OomCounter, ReadsBothForms) {
  EXPECT_EQ(3u, parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"));
  EXPECT_EQ(1u, parse_oom_kills("low 0\noom 5\noom_kill 1\noom_group_kill 0\n"));
  EXPECT_EQ(0u, parse_oom_kills("oom_kill x\n"));
  EXPECT_EQ(0u, parse_oom_kills(""));
}

}  // namespace
}  // namespace proa::shim
