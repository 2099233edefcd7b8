// Mounts, masks and the change of root on a kernel that records what is mounted and does all else.
#include "oci/runtime/rootfs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>

#include "kernel/file.h"
#include "kernel/sys.h"
#include "kernel/temp_folder_test.h"

namespace proa::oci::runtime {
namespace {

namespace fs = std::filesystem;
using kernel::pointer_in;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What is mounted is told in words; a detached mount is a descriptor of the folder it would show.
class MountGate : public kernel::Gate {
 public:
  explicit MountGate(const TempFolder& folder) : folder_(folder) { fs::create_directory(folder / "superblock"); }

  long invoke(const kernel::CallShape& shape, const kernel::CallArgs& args) noexcept override {
    switch (shape.nr) {
      case SYS_fsopen:
        note("new ", text(args[0]));
        return refused_ == text(args[0]) ? -refusal_ : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      case SYS_fsconfig: return configure(args);
      case SYS_fsmount:
        note("attributes ", args[2]);
        return named(::open((folder_ / "superblock").c_str(), O_RDONLY | O_CLOEXEC), "superblock");
      case SYS_open_tree: return copy(args);
      case SYS_mount_setattr: return set_attributes(args);
      case SYS_move_mount:
        note("attach ", name_of(args[0]), " at ", text(args[3])[0] == '\0' ? place(args[2]) : relative(text(args[3])));
        return 0;
      case SYS_mount: note("mount ", args[3], " ", text(args[1])); return 0;
      case SYS_fchdir: note("enter ", place(args[0])); return 0;
      case SYS_pivot_root:
      case SYS_chroot:
      case SYS_chdir:
      case SYS_umount2: note(shape.name); return 0;
      default: break;
    }
    const long answer = ::syscall(shape.nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    return answer == -1 ? -errno : answer;
  }

  // Of file system `type` the kernel says `code`.
  void refuse(std::string type, int code) {
    refused_ = std::move(type);
    refusal_ = code;
  }
  const std::vector<std::string>& done() const { return done_; }

 private:
  template <typename... Parts>
  void note(const Parts&... parts) {
    done_.push_back(cat(parts...));
  }
  static std::string text(long argument) {
    const char* given = pointer_in<const char>(static_cast<uint64_t>(argument));
    return given == nullptr ? "" : given;
  }
  std::string relative(const std::string& path) const {
    return path.starts_with(folder_.path()) ? path.substr(folder_.path().size()) : path;
  }
  // Where a descriptor leads, in the test's folder.
  std::string place(long fd) const { return relative(fs::read_symlink(cat("/proc/self/fd/", fd)).string()); }
  long named(long fd, const std::string& name) {
    names_[fd] = name;
    return fd < 0 ? -errno : fd;
  }
  std::string name_of(long fd) const { return names_.contains(fd) ? names_.at(fd) : place(fd); }

  long configure(const kernel::CallArgs& args) {
    if (args[1] != FSCONFIG_CMD_CREATE && text(args[2]) != "source")
      note("option ", text(args[2]), args[3] == 0 ? "" : "=", text(args[3]));
    return 0;
  }
  long copy(const kernel::CallArgs& args) {
    const bool recursive = (args[2] & AT_RECURSIVE) != 0;
    const std::string path = text(args[1]);
    const std::string from = path.empty() ? place(args[0]) : relative(path);
    note("copy ", from, recursive ? " and below" : "");
    const std::string real = path.empty() ? cat("/proc/self/fd/", args[0]) : path;
    return named(::open(real.c_str(), O_PATH | O_CLOEXEC), "copy of " + from);
  }
  long set_attributes(const kernel::CallArgs& args) {
    const auto& attr = *pointer_in<mount_attr>(static_cast<uint64_t>(args[3]));
    std::string what = (args[2] & AT_RECURSIVE) != 0 ? "set below and on " : "set on ";
    what += name_of(args[0]);
    if (attr.attr_set != 0) what += cat(" +", attr.attr_set);
    if (attr.attr_clr != 0) what += cat(" -", attr.attr_clr);
    if (attr.propagation != 0) what += cat(" propagation ", attr.propagation);
    done_.push_back(what);
    return 0;
  }

  const TempFolder& folder_;
  std::map<long, std::string> names_;
  std::vector<std::string> done_;
  std::string refused_;
  int refusal_ = 0;
};

class Rootfs : public testing::Test {
 protected:
  Rootfs() {
    fs::create_directories(folder / "root");
    fs::create_directories(folder / "source/inner");
    folder.write("file", "content");
    spec.root = Root{.path = folder / "root"};
    spec.linux_.emplace().namespaces = {{NamespaceType::kMount, {}}};
    context.spec = &spec;
    context.rootfs = folder / "root";
    context.root = kernel::open((folder / "root").c_str(), O_PATH | O_DIRECTORY).value();
  }
  void add(const std::string& destination, const std::string& type, const std::string& source,
           std::vector<std::string> options = {}) {
    spec.mounts.push_back({destination, type, source, std::move(options), {}, {}});
  }
  Result<> mount() {
    TRY(prepare_mounts(context, -1));
    return mount_all(context);
  }
  std::string error() {
    const auto done = mount();
    return done ? "no error" : done.error().message();
  }
  std::string in_root(std::string_view path) const { return folder / cat("root/", path); }

