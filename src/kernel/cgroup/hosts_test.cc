#include "kernel/cgroup/hosts.h"

#include <gtest/gtest.h>

#include "kernel/cgroup/fake_cgroupfs_test.h"

namespace proa::kernel::cgroup {
namespace {

TEST(NamesController, MatchesWholeNames) {
  EXPECT_TRUE(names_controller("cpu,cpuacct", "cpu"));
  EXPECT_TRUE(names_controller("cpu,cpuacct", "cpuacct"));
  EXPECT_FALSE(names_controller("cpuset", "cpu"));
  EXPECT_FALSE(names_controller("", "cpu"));
}

TEST(ParseMounts, ReadsEscapesOptionalFieldsAndCoMounts) {
  std::vector<Mount> mounts = parse_own_cgroups("5:cpu,cpuacct:/own\n1:name=systemd:/\n0::/\nbroken\n");
  ASSERT_EQ(mounts.size(), 3u);
  EXPECT_EQ(mounts[0].own, "/own");
  ASSERT_TRUE(parse_mounts("36 25 0:31 /docker/x /mnt/a\\040b rw shared:1 master:2 - cgroup cgroup rw,cpuacct,cpu\n"
                           "37 25 0:32 / /mnt/sd rw - cgroup cgroup rw,xattr,name=systemd\n"
                           "38 25 0:33 / /mnt/second rw - cgroup cgroup rw,cpuacct,cpu\n"
                           "39 25 0:34 / /mnt/u rw - cgroup2 none rw\nshort line\n",
                           "/r", mounts)
                  .has_value());
  EXPECT_EQ(mounts[0].folder, "/r/mnt/a b");
  EXPECT_EQ(mounts[0].root, "/docker/x");
  EXPECT_EQ(mounts[1].folder, "/r/mnt/sd");
  EXPECT_EQ(mounts[2].folder, "/r/mnt/u");
}

TEST(FindHost, PureV2NeedsOneLook) {
  FakeCgroupfs fs;
  fs.add_v2({"cpu", "memory"});
  const int before = fs.syscalls();
  const auto host = find_host(fs.root(), false);
  ASSERT_TRUE(host.has_value());
  EXPECT_EQ(fs.syscalls() - before, 2);  // open, fstatfs
  EXPECT_TRUE(host->pure_v2);
  ASSERT_EQ(host->mounts.size(), 1u);
  EXPECT_EQ(host->mounts[0].folder, fs.top());
}

TEST(FindHost, HybridFindsEveryHierarchyAtItsUsualPlace) {
  FakeCgroupfs fs;
  fs.add_hybrid();
  const auto host = find_host(fs.root(), true);
  ASSERT_TRUE(host.has_value());
  EXPECT_FALSE(host->pure_v2);
  EXPECT_EQ(host->mounts.size(), 10u);
  EXPECT_EQ(host->find("memory")->folder, fs.top() + "/memory");
  EXPECT_EQ(host->find("name=systemd")->folder, fs.top() + "/systemd");
  EXPECT_EQ(host->find("net_cls"), nullptr);
}

TEST(FindHost, ReadsMountinfoForUnusualPlaces) {
  FakeCgroupfs fs;
  fs.add_v1("cpu,cpuacct");
  fs.add_v1("memory", "/", fs.root() + "/elsewhere/mem");
  const auto host = find_host(fs.root(), false);
  ASSERT_TRUE(host.has_value());
  EXPECT_EQ(host->find("memory")->folder, fs.root() + "/elsewhere/mem");
  EXPECT_EQ(host->find("cpu")->folder, fs.top() + "/cpu,cpuacct");
}

TEST(FindHost, SkipsWhatIsNotMounted) {
  FakeCgroupfs fs;
  fs.add_v1("memory");
  std::ofstream(fs.root() + "/proc/self/cgroup", std::ios::app) << "7:net_cls:/\n";
  const auto host = find_host(fs.root(), false);
  ASSERT_TRUE(host.has_value());
  EXPECT_EQ(host->mounts.size(), 1u);
}

TEST(InnerPath, AbsoluteIsBelowTheMountAndRelativeBelowTheCallersOwn) {
  const Host v1{.mounts = {}, .pure_v2 = false};
  const Host v2{.mounts = {}, .pure_v2 = true};
  const Mount own{.controllers = "memory", .folder = "/m", .root = "/", .own = "/a/b"};
  const Mount top{.controllers = "memory", .folder = "/m", .root = "/", .own = "/"};
  EXPECT_EQ(inner_path(v1, own, "/x/y"), "/x/y");
  EXPECT_EQ(inner_path(v1, own, "x"), "/a/b/x");
  EXPECT_EQ(inner_path(v1, top, "x"), "/x");
  // The caller's own cgroup has processes, so on v2 its parent is the place.
  EXPECT_EQ(inner_path(v2, own, "x"), "/a/x");
  EXPECT_EQ(inner_path(v2, top, "x"), "/x");
}

TEST(InnerPath, SeesOnlyThePartThatIsMounted) {
  const Host v1{.mounts = {}, .pure_v2 = false};
  const Mount inside{.controllers = "memory", .folder = "/m", .root = "/docker/1", .own = "/docker/1/sub"};
  EXPECT_EQ(inner_path(v1, inside, "x"), "/sub/x");
  const Mount outside{.controllers = "memory", .folder = "/m", .root = "/", .own = "/../other"};
  EXPECT_EQ(inner_path(v1, outside, "x"), "/x");
}

}  // namespace
}  // namespace proa::kernel::cgroup
