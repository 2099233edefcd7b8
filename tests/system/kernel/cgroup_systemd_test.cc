// The systemd driver against a running systemd: a scope is started, limited, updated, stopped.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "in_child.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/stats.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup {
namespace {

class SystemdSystem : public testing::Test {
 protected:
  void SetUp() override {
    PROA_NEEDS_ROOT();
    if (!path_exists("/run/systemd/system")) GTEST_SKIP() << "systemd is not the init of this host";
    request_.driver = Driver::kSystemd;
    request_.id = cat("test-", ::getpid());
    ASSERT_EQ(::pipe(gate_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      char byte = 0;
      ::close(gate_[1]);
      (void)!::read(gate_[0], &byte, 1);
      ::_exit(0);
    }
    resources_.memory.emplace().limit = 64 << 20;
    resources_.cpu.emplace().quota = 52345;
    resources_.cpu->period = 100000;
    resources_.pids_limit = 33;
    resources_.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  }
  void TearDown() override {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::close(gate_[0]);
    ::close(gate_[1]);
  }
  static std::string first_path(const Cgroup& group) {
    for (const auto& hierarchy : group.location().hierarchies)
      if (hierarchy.controllers.empty()) return hierarchy.path;
    return group.location().hierarchies.empty() ? "" : group.location().hierarchies.front().path;
  }
  static std::string read(const std::string& file) {
    std::string text = read_file(file.c_str()).value_or("");
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  std::string property(const std::string& name) const {
    std::string text = output_of(cat("systemctl show -p ", name, " --value proa-", request_.id, ".scope"));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  void end_child() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

  Request request_;
  Resources resources_;
  pid_t child_ = -1;
  int gate_[2] = {-1, -1};
};

TEST_F(SystemdSystem, AScopesWholeLife) {
  request_.systemd_properties = {{"org.systemd.property.TimeoutStopSec", "uint64 7"}};
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group.has_value()) << group.error().message();
  const auto attached = group->attach(child_, resources_);
  ASSERT_TRUE(attached.has_value()) << attached.error().message();
  const auto applied = group->apply(resources_);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  const std::string path = first_path(*group);
  EXPECT_TRUE(path.ends_with(cat("/system.slice/proa-", request_.id, ".scope"))) << path;
  EXPECT_EQ(group->processes().value(), (std::vector<pid_t>{child_}));
  EXPECT_EQ(read(path + "/memory.max"), "67108864");
  EXPECT_EQ(read(path + "/cpu.max"), "52345 100000") << "the file has it exact, systemd in whole percents";
  EXPECT_EQ(read(path + "/pids.max"), "33");
  EXPECT_EQ(property("MemoryMax"), "67108864");
  EXPECT_EQ(property("CPUQuotaPerSecUSec"), "530ms");
  EXPECT_EQ(property("TimeoutStopUSec"), "7s");
  EXPECT_EQ(property("DevicePolicy"), "strict");

  auto opened = Cgroup::open(group->location());
  Resources change;
  change.memory.emplace().limit = 128 << 20;
  change.cpu.emplace().quota = 20000;
  const auto updated = opened->update(change);
  ASSERT_TRUE(updated.has_value()) << updated.error().message();
  EXPECT_EQ(read(path + "/memory.max"), "134217728");
  EXPECT_EQ(read(path + "/cpu.max"), "20000 100000");
  EXPECT_EQ(property("MemoryMax"), "134217728");
  EXPECT_EQ(output_of("systemctl daemon-reload"), "");
  EXPECT_EQ(read(path + "/memory.max"), "134217728") << "a reload writes the new limits, not the old";

  const auto busy = opened->remove();
  ASSERT_FALSE(busy.has_value());
  EXPECT_EQ(busy.error().code(), EBUSY);
  end_child();
  const auto removed = opened->remove();
  ASSERT_TRUE(removed.has_value()) << removed.error().message();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(property("LoadState"), "not-found");
}

TEST_F(SystemdSystem, SlicesOfTheCallersChoice) {
  request_.cgroups_path = cat("proatest-sub.slice:pre:", request_.id);
  auto group = Cgroup::create(request_);
  const auto attached = group->attach(child_, resources_);
  ASSERT_TRUE(attached.has_value()) << attached.error().message();
  EXPECT_TRUE(first_path(*group).ends_with(cat("/proatest.slice/proatest-sub.slice/pre-", request_.id, ".scope")))
      << first_path(*group);
  end_child();
  const auto removed = group->remove();
  EXPECT_TRUE(removed.has_value()) << removed.error().message();
  (void)output_of("systemctl stop proatest.slice");
}

TEST_F(SystemdSystem, ARefusedPropertyLeavesNoUnit) {
  request_.systemd_properties = {{"org.systemd.property.NoSuchThing", "true"}};
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group.has_value());
  const auto attached = group->attach(child_, resources_);
  ASSERT_FALSE(attached.has_value());
  EXPECT_NE(attached.error().message().find("NoSuchThing"), std::string::npos) << attached.error().message();
  EXPECT_EQ(property("LoadState"), "not-found");
}

TEST_F(SystemdSystem, TheSameNameTwiceIsRefused) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(child_, resources_).has_value());
  in_child([&] {
    const pid_t other = ::fork();
    if (other == 0) {
      ::pause();
      ::_exit(0);
    }
    auto second = Cgroup::create(request_);
    EXPECT_FALSE(second->attach(other, resources_).has_value());
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
  });
  EXPECT_EQ(group->processes().value(), (std::vector<pid_t>{child_})) << "the first is untouched";
  end_child();
  EXPECT_TRUE(group->remove().has_value());
}

}  // namespace
}  // namespace proa::kernel::cgroup
