#include "cli/runtime_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/runtime_double.h"
#include "cli/tables.h"

namespace proa::cli {
namespace {

using oci::runtime::Rootless;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Program kRuntime{.name = "proa-runtime", .root = &kRuntimeRoot, .usage_status = 1, .as_runc = true};

// Parses and runs; the double holds what was asked for. Text answers are thrown away.
Result<int> run(std::vector<std::string> words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size());
  for (std::string& word : words) pointers.push_back(word.data());
  Invocation in(kRuntime);
  TRY(parse(pointers, in));
  testing::internal::CaptureStdout();
  auto status = in.command().handler(in);
  testing::internal::GetCapturedStdout();
  return status;
}

class RuntimeCommands : public testing::Test {
 protected:
  RuntimeCommands() { runtime_double() = {}; }
  RuntimeDouble& seen_ = runtime_double();
  std::string here_ = std::filesystem::current_path();
};

TEST_F(RuntimeCommands, Create) {
  ASSERT_EQ(run({"create", "-b", "/b", "--config", "c.json", "--pid-file", "p", "--console-socket", "/s",
                 "--pidfd-socket", "/f", "--no-pivot", "--no-new-keyring", "--preserve-fds", "3", "web"})
                .value(),
            0);
  EXPECT_EQ(seen_.call, "create web");
  EXPECT_EQ(seen_.create.bundle, "/b");
  EXPECT_EQ(seen_.create.config, "c.json");
  EXPECT_EQ(seen_.create.pid_file, here_ + "/p");
  EXPECT_EQ(seen_.create.console_socket, "/s");
  EXPECT_EQ(seen_.create.pidfd_socket, "/f");
  EXPECT_TRUE(seen_.create.no_pivot && seen_.create.no_new_keyring);
  EXPECT_EQ(seen_.create.preserve_fds, 3);
  EXPECT_FALSE(seen_.create.detach);
}

TEST_F(RuntimeCommands, RunGivesTheContainersStatus) {
  seen_.status = 137;
  ASSERT_EQ(run({"run", "--detach", "--keep", "--no-subreaper", "web"}).value(), 137);
  EXPECT_EQ(seen_.create.bundle, ".");
  EXPECT_TRUE(seen_.create.detach && seen_.create.keep && seen_.create.no_subreaper);
}

TEST_F(RuntimeCommands, Globals) {
  ASSERT_TRUE(run({"--root", "r/../s/", "--systemd-cgroup", "--rootless", "true", "start", "web"}));
  EXPECT_EQ(seen_.globals.root, here_ + "/s");
  EXPECT_TRUE(seen_.globals.systemd_cgroup);
  EXPECT_EQ(seen_.globals.rootless, Rootless::kYes);
  ASSERT_TRUE(run({"start", "web"}));
  EXPECT_EQ(seen_.globals.root, "");
  EXPECT_EQ(seen_.globals.rootless, Rootless::kAuto);
  ASSERT_TRUE(run({"--rootless=0", "--cgroup-manager=systemd", "start", "web"}));
  EXPECT_EQ(seen_.globals.rootless, Rootless::kNo);
  EXPECT_TRUE(seen_.globals.systemd_cgroup);
  ASSERT_TRUE(run({"--cgroup-manager", "disabled", "start", "web"}));
  EXPECT_TRUE(seen_.globals.no_cgroup);
}

TEST_F(RuntimeCommands, BadGlobalsAreNamed) {
  for (const char* root : {"/", "//", "/x/..", "/."})
    EXPECT_EQ(run({"--root", root, "list"}).error().message(), "flag --root: must not be /") << root;
  EXPECT_THAT(run({"--rootless", "maybe", "list"}).error().message(), HasSubstr("flag --rootless"));
  EXPECT_EQ(seen_.call, "");
}

TEST_F(RuntimeCommands, Exec) {
  ASSERT_TRUE(run({"exec",
                   "-e",
                   "A=1",
                   "--env",
                   "B=2",
                   "--cwd",
                   "/w",
                   "-u",
                   "1:2",
                   "-g",
                   "3",
                   "-g",
                   "4",
                   "-t",
                   "-d",
                   "--cap",
                   "CAP_SYS_ADMIN",
                   "--no-new-privs=false",
                   "--apparmor",
                   "p",
                   "--process-label",
                   "l",
                   "--cgroup",
                   "cpu:/x",
                   "--cgroup",
                   "memory:/y",
                   "--ignore-paused",
                   "--preserve-fds",
                   "1",
                   "web",
                   "ls",
                   "-la"}));
  EXPECT_EQ(seen_.call, "exec web");
  EXPECT_THAT(seen_.exec.args, ElementsAre("ls", "-la"));
  EXPECT_THAT(seen_.exec.env, ElementsAre("A=1", "B=2"));
  EXPECT_EQ(seen_.exec.cwd, "/w");
  EXPECT_EQ(seen_.exec.user, "1:2");
  EXPECT_THAT(seen_.exec.additional_gids, ElementsAre("3", "4"));
  EXPECT_THAT(seen_.exec.capabilities, ElementsAre("CAP_SYS_ADMIN"));
  EXPECT_THAT(seen_.exec.cgroups, ElementsAre("cpu:/x", "memory:/y"));
  EXPECT_EQ(seen_.exec.no_new_privileges, false);
  EXPECT_TRUE(seen_.exec.tty && seen_.exec.detach && seen_.exec.ignore_paused);
  EXPECT_EQ(seen_.exec.apparmor, "p");
  EXPECT_EQ(seen_.exec.selinux_label, "l");
}

TEST_F(RuntimeCommands, ExecNeedsACommandOrAProcessFile) {
  EXPECT_EQ(run({"exec", "web"}).error().message(), "missing argument COMMAND for 'proa-runtime exec'");
  ASSERT_TRUE(run({"exec", "-p", "p.json", "web"}));
  EXPECT_EQ(seen_.exec.process_file, "p.json");
  EXPECT_EQ(seen_.exec.no_new_privileges, std::nullopt);
  EXPECT_EQ(seen_.exec.user, std::nullopt);
}

TEST_F(RuntimeCommands, Kill) {
  ASSERT_TRUE(run({"kill", "web"}));
  ASSERT_TRUE(run({"kill", "--all", "web", "9"}));
  ASSERT_TRUE(run({"kill", "-a=false", "web", "KILL"}));
  EXPECT_EQ(seen_.call, "kill web SIGTERM; kill web 9 all; kill web KILL");
}

TEST_F(RuntimeCommands, DeleteByRegex) {
  ASSERT_TRUE(run({"delete", "-f", "--regex", "^w"}));
  EXPECT_EQ(seen_.call, "list quiet; remove web force; remove was force");
  seen_.call.clear();
  EXPECT_THAT(run({"delete", "--regex", "("}).error().message(), HasSubstr("'(' is not a regular expression"));
  EXPECT_EQ(seen_.call, "");
}

TEST_F(RuntimeCommands, Update) {
  ASSERT_TRUE(run({"update", "--memory",        "512m",    "--memory-swap",    "-1",     "--memory-reservation",
                   "1g",     "--cpu-quota",     "-1",      "--cpu-period",     "100000", "--cpu-share",
                   "512",    "--cpu-burst",     "7",       "--cpu-idle",       "1",      "--cpuset-cpus",
                   "0-1",    "--cpuset-mems",   "0",       "--pids-limit",     "20",     "--blkio-weight",
                   "500",    "--cpu-rt-period", "8",       "--cpu-rt-runtime", "9",      "--l3-cache-schema",
                   "L3:0=f", "--mem-bw-schema", "MB:0=50", "--kernel-memory",  "1m",     "web"}));
  const auto& u = seen_.update;
  EXPECT_EQ(u.memory, 512 << 20);
  EXPECT_EQ(u.memory_swap, -1);
  EXPECT_EQ(u.memory_reservation, 1 << 30);
  EXPECT_EQ(u.cpu_quota, -1);
  EXPECT_EQ(u.cpu_period, 100000u);
  EXPECT_EQ(u.cpu_share, 512u);
  EXPECT_EQ(u.cpu_burst, 7u);
  EXPECT_EQ(u.cpu_idle, 1);
  EXPECT_EQ(u.cpuset_cpus, "0-1");
  EXPECT_EQ(u.cpuset_mems, "0");
  EXPECT_EQ(u.pids_limit, 20);
  EXPECT_EQ(u.blkio_weight, 500u);
  EXPECT_EQ(u.cpu_rt_period, 8u);
  EXPECT_EQ(u.cpu_rt_runtime, 9);
  EXPECT_EQ(u.l3_cache_schema, "L3:0=f");
  EXPECT_EQ(u.mem_bw_schema, "MB:0=50");
  EXPECT_EQ(u.kernel_memory, 1 << 20);
  ASSERT_TRUE(run({"update", "-r", "-", "web"}));
  EXPECT_EQ(seen_.update.resources_file, "-");
  EXPECT_EQ(seen_.update.memory, std::nullopt);
}

TEST_F(RuntimeCommands, Others) {
  ASSERT_TRUE(run({"events", "--stats", "--interval", "250ms", "web"}));
  ASSERT_TRUE(run({"ps", "--format", "json", "web"}));
  ASSERT_TRUE(run({"ps", "web", "-o", "pid"}));
  ASSERT_TRUE(run({"list", "-q", "-f", "json"}));
  ASSERT_TRUE(run({"spec", "--rootless", "-b", "x"}));
  ASSERT_TRUE(run({"pause", "web"}));
  ASSERT_TRUE(run({"resume", "web"}));
  ASSERT_TRUE(run({"state", "web"}));
  EXPECT_EQ(seen_.call,
            "events web once 250; ps web json; ps web -o pid; list quiet json; spec x rootless; pause web; resume web; "
            "state web");
  EXPECT_EQ(run({"events", "--interval", "0", "web"}).error().message(), "flag --interval: must be more than 0");
}

TEST_F(RuntimeCommands, CheckpointAndRestore) {
  ASSERT_TRUE(run({"--criu",
                   "/c",
                   "checkpoint",
                   "--image-path",
                   "/i",
                   "--work-path",
                   "w",
                   "--parent-path",
                   "../p",
                   "--leave-running",
                   "--tcp-established",
                   "--ext-unix-sk",
                   "--shell-job",
                   "--lazy-pages",
                   "--status-fd",
                   "5",
                   "--page-server",
                   "[::1]:99",
                   "--file-locks",
                   "--pre-dump",
                   "--manage-cgroups-mode",
                   "full",
                   "--empty-ns",
                   "network",
                   "--auto-dedup",
                   "--link-remap",
                   "--tcp-skip-in-flight",
                   "web"}));
  const auto& c = seen_.checkpoint;
  EXPECT_EQ(c.criu, "/c");
  EXPECT_EQ(c.image_path, "/i");
  EXPECT_EQ(c.work_path, here_ + "/w");
  EXPECT_EQ(c.parent_path, "../p");
  EXPECT_EQ(c.status_fd, "5");
  EXPECT_EQ(c.page_server, "[::1]:99");
  EXPECT_EQ(c.manage_cgroups_mode, "full");
  EXPECT_THAT(c.empty_ns, ElementsAre("network"));
  EXPECT_TRUE(c.leave_running && c.tcp_established && c.ext_unix_sk && c.shell_job && c.lazy_pages && c.file_locks &&
              c.pre_dump && c.auto_dedup && c.link_remap && c.tcp_skip_in_flight);
  seen_.status = 3;
  ASSERT_EQ(
      run({"restore", "-b", "/b", "-d", "--lsm-profile", "apparmor:x", "--lsm-mount-context", "y", "web"}).value(), 3);
  EXPECT_EQ(seen_.create.bundle, "/b");
  EXPECT_TRUE(seen_.create.detach);
  EXPECT_EQ(seen_.checkpoint.image_path, here_ + "/checkpoint");
  EXPECT_EQ(seen_.checkpoint.lsm_profile, "apparmor:x");
  EXPECT_EQ(seen_.checkpoint.lsm_mount_context, "y");
  EXPECT_EQ(run({"checkpoint", "--parent-path", "/p", "web"}).error().message(),
            "flag --parent-path: must be relative to --image-path");
  EXPECT_EQ(run({"checkpoint", "--page-server", ":9", "web"}).error().message(),
            "flag --page-server: ':9' is not ADDRESS:PORT");
}

}  // namespace
}  // namespace proa::cli