  TempFolder folder;
  MountGate gate{folder};
  kernel::ScopedGate installed{gate};
  Spec spec;
  RootfsContext context;
};

// --- mounts

TEST_F(Rootfs, BindMountsGetTheirAttributesBeforeTheyAreSeen) {
  add("/data", "bind", folder / "source", {"rbind", "ro", "nosuid"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(), ElementsAre("copy /source and below",
                                       cat("set on copy of /source +", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID),
                                       "attach copy of /source at /root/data"));
}

TEST_F(Rootfs, MountPointsAreOfTheSourcesKind) {
  add("/a/folder", "none", folder / "source", {"bind"});
  add("/a/file", "", folder / "file", {"bind"});
  EXPECT_EQ(error(), "no error");
  EXPECT_TRUE(fs::is_directory(in_root("a/folder")));
  EXPECT_TRUE(fs::is_regular_file(in_root("a/file")));
  EXPECT_THAT(gate.done(), Contains("attach copy of /file at /root/a/file"));
}

TEST_F(Rootfs, DestinationsAreTakenInsideTheRoot) {
  fs::create_directory(in_root("real"));
  fs::create_symlink("/real", in_root("link"));
  fs::create_symlink("../../../../..", in_root("up"));
  add("/link/x", "bind", folder / "source", {"bind"});
  add("/up/y", "bind", folder / "source", {"bind"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(),
              AllOf(Contains("attach copy of /source at /root/real/x"), Contains("attach copy of /source at /root/y")));
}

TEST_F(Rootfs, MissingSourceIsNamed) {
  add("/ok", "bind", folder / "source", {"bind"});
  add("/data", "bind", folder / "none", {"bind"});
  EXPECT_THAT(error(),
              AllOf(HasSubstr("mounts[1] (/data): "), HasSubstr("none"), HasSubstr("no such file or directory")));
}

TEST_F(Rootfs, RecursiveAttributes) {
  add("/data", "bind", folder / "source", {"rbind", "rro", "dev"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(), ElementsAre("copy /source and below", cat("set on copy of /source -", MOUNT_ATTR_NODEV),
                                       cat("set below and on copy of /source +", MOUNT_ATTR_RDONLY),
                                       "attach copy of /source at /root/data"));
}

TEST_F(Rootfs, PropagationIsSetOnWhatIsMounted) {
  add("/data", "bind", folder / "source", {"bind", "rshared"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done().back(), HasSubstr(cat("mount ", MS_SHARED | MS_REC, " /proc/self/fd/")));
}

TEST_F(Rootfs, SourcesAreOpenedBeforeAUserNamespaceTakesTheRights) {
  context.user_namespace = true;
  add("/data", "bind", folder / "source", {"bind", "ro"});
  ASSERT_TRUE(prepare_mounts(context, -1));
  EXPECT_THAT(gate.done(), ElementsAre("copy /source", cat("set on copy of /source propagation ", uint64_t{MS_SLAVE}),
                                       cat("set on copy of /source +", MOUNT_ATTR_RDONLY)));
  fs::remove_all(folder / "source");
  ASSERT_TRUE(mount_all(context));
  EXPECT_EQ(gate.done().back(), "attach copy of /source at /root/data");
}

TEST_F(Rootfs, TmpfsKeepsTheModeOfTheFolder) {
  fs::create_directory(in_root("tmp"));
  ASSERT_EQ(::chmod(in_root("tmp").c_str(), 01777), 0);
  add("/tmp", "tmpfs", "tmpfs", {"nodev", "size=1k"});
  add("/run", "tmpfs", "tmpfs", {"mode=700"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(),
              ElementsAre("new tmpfs", "option size=1k", "option mode=1777", cat("attributes ", MOUNT_ATTR_NODEV),
                          "attach superblock at /root/tmp", "new tmpfs", "option mode=700", "attributes 0",
                          "attach superblock at /root/run"));
}

TEST_F(Rootfs, TmpfsIsFilledBeforeItIsSeen) {
  fs::create_directory(in_root("etc"));
  folder.write("root/etc/conf", "of the image");
  add("/etc", "tmpfs", "tmpfs", {"tmpcopyup", "ro", "noexec"});
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(folder.read("superblock/conf"), "of the image");
  EXPECT_THAT(gate.done(), ElementsAre("new tmpfs", HasSubstr("option mode="), "attributes 0",
                                       cat("set on superblock +", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC),
                                       "attach superblock at /root/etc"));
}

TEST_F(Rootfs, OptionsGoToTheFileSystem) {
  add("/o", "overlay", "overlay", {"lowerdir=/a", "upperdir=/b", "sync", "noatime"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(), ElementsAre("new overlay", "option sync", "option lowerdir=/a", "option upperdir=/b",
                                       cat("attributes ", MOUNT_ATTR_NOATIME), "attach superblock at /root/o"));
}

TEST_F(Rootfs, UnknownFileSystem) {
  gate.refuse("nofs", ENODEV);
  add("/o", "nofs", "x");
  EXPECT_THAT(error(), AllOf(HasSubstr("mounts[0] (/o): "), HasSubstr("nofs"), HasSubstr("no such device")));
}

TEST_F(Rootfs, ProcAndSysOnlyOnPlainFolders) {
  fs::create_directory(in_root("trap"));
  fs::create_symlink("/trap", in_root("proc"));
  fs::create_symlink("/trap", in_root("sys"));
  add("/proc", "proc", "proc");
  EXPECT_THAT(error(), HasSubstr("mounts[0] (/proc): /proc must be an ordinary folder, not a link"));
  spec.mounts[0] = {"/sys", "sysfs", "sysfs", {}, {}, {}};
  context.mounts.clear();
  EXPECT_THAT(error(), HasSubstr("mounts[0] (/sys): /sys must be an ordinary folder, not a link"));
  EXPECT_THAT(gate.done(), IsEmpty());
}

TEST_F(Rootfs, SysOfTheHostWhereItsOwnIsRefused) {
  gate.refuse("sysfs", EPERM);
  add("/sys", "sysfs", "sysfs", {"ro"});
  EXPECT_THAT(error(), HasSubstr("operation not permitted"));
  context.user_namespace = true;
  context.mounts.clear();
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(), AllOf(Contains("copy /sys and below"), Contains("attach copy of /sys at /root/sys")));
}

TEST_F(Rootfs, OnlyProcAtProc) {
  for (const auto& [type, source] : {std::pair<std::string, std::string>{"tmpfs", "tmpfs"},
                                     {"cgroup", "cgroup"},
                                     {"mqueue", "mqueue"},
                                     {"bind", folder / "source"}}) {
    spec.mounts.clear();
    context.mounts.clear();
    add("/x/../proc/", type, source, type == "bind" ? std::vector<std::string>{"bind"} : std::vector<std::string>{});
    EXPECT_EQ(error(), "mounts[0] (/x/../proc/): /proc cannot be mounted because it is not of type proc") << type;
  }
  EXPECT_THAT(gate.done(), testing::Not(Contains(HasSubstr("attach"))));
}

TEST_F(Rootfs, CopiedLinks) {
  fs::create_symlink("/etc/target", folder / "link");
  add("/sub/copy", "bind", folder / "link", {"bind", "copy-symlink"});
  EXPECT_EQ(error(), "no error");
  EXPECT_EQ(fs::read_symlink(in_root("sub/copy")), "/etc/target");
  EXPECT_THAT(gate.done(), IsEmpty());
  context.mounts.clear();
  EXPECT_EQ(error(), "no error") << "it is there already";
  fs::remove(in_root("sub/copy"));
  folder.write("root/sub/copy", "another");
  context.mounts.clear();
  EXPECT_THAT(error(), HasSubstr("file exists"));
}

TEST_F(Rootfs, IdMapNeedsMappings) {
  add("/data", "bind", folder / "source", {"bind", "idmap"});
  EXPECT_THAT(error(), AllOf(HasSubstr("mounts[0] (/data): "), HasSubstr("idmap needs mappings")));
}

TEST_F(Rootfs, RemountChangesWhatIsThere) {
  fs::create_directory(in_root("data"));
  add("/data", "", "", {"remount", "bind", "ro"});
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(gate.done(), ElementsAre(cat("set on /root/data +", MOUNT_ATTR_RDONLY)));
  spec.mounts[0].destination = "/none";
  context.mounts.clear();
  EXPECT_THAT(error(), HasSubstr("no such file"));
  EXPECT_FALSE(fs::exists(in_root("none")));
}

// --- masks

TEST_F(Rootfs, MaskedPaths) {
  fs::create_directories(in_root("proc/acpi"));
  fs::create_directories(in_root("sys/firmware"));
  folder.write("root/proc/keys", "");
  spec.linux_->masked_paths = {"/proc/acpi", "/proc/keys", "/none", "/proc/keys/below", "/sys/firmware"};
  ASSERT_TRUE(mask_paths(context));
  EXPECT_THAT(gate.done(), AllOf(Contains("attach superblock at /root/proc/acpi"),
                                 Contains("attach copy of /dev/null at /root/proc/keys"),
                                 Contains("attach copy of /superblock at /root/sys/firmware")));
  EXPECT_EQ(std::ranges::count(gate.done(), "new tmpfs"), 1) << "one empty folder is enough for all";
  EXPECT_THAT(gate.done(), Contains("option ro"));
}

TEST_F(Rootfs, MasksAreTakenInsideTheRoot) {
  fs::create_directory(in_root("real"));
  fs::create_symlink("/../../real", in_root("link"));
  fs::create_symlink(folder / "source", in_root("out"));
  spec.linux_->masked_paths = {"/link", "/out"};
  ASSERT_TRUE(mask_paths(context));
  EXPECT_EQ(gate.done().back(), "attach superblock at /root/real") << "what lies outside is not there";
}

TEST_F(Rootfs, ReadOnlyPaths) {
  fs::create_directories(in_root("proc/sys"));
  spec.linux_->readonly_paths = {"/proc/sys", "/none"};
  ASSERT_TRUE(mask_paths(context));
  EXPECT_THAT(gate.done(), ElementsAre("copy /root/proc/sys and below",
                                       cat("set below and on copy of /root/proc/sys +", MOUNT_ATTR_RDONLY),
                                       "attach copy of /root/proc/sys at /root/proc/sys"));
}

// --- sysctls

TEST_F(Rootfs, Sysctls) {
  fs::create_directories(folder / "sys/net/ipv4/conf/eth0.1");
  folder.write("sys/net/ipv4/ip_forward", "");
  folder.write("sys/net/ipv4/conf/eth0.1/forwarding", "");
  context.proc_sys = kernel::open((folder / "sys").c_str(), O_PATH | O_DIRECTORY).value();
  spec.linux_->sysctl = {{"net.ipv4.ip_forward", "1"}, {"net.ipv4.conf.eth0/1.forwarding", "2"}};
  ASSERT_TRUE(write_sysctls(context));
  EXPECT_EQ(folder.read("sys/net/ipv4/ip_forward"), "1");
  EXPECT_EQ(folder.read("sys/net/ipv4/conf/eth0.1/forwarding"), "2");
  spec.linux_->sysctl = {{"net.none", "1"}};
  EXPECT_THAT(write_sysctls(context).error().message(),
              AllOf(HasSubstr("linux.sysctl.net.none"), HasSubstr("no such file")));
}

// --- the root

TEST_F(Rootfs, RootIsUntiedFromTheHostFirst) {
  ASSERT_TRUE(attach_root(context));
  EXPECT_THAT(gate.done(), ElementsAre(cat("mount ", MS_SLAVE | MS_REC, " /"), "copy /root and below",
                                       "attach copy of /root at /root"));
  EXPECT_TRUE(context.attached);
}

TEST_F(Rootfs, EnteringTheRootLetsTheHostGo) {
  spec.root->readonly = true;
  spec.linux_->rootfs_propagation = "private";
  ASSERT_TRUE(enter_root(context));
  EXPECT_THAT(gate.done(), ElementsAre("enter /root", "pivot_root", "enter /", cat("mount ", MS_SLAVE | MS_REC, " ."),
                                       "umount2", "chdir", cat("mount ", uint64_t{MS_PRIVATE}, " /"),
                                       cat("set on /root +", MOUNT_ATTR_RDONLY)));
}

TEST_F(Rootfs, WithoutPivot) {
  context.no_pivot = true;
  ASSERT_TRUE(enter_root(context));
  EXPECT_THAT(gate.done(), ElementsAre("enter /root", cat("mount ", uint64_t{MS_MOVE}, " /"), "chroot", "chdir"));
}

TEST_F(Rootfs, WithoutAMountNamespaceNothingOfTheHostIsTouched) {
  spec.linux_->namespaces.clear();
  spec.linux_->rootfs_propagation = "shared";
  ASSERT_TRUE(attach_root(context));
  ASSERT_TRUE(enter_root(context));
  EXPECT_THAT(gate.done(), ElementsAre("copy /root and below",
                                       cat("set below and on copy of /root propagation ", uint64_t{MS_PRIVATE}),
                                       "attach copy of /root at /root", "enter /root", "chroot", "chdir"));
}

TEST(CgroupFolderName, IsThatOfTheControllers) {
  EXPECT_EQ(cgroup_folder_name({.controllers = "cpu,cpuacct", .path = {}}), "cpu,cpuacct");
  EXPECT_EQ(cgroup_folder_name({.controllers = "name=systemd", .path = {}}), "systemd");
  EXPECT_EQ(cgroup_folder_name({.controllers = "", .path = {}}), "unified");
}

}  // namespace
}  // namespace proa::oci::runtime
