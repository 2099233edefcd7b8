#include "kernel/resctrl.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernel/sys.h"

namespace proa::kernel {
namespace {

// A resctrl tree of plain files: folders get their files when they are made, and can be removed with them.
class FakeResctrl : public Gate {
 public:
  FakeResctrl() : gate_(*this) {
    char name[] = "/tmp/proa-resctrl-test-XXXXXX";
    root_ = ::mkdtemp(name);
    std::filesystem::create_directories(mount() + "/mon_groups");
    std::filesystem::create_directories(mount() + "/info/L3");
    std::filesystem::create_directories(mount() + "/info/MB");
    std::filesystem::create_directories(mount() + "/info/L3_MON");
    std::filesystem::create_directories(root_ + "/proc/self");
    populate(mount());
    write("info/last_cmd_status", "ok");
    write("info/L3/cbm_mask", "7ff");
    write("info/L3/min_cbm_bits", "1");
    write("info/L3/num_closids", "16");
    write("info/MB/bandwidth_gran", "10");
    write("info/MB/delay_linear", "1");
    write("info/MB/min_bandwidth", "10");
    write("info/MB/num_closids", "8");
    write("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes");
  }
  ~FakeResctrl() override { std::filesystem::remove_all(root_); }

  const std::string& root() const { return root_; }
  std::string mount() const { return root_ + "/sys/fs/resctrl"; }
  bool mounted = true, full = false;

