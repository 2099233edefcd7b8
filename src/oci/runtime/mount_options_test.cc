#include "oci/runtime/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>

namespace proa::oci::runtime {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MountOptions parse(std::vector<std::string> options) {
  Mount mount{.destination = "/x",
              .type = "",
              .source = "",
              .options = std::move(options),
              .uid_mappings = {},
              .gid_mappings = {}};
  auto parsed = parse_mount_options(mount);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message());
  return parsed.value_or(MountOptions{});
}

std::string error_of(std::vector<std::string> options, const Linux* container = nullptr) {
  Mount mount{.destination = "/x",
              .type = "",
              .source = "",
              .options = std::move(options),
              .uid_mappings = {},
              .gid_mappings = {}};
  auto parsed = parse_mount_options(mount, container);
  return parsed ? "no error" : parsed.error().message();
}

TEST(MountOptions, NoneLeaveEverythingAlone) {
  const MountOptions none = parse({});
  EXPECT_EQ(none.flags, 0u);
  EXPECT_EQ(none.cleared_flags, 0u);
  EXPECT_TRUE(none.attr.empty());
  EXPECT_TRUE(none.recursive_attr.empty());
  EXPECT_EQ(none.data, "");
}

struct FlagCase {
  const char* name;
  uint64_t set, cleared, attr_set, attr_clear;
};
void PrintTo(const FlagCase& c, std::ostream* out) { *out << c.name; }
class MountFlag : public testing::TestWithParam<FlagCase> {};

