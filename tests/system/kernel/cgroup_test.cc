// A container's cgroup on this host's own hierarchies: made, limited, entered, frozen, counted, killed,
// removed, and nothing left. Every limit is read back from the kernel.
#include "kernel/cgroup/cgroup.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "in_child.h"
#include "kernel/cgroup/oom_watch.h"
#include "kernel/cgroup/stats.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup {
namespace {

class CgroupSystem : public testing::Test {
 protected:
  void SetUp() override {
    PROA_NEEDS_ROOT();
    name_ = cat("/proa-test-", ::getpid(), "-", ++count_);
    request_.cgroups_path = name_;
    request_.id = "test";
    auto made = Cgroup::create(request_);
    if (!made && (made.error().code() == EROFS || made.error().code() == EACCES))
      GTEST_SKIP() << "cgroups are not writable here: " << made.error().message();
    ASSERT_TRUE(made.has_value()) << made.error().message();
    group_ = std::make_unique<Cgroup>(std::move(*made));
  }
  void TearDown() override {
    if (!group_) return;
    (void)group_->signal_all(SIGKILL);
    for (const pid_t pid : children_) ::waitpid(pid, nullptr, 0);
    const auto removed = group_->remove();
    EXPECT_TRUE(removed.has_value()) << removed.error().message();
    for (const auto& hierarchy : group_->location().hierarchies)
      EXPECT_FALSE(std::filesystem::exists(hierarchy.path)) << hierarchy.path;
  }