  void write(const std::string& file, const std::string& text) { std::ofstream(mount() + "/" + file) << text << "\n"; }
  std::string read(const std::string& file) const {
    std::ifstream in(mount() + "/" + file);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  bool exists(const std::string& folder) const { return std::filesystem::exists(mount() + "/" + folder); }
  void make(const std::string& folder) {
    std::filesystem::create_directories(mount() + "/" + folder);
    populate(mount() + "/" + folder);
  }

  long invoke(const CallShape& shape, const CallArgs& args) noexcept override {
    if (shape.nr == SYS_statfs) {
      pointer_in<struct statfs>(args[1])->f_type = mounted ? 0x7655821 : 0x62656572;
      return std::filesystem::exists(mount()) ? 0 : -ENOENT;
    }
    if (shape.nr == SYS_mkdirat && full) return -ENOSPC;
    if (shape.nr == SYS_unlinkat) {
      const char* path = pointer_in<const char>(args[1]);
      if (!std::filesystem::exists(path)) return -ENOENT;
      std::filesystem::remove_all(path);
      return 0;
    }
    const long answer = ::syscall(shape.nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (shape.nr == SYS_mkdirat && answer == 0) populate(pointer_in<const char>(args[1]));
    return answer == -1 ? -errno : answer;
  }

 private:
  static void populate(const std::string& folder) {
    std::ofstream(folder + "/tasks").flush();
    std::filesystem::create_directories(folder + "/mon_data/mon_L3_00");
    std::ofstream(folder + "/mon_data/mon_L3_00/llc_occupancy") << "300\n";
    std::ofstream(folder + "/mon_data/mon_L3_00/mbm_total_bytes") << "200\n";
    std::ofstream(folder + "/mon_data/mon_L3_00/mbm_local_bytes") << "Unavailable\n";
    if (folder.find("/mon_groups/") != std::string::npos) return;
    std::filesystem::create_directories(folder + "/mon_groups");
    std::ofstream(folder + "/schemata") << "    L3:0=7ff;1=7ff\n    MB:0= 100;1= 100\n";
  }
  std::string root_;
  ScopedGate gate_;
};

std::string error_of(const FakeResctrl& fs, const IntelRdt& config) {
  const auto made = create_resctrl(config, "box", fs.root());
  EXPECT_FALSE(made.has_value());
  return made ? "" : made.error().message();
}

TEST(Resctrl, AGroupOfTheContainersOwnIsMadeAndGoesWithIt) {
  FakeResctrl fs;
  IntelRdt config;
  config.l3_cache_schema = "L3:0=f";
  config.mem_bw_schema = "MB:0=20";
  config.schemata = {"L2:0=1"};
  config.enable_monitoring = true;
  const auto group = create_resctrl(config, "box", fs.root());
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_TRUE(fs.read("box/schemata").starts_with("L3:0=f\nMB:0=20\nL2:0=1\n"));
  EXPECT_TRUE(fs.exists("box/mon_groups/box"));
  ASSERT_TRUE(assign_resctrl(*group, 42).has_value());
  EXPECT_EQ(fs.read("box/tasks"), "42");
  EXPECT_EQ(fs.read("box/mon_groups/box/tasks"), "42");
  const auto again = find_resctrl(config, "box", fs.root());
  EXPECT_EQ(again->path, group->path);
  EXPECT_EQ(again->monitor, group->monitor);
  ASSERT_TRUE(remove_resctrl(*again).has_value());
  EXPECT_FALSE(fs.exists("box"));
  EXPECT_TRUE(remove_resctrl(*again).has_value());
}

TEST(Resctrl, ANamedClassStays) {
  FakeResctrl fs;
  IntelRdt config;
  config.clos_id = "gold";
  config.mem_bw_schema = "MB:0=20";
  const auto group = create_resctrl(config, "box", fs.root());
  ASSERT_TRUE(group.has_value()) << group.error().message();
  ASSERT_TRUE(remove_resctrl(*group).has_value());
  EXPECT_TRUE(fs.exists("gold"));
}

TEST(Resctrl, ANamedClassWithoutSchemataMustExist) {
  FakeResctrl fs;
  IntelRdt config;
  config.clos_id = "gold";
  EXPECT_TRUE(error_of(fs, config).starts_with("linux.intelRdt.closID: the group "));
  EXPECT_FALSE(fs.exists("gold"));
  fs.make("gold");
  const std::string before = fs.read("gold/schemata");
  ASSERT_TRUE(create_resctrl(config, "box", fs.root()).has_value());
  EXPECT_EQ(fs.read("gold/schemata"), before);
}

TEST(Resctrl, AnExistingClassMustHaveTheSchemataAskedFor) {
  FakeResctrl fs;
  fs.make("gold");
  IntelRdt config;
  config.clos_id = "gold";
  config.l3_cache_schema = "L3:1=07FF";
  config.mem_bw_schema = "MB:0=100";
  EXPECT_TRUE(create_resctrl(config, "box", fs.root()).has_value()) << "the same numbers, written otherwise";
  fs.make("gold");
  config.l3_cache_schema = "L3:0=7fe";
  EXPECT_TRUE(error_of(fs, config).starts_with("linux.intelRdt.l3CacheSchema: \"L3:0=7fe\" is not what the group "));
  config.l3_cache_schema.clear();
  config.mem_bw_schema = "MB:2=100";
  EXPECT_TRUE(error_of(fs, config).starts_with("linux.intelRdt.memBwSchema: "));
  EXPECT_TRUE(fs.exists("gold"));
}

TEST(Resctrl, TheDefaultClassIsTheTop) {
  FakeResctrl fs;
  IntelRdt config;
  config.clos_id = "/";
  config.enable_monitoring = true;
  const auto group = create_resctrl(config, "box", fs.root());
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_EQ(group->path, fs.mount());
  EXPECT_TRUE(fs.exists("mon_groups/box"));
  ASSERT_TRUE(remove_resctrl(*group).has_value());
  EXPECT_FALSE(fs.exists("mon_groups/box"));
  EXPECT_TRUE(fs.exists("schemata"));
}

TEST(Resctrl, BadConfigurationsAreNamed) {
  FakeResctrl fs;
  for (const char* id : {"..", ".", "a/b", "/a", "info", "mon_groups", "mon_data"}) {
    IntelRdt config;
    config.clos_id = id;
    EXPECT_TRUE(error_of(fs, config).starts_with("linux.intelRdt.closID: ")) << id;
  }
  IntelRdt config;
  config.mem_bw_schema = "L3:0=1";
  EXPECT_TRUE(error_of(fs, config).starts_with("linux.intelRdt.memBwSchema: "));
  config.mem_bw_schema = "MB:0=1\n";
  EXPECT_EQ(error_of(fs, config), "linux.intelRdt.memBwSchema: has a newline");
  config.mem_bw_schema.clear();
  config.schemata = {"L3:0=1", "L3:0=1\nMB:0=1"};
  EXPECT_EQ(error_of(fs, config), "linux.intelRdt.schemata[1]: has a newline");
}

TEST(Resctrl, NoMountIsAClearError) {
  FakeResctrl fs;
  fs.mounted = false;
  const auto made = create_resctrl({}, "box", fs.root());
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().message(), "linux.intelRdt: no resctrl file system is mounted");
  EXPECT_EQ(made.error().hint(), "mount -t resctrl resctrl /sys/fs/resctrl");
}

TEST(Resctrl, AnotherMountPointIsFound) {
  FakeResctrl fs;
  fs.mounted = false;
  fs.make("elsewhere");
  std::ofstream(fs.root() + "/proc/self/mountinfo")
      << "40 20 0:40 / /sys/fs/resctrl/elsewhere rw - resctrl resctrl rw\n";
  ASSERT_TRUE(create_resctrl({}, "box", fs.root()).has_value());
  EXPECT_TRUE(fs.exists("elsewhere/box"));
}

TEST(Resctrl, TheKernelsReasonIsInTheError) {
  FakeResctrl fs;
  fs.full = true;
  fs.write("info/last_cmd_status", "Out of CLOSIDs");
  EXPECT_TRUE(error_of(fs, {}).ends_with("no space left on device (Out of CLOSIDs)")) << error_of(fs, {});
}

TEST(Resctrl, UpdateWritesWhatIsGiven) {
  FakeResctrl fs;
  const auto group = create_resctrl({}, "box", fs.root());
  ASSERT_TRUE(update_resctrl(*group, "", "MB:0=30", fs.root()).has_value());
  EXPECT_TRUE(fs.read("box/schemata").starts_with("MB:0=30\n"));
}

TEST(Resctrl, Stats) {
  FakeResctrl fs;
  const auto group = create_resctrl({}, "box", fs.root());
  const auto stats = resctrl_stats(*group, fs.root());
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->l3_cache->cbm_mask, "7ff");
  EXPECT_EQ(stats->mem_bw->num_closids, 8u);
  EXPECT_EQ(stats->l3_schema, "L3:0=7ff;1=7ff");
  EXPECT_EQ(stats->mem_bw_schema_root, "MB:0= 100;1= 100");
  EXPECT_EQ(stats->schemata.size(), 2u);
  ASSERT_EQ(stats->domains.size(), 1u);
  EXPECT_EQ(stats->domains[0].llc_occupancy, 300u);
  EXPECT_EQ(stats->domains[0].mbm_total_bytes, 200u);
  EXPECT_EQ(stats->domains[0].mbm_local_bytes, 0u);
}

}  // namespace
}  // namespace proa::kernel