TEST_P(MountFlag, HasItsBits) {
  const FlagCase& c = GetParam();
  const MountOptions parsed = parse({c.name});
  EXPECT_EQ(parsed.flags, c.set);
  EXPECT_EQ(parsed.cleared_flags, c.cleared);
  EXPECT_EQ(parsed.attr.set, c.attr_set);
  EXPECT_EQ(parsed.attr.clear, c.attr_clear);
  EXPECT_TRUE(parsed.recursive_attr.empty());
  EXPECT_EQ(parsed.data, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, MountFlag,
    testing::Values(
        FlagCase{"async", 0, MS_SYNCHRONOUS, 0, 0}, FlagCase{"sync", MS_SYNCHRONOUS, 0, 0, 0},
        FlagCase{"dirsync", MS_DIRSYNC, 0, 0, 0}, FlagCase{"defaults", 0, 0, 0, 0},
        FlagCase{"ro", MS_RDONLY, 0, MOUNT_ATTR_RDONLY, 0}, FlagCase{"rw", 0, MS_RDONLY, 0, MOUNT_ATTR_RDONLY},
        FlagCase{"nosuid", MS_NOSUID, 0, MOUNT_ATTR_NOSUID, 0}, FlagCase{"suid", 0, MS_NOSUID, 0, MOUNT_ATTR_NOSUID},
        FlagCase{"nodev", MS_NODEV, 0, MOUNT_ATTR_NODEV, 0}, FlagCase{"dev", 0, MS_NODEV, 0, MOUNT_ATTR_NODEV},
        FlagCase{"noexec", MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC, 0}, FlagCase{"exec", 0, MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC},
        FlagCase{"nosymfollow", MS_NOSYMFOLLOW, 0, MOUNT_ATTR_NOSYMFOLLOW, 0},
        FlagCase{"symfollow", 0, MS_NOSYMFOLLOW, 0, MOUNT_ATTR_NOSYMFOLLOW},
        FlagCase{"nodiratime", MS_NODIRATIME, 0, MOUNT_ATTR_NODIRATIME, 0},
        FlagCase{"diratime", 0, MS_NODIRATIME, 0, MOUNT_ATTR_NODIRATIME},
        FlagCase{"noatime", MS_NOATIME, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
        FlagCase{"atime", 0, MS_NOATIME, 0, MOUNT_ATTR__ATIME},
        FlagCase{"relatime", MS_RELATIME, 0, 0, MOUNT_ATTR__ATIME},
        FlagCase{"norelatime", 0, MS_RELATIME, 0, MOUNT_ATTR__ATIME},
        FlagCase{"strictatime", MS_STRICTATIME, 0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
        FlagCase{"nostrictatime", 0, MS_STRICTATIME, 0, MOUNT_ATTR__ATIME}, FlagCase{"lazytime", MS_LAZYTIME, 0, 0, 0},
        FlagCase{"nolazytime", 0, MS_LAZYTIME, 0, 0}, FlagCase{"mand", MS_MANDLOCK, 0, 0, 0},
        FlagCase{"nomand", 0, MS_MANDLOCK, 0, 0}, FlagCase{"iversion", MS_I_VERSION, 0, 0, 0},
        FlagCase{"noiversion", 0, MS_I_VERSION, 0, 0}, FlagCase{"silent", MS_SILENT, 0, 0, 0},
        FlagCase{"loud", 0, MS_SILENT, 0, 0}, FlagCase{"remount", MS_REMOUNT, 0, 0, 0},
        FlagCase{"bind", MS_BIND, 0, 0, 0}, FlagCase{"rbind", MS_BIND | MS_REC, 0, 0, 0},
        FlagCase{"nofail", 0, 0, 0, 0}, FlagCase{"x-systemd.automount", 0, 0, 0, 0}));

struct RecursiveCase {
  const char* name;
  uint64_t set, clear;
};
void PrintTo(const RecursiveCase& c, std::ostream* out) { *out << c.name; }
class RecursiveAttr : public testing::TestWithParam<RecursiveCase> {};

TEST_P(RecursiveAttr, HasItsBitsAndNoOther) {
  const MountOptions parsed = parse({GetParam().name});
  EXPECT_EQ(parsed.recursive_attr.set, GetParam().set);
  EXPECT_EQ(parsed.recursive_attr.clear, GetParam().clear);
  EXPECT_EQ(parsed.flags, 0u);
  EXPECT_TRUE(parsed.attr.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, RecursiveAttr,
    testing::Values(
        RecursiveCase{"rro", MOUNT_ATTR_RDONLY, 0}, RecursiveCase{"rrw", 0, MOUNT_ATTR_RDONLY},
        RecursiveCase{"rnosuid", MOUNT_ATTR_NOSUID, 0}, RecursiveCase{"rsuid", 0, MOUNT_ATTR_NOSUID},
        RecursiveCase{"rnodev", MOUNT_ATTR_NODEV, 0}, RecursiveCase{"rdev", 0, MOUNT_ATTR_NODEV},
        RecursiveCase{"rnoexec", MOUNT_ATTR_NOEXEC, 0}, RecursiveCase{"rexec", 0, MOUNT_ATTR_NOEXEC},
        RecursiveCase{"rnodiratime", MOUNT_ATTR_NODIRATIME, 0}, RecursiveCase{"rdiratime", 0, MOUNT_ATTR_NODIRATIME},
        RecursiveCase{"rrelatime", 0, MOUNT_ATTR__ATIME}, RecursiveCase{"rnorelatime", 0, MOUNT_ATTR__ATIME},
        RecursiveCase{"rnoatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME}, RecursiveCase{"ratime", 0, MOUNT_ATTR__ATIME},
        RecursiveCase{"rstrictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
        RecursiveCase{"rnostrictatime", 0, MOUNT_ATTR__ATIME}, RecursiveCase{"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
        RecursiveCase{"rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW}));

TEST(MountOptions, TheLastOfOppositesWins) {
  EXPECT_EQ(parse({"ro", "rw"}).flags, 0u);
  EXPECT_EQ(parse({"ro", "rw"}).cleared_flags, uint64_t{MS_RDONLY});
  EXPECT_EQ(parse({"rw", "ro"}).flags, uint64_t{MS_RDONLY});
  EXPECT_EQ(parse({"rw", "ro"}).cleared_flags, 0u);
  EXPECT_EQ(parse({"rro", "rrw"}).recursive_attr.set, 0u);
  EXPECT_EQ(parse({"rbind", "bind"}).flags, uint64_t{MS_BIND});
  EXPECT_TRUE(parse({"bind", "rbind"}).is_recursive_bind());
}

TEST(MountOptions, AccessTimeIsOneChoice) {
  EXPECT_EQ(parse({"strictatime", "noatime"}).flags, uint64_t{MS_NOATIME});
  EXPECT_EQ(parse({"strictatime", "noatime"}).attr.set, uint64_t{MOUNT_ATTR_NOATIME});
  EXPECT_EQ(parse({"noatime", "relatime"}).attr.set, 0u);
  EXPECT_EQ(parse({"rnoatime", "rstrictatime"}).recursive_attr.set, uint64_t{MOUNT_ATTR_STRICTATIME});
}

TEST(MountOptions, PropagationKeepsItsOrder) {
  EXPECT_THAT(parse({"rbind", "rslave", "shared"}).propagation, ElementsAre(MS_SLAVE | MS_REC, MS_SHARED));
  EXPECT_THAT(parse({"unbindable"}).propagation, ElementsAre(MS_UNBINDABLE));
  EXPECT_EQ(parse({"rshared"}).flags, 0u) << "propagation never reaches the first mount(2)";
}

TEST(MountOptions, TheRestIsDataVerbatim) {
  EXPECT_EQ(parse({"nosuid", "mode=755", "ro", "size=65536k", "context=\"a:b,c\""}).data,
            "mode=755,size=65536k,context=\"a:b,c\"");
}

TEST(MountOptions, SuperblockNamesAreThoseOfFsconfig) {
  EXPECT_THAT(parse({"sync", "ro", "nosuid", "lazytime"}).superblock_options(),
              ElementsAre(testing::StrEq("ro"), testing::StrEq("sync"), testing::StrEq("lazytime")));
  EXPECT_THAT(parse({"nodev"}).superblock_options(), IsEmpty());
}

TEST(MountOptions, Extensions) {
  const MountOptions parsed = parse({"tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow", "ridmap"});
  EXPECT_TRUE(parsed.tmpcopyup);
  EXPECT_TRUE(parsed.copy_symlink);
  EXPECT_TRUE(parsed.source_nofollow);
  EXPECT_TRUE(parsed.dest_nofollow);
  EXPECT_EQ(parsed.idmap, IdMapMode::kRecursive);
  EXPECT_EQ(parsed.data, "");
}

TEST(MountOptions, MappingsAloneMeanIdmap) {
  Mount mount;
  mount.uid_mappings = {{0, 1000, 10}};
  mount.gid_mappings = {{0, 2000, 10}};
  auto parsed = parse_mount_options(mount);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->idmap, IdMapMode::kPlain);
  EXPECT_EQ(parsed->uid_mappings.at(0).host_id, 1000u);
  mount.gid_mappings.clear();
  EXPECT_FALSE(parse_mount_options(mount));
}

TEST(MountOptions, IdmapTextGivesMappings) {
  const MountOptions parsed = parse({"idmap=uids=0-1-10#10-11-20;gids=0-100-10"});
  EXPECT_EQ(parsed.idmap, IdMapMode::kPlain);
  ASSERT_EQ(parsed.uid_mappings.size(), 2u);
  EXPECT_EQ(parsed.uid_mappings[1].container_id, 10u);
  EXPECT_EQ(parsed.uid_mappings[1].host_id, 11u);
  EXPECT_EQ(parsed.uid_mappings[1].size, 20u);
  ASSERT_EQ(parsed.gid_mappings.size(), 1u);
  EXPECT_EQ(parsed.gid_mappings[0].host_id, 100u);
}

TEST(MountOptions, RelativeIdmapGoesThroughTheContainersMappings) {
  Linux container;
  container.uid_mappings = {{0, 0, 1}, {1, 2, 1000}};
  container.gid_mappings = {{0, 5000, 100}};
  Mount mount;
  mount.options = {"idmap=uids=@1-3-10;gids=@0-7-1"};
  auto parsed = parse_mount_options(mount, &container);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->uid_mappings.at(0).host_id, 4u);
  EXPECT_EQ(parsed->gid_mappings.at(0).host_id, 5007u);
}

TEST(MountOptions, IdmapTextThatCannotBeReadIsNamed) {
  EXPECT_THAT(error_of({"idmap=uids=0-1"}), HasSubstr("option idmap: \"0-1\" is not FROM-TO-LENGTH"));
  EXPECT_THAT(error_of({"idmap=uids=0-1-2-3;gids=0-1-1"}), HasSubstr("is not FROM-TO-LENGTH"));
  EXPECT_THAT(error_of({"idmap=uids=0-1-99999999999;gids=0-1-1"}), HasSubstr("is not FROM-TO-LENGTH"));
  EXPECT_THAT(error_of({"ridmap=pids=0-1-2"}), HasSubstr("option ridmap: expected uids= or gids=, found \"pids\""));
  EXPECT_THAT(error_of({"idmap=uids=@0-1-2;gids=@0-1-2"}), HasSubstr("needs a user namespace with mappings"));
  EXPECT_THAT(error_of({"idmap=uids=0-1-2"}), HasSubstr("together"));
}

TEST(MountOptions, KnownOptionsAreSortedAndWhole) {
  const std::vector<std::string> known = known_mount_options();
  EXPECT_TRUE(std::ranges::is_sorted(known));
  EXPECT_THAT(known, AllOf(Contains("rro"), Contains("tmpcopyup"), Contains("idmap"), Not(Contains("nofail"))));
}

}  // namespace
}  // namespace proa::oci::runtime
