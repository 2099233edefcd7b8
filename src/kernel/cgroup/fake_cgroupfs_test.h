// A cgroup file system of plain files for tests: system calls go through to a temporary folder, and what
// the kernel would do is done beside them. Folders get their control files, writes are recorded and read
// back, subtree_control switches controllers on below, a folder with processes cannot be removed.
#pragma once

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/cgroup/cgroup.h"
#include "kernel/sys.h"

namespace proa::kernel::cgroup {

class FakeCgroupfs : public Gate {
 public:
  FakeCgroupfs() : gate_(*this) {
    // Memory rather than a disk, where there is some: trees of hundreds of files come and go.
    std::string name = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    name += "/proa-cgroup-test-XXXXXX";
    root_ = ::mkdtemp(name.data());
    std::filesystem::create_directories(root_ + "/proc/self");
    std::filesystem::create_directories(top());
  }
  ~FakeCgroupfs() override { std::filesystem::remove_all(root_); }

  const std::string& root() const { return root_; }
  std::string top() const { return root_ + "/sys/fs/cgroup"; }

  // A v1 hierarchy at its usual place; `own` is the caller's cgroup in it.
  void add_v1(const std::string& controllers, const std::string& own = "/", std::string folder = "",
              const std::string& mount_root = "/") {
    if (folder.empty()) folder = top() + "/" + controllers.substr(controllers.starts_with("name=") ? 5 : 0);
    add_mount({folder, controllers, false}, own, mount_root);
  }
  // The unified hierarchy: all of /sys/fs/cgroup, or beside v1.
  void add_v2(const std::vector<std::string>& available, const std::string& own = "/", bool hybrid = false,
              const std::string& mount_root = "/") {
    available_ = available;
    add_mount({hybrid ? top() + "/unified" : top(), "", true}, own, mount_root);
  }
  // As on a host with controllers of its own on v1 and only hugetlb on v2.
  void add_hybrid() {
    for (const char* name :
         {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"})
      add_v1(name);
    add_v2({"hugetlb"}, "/", true);
  }

  // The next write to the file ("cpu/box/cpu.cfs_period_us", below the top) fails once.
  void fail_next_write(const std::string& file, int code) { failures_[file].push_back(code); }
  void fail_mkdir(const std::string& folder, int code) { mkdir_failures_[folder] = code; }
  void fail_next_rmdir(const std::string& folder, int times) { busy_[folder] = times; }
  // Reads of freezer.state answer FREEZING this often before FROZEN.
  void freeze_slowly(int reads) { freezing_ = reads; }
  void on_write(std::function<void(const std::string& file, const std::string& text)> hook) { hook_ = std::move(hook); }

  std::string read(const std::string& file) const {
    std::ifstream in(top() + "/" + file);
    std::stringstream text;
    text << in.rdbuf();
    std::string value = text.str();
    if (value.ends_with('\n')) value.pop_back();
    return value;
  }
  void write_file(const std::string& file, const std::string& text) {
    std::ofstream(top() + "/" + file) << text << "\n";
  }
  void remove_file(const std::string& file) { std::filesystem::remove(top() + "/" + file); }
  bool exists(const std::string& file) const { return std::filesystem::exists(top() + "/" + file); }
  void make(const std::string& folder) {
    std::string path = top();
    for (const std::string& part : words(folder, '/')) {
      path += "/" + part;
      std::filesystem::create_directories(path);
      populate(path);
    }
  }

  // "file: text" of every write so far, files below the top, in order.
  const std::vector<std::string>& writes() const { return writes_; }
  void forget_writes() { writes_.clear(); }
  std::vector<std::string> writes_to(const std::string& file) const {
    std::vector<std::string> values;
    for (const std::string& entry : writes_)
      if (entry.starts_with(file + ": ")) values.push_back(entry.substr(file.size() + 2));
    return values;
  }
  // The device programs: what was loaded, and the commands in order ("load", "query", "attach replace"...).
  const std::vector<std::vector<bpf_insn>>& programs() const { return programs_; }
  const std::vector<std::string>& bpf_calls() const { return bpf_calls_; }
  // Ids that a query answers.
  void attach_programs(std::vector<uint32_t> ids) { attached_ = std::move(ids); }
  void fail_replace(int code) { replace_failure_ = code; }
  int syscalls() const { return syscalls_; }

  Request request(const std::string& path = "/box") const {
    Request out;
    out.cgroups_path = path;
    out.id = "id";
    out.filesystem_root = root_;
    return out;
  }

  long invoke(const CallShape& shape, const CallArgs& args) noexcept override {
    ++syscalls_;
    switch (shape.nr) {
      case SYS_fstatfs: return do_fstatfs(args);
      case SYS_mkdirat: return do_mkdir(args);
      case SYS_unlinkat: return do_rmdir(args);
      case SYS_openat: return do_open(args);
      case SYS_write: return do_write(args);
      case SYS_bpf: return do_bpf(args);
      default: return real(shape, args);
    }
  }

 private:
  struct Hierarchy {
    std::string folder, controllers;
    bool v2;
  };

  static long real(const CallShape& shape, const CallArgs& args) {
    const long answer = ::syscall(shape.nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    return answer == -1 ? -errno : answer;
  }
  static const char* text(long argument) { return pointer_in<const char>(argument); }

  void add_mount(const Hierarchy& hierarchy, const std::string& own, const std::string& mount_root) {
    hierarchies_.push_back(hierarchy);
    std::filesystem::create_directories(hierarchy.folder);
    populate(hierarchy.folder);
    const bool usual = hierarchy.folder.starts_with(top());
    if (usual) magic_[hierarchy.folder] = hierarchy.v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC;
    std::ofstream(root_ + "/proc/self/cgroup", std::ios::app)
        << (hierarchy.v2 ? "0::" : cat(hierarchies_.size(), ":", hierarchy.controllers, ":")) << own << "\n";
    std::ofstream(root_ + "/proc/self/mountinfo", std::ios::app)
        << "30 25 0:30 " << mount_root << " " << hierarchy.folder.substr(root_.size()) << " rw,relatime shared:9 - "
        << (hierarchy.v2 ? "cgroup2 cgroup2 rw\n" : cat("cgroup cgroup rw,", hierarchy.controllers, "\n"));
  }

  const Hierarchy* of(const std::string& path) const {
    const Hierarchy* best = nullptr;
    for (const Hierarchy& hierarchy : hierarchies_)
      if ((path + "/").starts_with(hierarchy.folder + "/") &&
          (best == nullptr || hierarchy.folder.size() > best->folder.size()))
        best = &hierarchy;
    return best;
  }

  static void touch(const std::string& path, std::string_view value) {
    if (std::filesystem::exists(path)) return;
    std::ofstream out(path);
    out << value;
    if (!value.empty()) out << "\n";
  }

  using Files = std::vector<std::pair<const char*, const char*>>;
  static const std::map<std::string, Files>& v1_files() {
    static const std::map<std::string, Files> files = {
        {"cpu",
         {{"cpu.shares", "1024"},
          {"cpu.cfs_period_us", "100000"},
          {"cpu.cfs_quota_us", "-1"},
          {"cpu.cfs_burst_us", "0"},
          {"cpu.rt_period_us", "1000000"},
          {"cpu.rt_runtime_us", "0"},
          {"cpu.idle", "0"},
          {"cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 1000"}}},
        {"cpuacct",
         {{"cpuacct.usage", "300"},
          {"cpuacct.stat", "user 4\nsystem 5"},
          {"cpuacct.usage_percpu", "100 200 "},
          {"cpuacct.usage_all", "cpu user system\n0 10 20\n1 30 40"}}},
        {"cpuset",
         {{"cpuset.cpus", ""},
          {"cpuset.mems", ""},
          {"cpuset.cpu_exclusive", "0"},
          {"cpuset.sched_load_balance", "1"},
          {"cpuset.sched_relax_domain_level", "-1"}}},
        {"memory",
         {{"memory.limit_in_bytes", "9223372036854771712"},
          {"memory.memsw.limit_in_bytes", "9223372036854771712"},
          {"memory.soft_limit_in_bytes", "9223372036854771712"},
          {"memory.kmem.tcp.limit_in_bytes", "9223372036854771712"},
          {"memory.swappiness", "60"},
          {"memory.oom_control", "oom_kill_disable 0"},
          {"memory.use_hierarchy", "1"},
          {"memory.usage_in_bytes", "4096"},
          {"memory.max_usage_in_bytes", "8192"},
          {"memory.failcnt", "1"},
          {"memory.memsw.usage_in_bytes", "4097"},
          {"memory.memsw.max_usage_in_bytes", "8193"},
          {"memory.memsw.failcnt", "2"},
          {"memory.stat", "cache 77\nrss 88"},
          {"cgroup.event_control", ""}}},
        {"devices", {{"devices.allow", ""}, {"devices.deny", ""}, {"devices.list", "a *:* rwm"}}},
        {"freezer", {{"freezer.state", "THAWED"}, {"freezer.self_freezing", "0"}}},
        {"blkio",
         {{"blkio.bfq.weight", "100"},
          {"blkio.bfq.weight_device", ""},
          {"blkio.throttle.read_bps_device", ""},
          {"blkio.throttle.write_bps_device", ""},
          {"blkio.throttle.read_iops_device", ""},
          {"blkio.throttle.write_iops_device", ""}}},
        {"pids", {{"pids.max", "max"}, {"pids.current", "2"}}},
        {"hugetlb",
         {{"hugetlb.2MB.limit_in_bytes", "9"},
          {"hugetlb.2MB.rsvd.limit_in_bytes", "9"},
          {"hugetlb.2MB.rsvd.usage_in_bytes", "1"},
          {"hugetlb.2MB.rsvd.max_usage_in_bytes", "2"},
          {"hugetlb.2MB.rsvd.failcnt", "3"},
          {"hugetlb.1GB.limit_in_bytes", "9"},
          {"hugetlb.1GB.usage_in_bytes", "4"},
          {"hugetlb.1GB.max_usage_in_bytes", "5"},
          {"hugetlb.1GB.failcnt", "6"}}},
        {"net_cls", {{"net_cls.classid", "0"}}},
        {"net_prio", {{"net_prio.ifpriomap", ""}}},
        {"rdma", {{"rdma.max", ""}}},
    };
    return files;
  }
  static const std::map<std::string, Files>& v2_files() {
    static const std::map<std::string, Files> files = {
        {"cpu", {{"cpu.weight", "100"}, {"cpu.max", "max 100000"}, {"cpu.max.burst", "0"}, {"cpu.idle", "0"}}},
        {"cpuset", {{"cpuset.cpus", ""}, {"cpuset.mems", ""}}},
        {"memory",
         {{"memory.max", "max"},
          {"memory.low", "0"},
          {"memory.high", "max"},
          {"memory.swap.max", "max"},
          {"memory.current", "4096"},
          {"memory.swap.current", "100"},
          {"memory.peak", "5000"},
          {"memory.stat", "anon 3\nfile 7"},
          {"memory.events", "low 0\noom 0\noom_kill 0"},
          {"memory.pressure",
           "some avg10=1.50 avg60=0.00 avg300=0.25 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4"}}},
        {"io",
         {{"io.max", ""},
          {"io.weight", "default 100"},
          {"io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n"}}},
        {"pids", {{"pids.max", "max"}, {"pids.current", "2"}}},
        {"hugetlb",
         {{"hugetlb.2MB.max", "max"},
          {"hugetlb.2MB.rsvd.max", "max"},
          {"hugetlb.2MB.rsvd.current", "11"},
          {"hugetlb.2MB.events", "max 12"}}},
        {"rdma", {{"rdma.max", ""}}},
    };
    return files;
  }

  static std::vector<std::string> words(std::string_view list, char separator) {
    std::vector<std::string> out;
    std::stringstream in{std::string(list)};
    for (std::string word; std::getline(in, word, separator);)
      if (!word.empty()) out.push_back(word);
    return out;
  }
  static bool contains(const std::vector<std::string>& list, const std::string& word) {
    return std::ranges::find(list, word) != list.end();
  }
  static std::string slurp(const std::string& path) {
    std::ifstream in(path);
    std::stringstream text_of;
    text_of << in.rdbuf();
    std::string value = text_of.str();
    while (value.ends_with('\n')) value.pop_back();
    return value;
  }

  // The control files the kernel shows in a cgroup folder.
  void populate(const std::string& folder) {
    const Hierarchy* hierarchy = of(folder);
    if (hierarchy == nullptr) return;
    const bool is_top = folder == hierarchy->folder;
    touch(folder + "/cgroup.procs", "");
    if (!hierarchy->v2) {
      touch(folder + "/tasks", "");
      for (const std::string& controller : words(hierarchy->controllers, ','))
        if (const auto files = v1_files().find(controller); files != v1_files().end())
          for (const auto& [name, value] : files->second) touch(folder + "/" + name, value);
      if (is_top && hierarchy->controllers.find("cpuset") != std::string::npos) {
        std::ofstream(folder + "/cpuset.cpus") << "0-3\n";
        std::ofstream(folder + "/cpuset.mems") << "0\n";
      }
      return;
    }
    const std::string parent = folder.substr(0, folder.rfind('/'));
    const std::vector<std::string> on = is_top ? available_ : words(slurp(parent + "/cgroup.subtree_control"), ' ');
    std::string list;
    for (const std::string& controller : on) list += (list.empty() ? "" : " ") + controller;
    std::ofstream(folder + "/cgroup.controllers") << list << "\n";
    touch(folder + "/cgroup.subtree_control", "");
    if (is_top) return;
    touch(folder + "/cgroup.type", "domain");
    touch(folder + "/cgroup.freeze", "0");
    touch(folder + "/cgroup.kill", "");
    touch(folder + "/cgroup.events", "populated 0\nfrozen 0");
    touch(folder + "/cgroup.threads", "");
    touch(folder + "/cgroup.max.depth", "max");
    touch(folder + "/cpu.stat", "usage_usec 6\nuser_usec 4\nsystem_usec 2\nnr_periods 0");
    for (const std::string& controller : on)
      if (const auto files = v2_files().find(controller); files != v2_files().end())
        for (const auto& [name, value] : files->second) touch(folder + "/" + name, value);
  }

  long do_fstatfs(const CallArgs& args) {
    auto* info = pointer_in<struct statfs>(args[1]);
    std::error_code failed;
    const auto path = std::filesystem::read_symlink(cat("/proc/self/fd/", args[0]), failed);
    if (failed) return -EBADF;
    const auto known = magic_.find(path.string());
    info->f_type = known == magic_.end() ? TMPFS_MAGIC : known->second;
    return 0;
  }

  long do_mkdir(const CallArgs& args) {
    const std::string path = text(args[1]);
    if (const auto failure = mkdir_failures_.find(path.substr(std::min(path.size(), top().size() + 1)));
        failure != mkdir_failures_.end())
      return -failure->second;
    const long answer = real({SYS_mkdirat, "mkdirat", "dso"}, args);
    if (answer == 0) populate(path);
    return answer;
  }

  long do_rmdir(const CallArgs& args) {
    const std::string path = text(args[1]);
    if (!std::filesystem::exists(path)) return -ENOENT;
    int& busy = busy_[path.substr(std::min(path.size(), top().size() + 1))];
    if (busy > 0) {
      --busy;
      return -EBUSY;
    }
    if (!slurp(path + "/cgroup.procs").empty()) return -EBUSY;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      if (entry.is_directory()) return -EBUSY;
    std::filesystem::remove_all(path);
    return 0;
  }

  long do_open(const CallArgs& args) {
    const std::string path = text(args[1]);
    if (path.ends_with("/freezer.state") && freezing_ > 0 && slurp(path) == "FROZEN" &&
        (args[2] & O_ACCMODE) == O_RDONLY) {
      --freezing_;
      const std::string other = path + ".freezing";
      std::ofstream(other) << "FREEZING\n";
      const long fd = ::open(other.c_str(), O_RDONLY | O_CLOEXEC);
      ::unlink(other.c_str());
      return fd;
    }
    const long fd = real({SYS_openat, "openat", "dsxo"}, args);
    if (fd >= 0) paths_[static_cast<int>(fd)] = path;
    return fd;
  }

  long do_write(const CallArgs& args) {
    const std::string path = paths_[static_cast<int>(args[0])];
    const std::string value(text(args[1]), static_cast<size_t>(args[2]));
    const std::string file = path.substr(std::min(path.size(), top().size() + 1));
    writes_.push_back(file + ": " + value);
    if (hook_) hook_(file, value);
    if (auto failure = failures_.find(file); failure != failures_.end() && !failure->second.empty()) {
      const int code = failure->second.front();
      failure->second.erase(failure->second.begin());
      return -code;
    }
    if (file.ends_with("cgroup.subtree_control")) return switch_on(path, value);
    std::ofstream(path) << value << "\n";
    return static_cast<long>(value.size());
  }

  long switch_on(const std::string& path, const std::string& value) {
    const std::string folder = path.substr(0, path.rfind('/'));
    const auto available = words(slurp(folder + "/cgroup.controllers"), ' ');
    std::string enabled = slurp(path);
    const bool is_top = std::ranges::any_of(hierarchies_, [&](const Hierarchy& h) { return h.folder == folder; });
    if (!is_top && !slurp(folder + "/cgroup.procs").empty()) return -EBUSY;
    for (const std::string& word : words(value, ' ')) {
      if (!contains(available, word.substr(1))) return -ENOENT;
      if (!contains(words(enabled, ' '), word.substr(1))) enabled += (enabled.empty() ? "" : " ") + word.substr(1);
    }
    std::ofstream(path) << enabled << "\n";
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.is_directory()) populate(entry.path());
    return static_cast<long>(value.size());
  }

  long do_bpf(const CallArgs& args) {
    auto& attr = *pointer_in<bpf_attr>(args[1]);
    switch (args[0]) {
      case BPF_PROG_LOAD: {
        const auto* first = pointer_in<const bpf_insn>(attr.insns);
        programs_.emplace_back(first, first + attr.insn_cnt);
        bpf_calls_.push_back("load");
        return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      }
      case BPF_PROG_QUERY:
        bpf_calls_.push_back("query");
        std::ranges::copy(attached_, pointer_in<uint32_t>(attr.query.prog_ids));
        attr.query.prog_cnt = static_cast<uint32_t>(attached_.size());
        return 0;
      case BPF_PROG_GET_FD_BY_ID: return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      case BPF_PROG_ATTACH: {
        const bool replace = (attr.attach_flags & BPF_F_REPLACE) != 0;
        bpf_calls_.push_back(replace ? "attach replace" : "attach");
        return replace ? -replace_failure_ : 0;
      }
      case BPF_PROG_DETACH: bpf_calls_.push_back("detach"); return 0;
      default: return -EINVAL;
    }
  }

  std::string root_;
  std::vector<Hierarchy> hierarchies_;
  std::vector<std::string> available_;
  std::map<std::string, long> magic_;
  std::map<std::string, std::vector<int>> failures_;
  std::map<std::string, int> mkdir_failures_, busy_;
  std::map<int, std::string> paths_;
  std::vector<std::string> writes_;
  std::vector<std::vector<bpf_insn>> programs_;
  std::vector<std::string> bpf_calls_;
  std::vector<uint32_t> attached_;
  int replace_failure_ = 0;
  std::function<void(const std::string&, const std::string&)> hook_;
  int freezing_ = 0;
  int syscalls_ = 0;
  ScopedGate gate_;
};

}  // namespace proa::kernel::cgroup