  const std::string* folder(std::string_view controller) const {
    for (const auto& hierarchy : group_->location().hierarchies)
      if (cat(",", hierarchy.controllers, ",").find(cat(",", controller, ",")) != std::string::npos)
        return &hierarchy.path;
    return nullptr;
  }
  const std::string* unified() const {
    for (const auto& hierarchy : group_->location().hierarchies)
      if (hierarchy.controllers.empty()) return &hierarchy.path;
    return nullptr;
  }
  // A file by its v1 or v2 place; "" when this host has neither.
  std::string value(std::string_view controller, const std::string& v1_file, const std::string& v2_file) const {
    const std::string* v1 = folder(controller);
    const std::string path = v1 != nullptr          ? *v1 + "/" + v1_file
                             : unified() != nullptr ? *unified() + "/" + v2_file
                                                    : "";
    std::string text = read_file(path.c_str()).value_or("");
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
  // A process inside that runs `body`, then waits to be killed.
  template <typename Body>
  pid_t enter(Body body) {
    auto files = group_->entry_files();
    EXPECT_TRUE(files.has_value()) << files.error().message();
    const pid_t child = ::fork();
    if (child == 0) {
      for (const Fd& file : *files)
        if (::write(file.get(), "0", 1) != 1) ::_exit(100);
      body();
      for (;;) ::pause();
    }
    children_.push_back(child);
    // It is inside once the last hierarchy lists it.
    for (int i = 0; i < 5000; ++i) {
      const auto pids = group_->processes();
      if (pids && std::ranges::find(*pids, child) != pids->end()) break;
      ::usleep(1000);
    }
    return child;
  }

  static inline int count_ = 0;
  std::string name_;
  Request request_;
  std::unique_ptr<Cgroup> group_;
  std::vector<pid_t> children_;
};

Resources default_resources() {
  Resources resources;
  resources.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"}};
  return resources;
}

TEST_F(CgroupSystem, LimitsReachTheKernel) {
  Resources resources = default_resources();
  resources.memory.emplace().limit = 64 << 20;
  resources.memory->reservation = 32 << 20;
  resources.cpu.emplace().shares = 512;
  resources.cpu->quota = 50000;
  resources.cpu->period = 100000;
  resources.cpu->cpus = "0";
  resources.pids_limit = 17;
  const auto applied = group_->apply(resources);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
  EXPECT_EQ(value("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432");
  EXPECT_EQ(value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
  EXPECT_EQ(value("pids", "pids.max", "pids.max"), "17");
  if (folder("cpu") != nullptr) {
    EXPECT_EQ(value("cpu", "cpu.shares", ""), "512");
    EXPECT_EQ(value("cpu", "cpu.cfs_quota_us", ""), "50000");
  } else {
    EXPECT_EQ(value("cpu", "", "cpu.max"), "50000 100000");
    EXPECT_EQ(value("cpu", "", "cpu.weight"), "59");
  }
}

TEST_F(CgroupSystem, UpdateRaisesAndLowersMemoryWithSwap) {
  Resources resources;
  resources.memory.emplace().limit = 32 << 20;
  resources.memory->swap = 32 << 20;
  ASSERT_TRUE(group_->apply(resources).has_value());
  auto opened = Cgroup::open(group_->location());
  for (const int64_t megabytes : {256, 16, 128}) {
    resources.memory->limit = megabytes << 20;
    resources.memory->swap = megabytes << 20;
    const auto updated = opened->update(resources);
    ASSERT_TRUE(updated.has_value()) << updated.error().message();
    EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"), cat(megabytes << 20));
  }
}

TEST_F(CgroupSystem, DevicesAreDeniedToThoseInside) {
  ASSERT_TRUE(group_->apply(default_resources()).has_value());
  auto files = group_->entry_files();
  in_child([&] {
    for (const Fd& file : *files) ASSERT_EQ(::write(file.get(), "0", 1), 1);
    EXPECT_TRUE(open("/dev/null", O_RDWR).has_value());
    const auto kmsg = open("/dev/kmsg", O_RDONLY);
    ASSERT_FALSE(kmsg.has_value());
    EXPECT_EQ(kmsg.error().code(), EPERM);
  });
  // An update gives one device more and takes nothing away.
  Resources more = default_resources();
  more.devices.push_back({.allow = true, .type = 'c', .major = 1, .minor = 11, .access = "r"});
  auto opened = Cgroup::open(group_->location());
  const auto updated = opened->update(more);
  ASSERT_TRUE(updated.has_value()) << updated.error().message();
  in_child([&] {
    for (const Fd& file : *files) ASSERT_EQ(::write(file.get(), "0", 1), 1);
    EXPECT_TRUE(open("/dev/null", O_RDWR).has_value());
    EXPECT_TRUE(open("/dev/kmsg", O_RDONLY).has_value());
  });
}

TEST_F(CgroupSystem, FreezesListsCountsAndKills) {
  ASSERT_TRUE(group_->apply(default_resources()).has_value());
  const pid_t child = enter([] {});
  const pid_t second = enter([] {});
  EXPECT_EQ(group_->processes().value(), (std::vector<pid_t>{std::min(child, second), std::max(child, second)}));
  ASSERT_TRUE(group_->freeze().has_value());
  EXPECT_TRUE(group_->frozen().value());
  ASSERT_TRUE(group_->thaw().has_value());
  EXPECT_FALSE(group_->frozen().value());
  const auto stats = group_->stats();
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->pids.current, 2u);
  EXPECT_GT(stats->cpu.total_ns, 0u);
  EXPECT_GT(stats->memory.usage.limit, 0u);
  EXPECT_FALSE(stats->memory.raw.empty());
  const auto busy = group_->remove();
  ASSERT_FALSE(busy.has_value()) << "processes live in it";
  EXPECT_EQ(busy.error().code(), EBUSY);
  ASSERT_TRUE(group_->freeze().has_value());
  ASSERT_TRUE(group_->signal_all(SIGKILL).has_value()) << "frozen ones too";
  for (const pid_t pid : children_) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  children_.clear();
}

TEST_F(CgroupSystem, SubCgroupsAreListedEnteredAndRemoved) {
  ASSERT_TRUE(group_->apply(default_resources()).has_value());
  for (const auto& hierarchy : group_->location().hierarchies) {
    const std::string sub = hierarchy.path + "/sub";
    ASSERT_TRUE(make_dirs(sub + "/deep", 0755).has_value());
    if (hierarchy.controllers.find("cpuset") == std::string::npos) continue;
    for (const char* file : {"cpuset.cpus", "cpuset.mems"})
      ASSERT_TRUE(write_file((sub + "/" + file).c_str(), read_file((hierarchy.path + "/" + file).c_str()).value()));
  }
  const std::string below[] = {"sub"};
  auto files = group_->entry_files(true, below);
  ASSERT_TRUE(files.has_value()) << files.error().message();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const Fd& file : *files)
      if (::write(file.get(), "0", 1) != 1) ::_exit(100);
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  children_.push_back(child);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  EXPECT_EQ(group_->processes().value(), (std::vector<pid_t>{child}));
}

TEST_F(CgroupSystem, OutOfMemoryIsReported) {
  Resources resources = default_resources();
  resources.memory.emplace().limit = 16 << 20;
  ASSERT_TRUE(group_->apply(resources).has_value());
  auto watch = OomWatch::open(group_->location());
  ASSERT_TRUE(watch.has_value()) << watch.error().message();
  EXPECT_EQ(watch->take().value().ooms, 0u);
  auto files = group_->entry_files();
  const pid_t child = ::fork();
  if (child == 0) {
    for (const Fd& file : *files)
      if (::write(file.get(), "0", 1) != 1) ::_exit(100);
    // Locked by use: without swap there is nothing to reclaim.
    for (;;) {
      void* memory =
          ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (memory == MAP_FAILED) ::_exit(101);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  pollfd waiting{.fd = watch->fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  const auto events = watch->take();
  ASSERT_TRUE(events.has_value()) << events.error().message();
  EXPECT_GE(events->ooms, 1u);
  ASSERT_TRUE(group_->remove().has_value());
  if (folder("memory") == nullptr) return;
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1) << "the end is reported too";
  EXPECT_TRUE(watch->take().value().gone);
}

TEST_F(CgroupSystem, HugePagesAreLimitedWhereverTheirControllerIs) {
  // The controller is switched on for the whole host; the test switches it off again.
  const std::string top =
      unified() == nullptr ? "" : unified()->substr(0, unified()->rfind('/')) + "/cgroup.subtree_control";
  const bool was_on = read_file(top.c_str()).value_or("").find("hugetlb") != std::string::npos;
  Resources resources = default_resources();
  resources.hugepage_limits = {{"2MB", 4194304}};
  const auto applied = group_->apply(resources);
  if (!applied && applied.error().message().find("no cgroup hierarchy") != std::string::npos)
    GTEST_SKIP() << applied.error().message();
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(value("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"), "4194304");
  EXPECT_EQ(group_->stats().value().hugetlb.count("2MB"), 1u);
  ASSERT_TRUE(group_->remove().has_value());
  if (!was_on && folder("hugetlb") == nullptr) EXPECT_TRUE(write_file(top.c_str(), "-hugetlb").has_value());
}

TEST_F(CgroupSystem, UnsupportedLimitsNameTheirField) {
  Resources resources = default_resources();
  resources.rdma["none"].hca_handles = 1;
  const auto applied = group_->apply(resources);
  if (applied) GTEST_SKIP() << "this host has an rdma controller and takes any device";
  EXPECT_TRUE(applied.error().message().starts_with("linux.resources.rdma")) << applied.error().message();
}

TEST_F(CgroupSystem, ParentsMadeForItGoWithIt) {
  Request request;
  request.cgroups_path = name_ + "-parent/middle/box";
  auto nested = Cgroup::create(request);
  ASSERT_TRUE(nested.has_value()) << nested.error().message();
  ASSERT_TRUE(nested->apply(default_resources()).has_value());
  ASSERT_TRUE(nested->remove().has_value());
  for (const auto& hierarchy : nested->location().hierarchies) {
    const std::string top = hierarchy.path.substr(0, hierarchy.path.find("-parent") + 7);
    EXPECT_FALSE(std::filesystem::exists(top)) << top;
  }
}

TEST_F(CgroupSystem, ASecondContainerMayNotShareIt) {
  ASSERT_TRUE(group_->apply(default_resources()).has_value());
  enter([] {});
  const auto second = Cgroup::create(request_);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message().find("has processes in it already"), std::string::npos);
}

}  // namespace
}  // namespace proa::kernel::cgroup
