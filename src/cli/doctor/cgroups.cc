// Which cgroup hierarchies are mounted, with which controllers, and whether we may make cgroups.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/doctor/probe.h"

namespace proa::cli::doctor {
namespace {

constexpr std::string_view kDelegate = "delegate a cgroup to this user: systemd-run --user --scope -p Delegate=yes";

struct Hosts {
  std::map<std::string, std::string> v1;  // controller -> mount point
  std::string v2;                         // mount point; empty: none
  std::vector<std::string> v2_controllers;
};

std::vector<std::string> split_texts(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (const std::string_view part : split(text, separator)) parts.emplace_back(part);
  return parts;
}

// /proc/self/mountinfo: fields up to " - ", then type, source and super options (proc(5)).
Hosts find_hosts() {
  Hosts found;
  for (const std::string& line : split_texts(read_small("/proc/self/mountinfo").value_or(""), '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split_texts(line.substr(0, dash), ' ');
    const auto after = split_texts(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    if (after[0] == "cgroup2" && found.v2.empty()) found.v2 = before[4];
    if (after[0] != "cgroup") continue;
    for (const std::string& option : split_texts(after[2], ','))
      if (option != "rw" && option != "ro") found.v1.emplace(option, before[4]);
  }
  if (!found.v2.empty())
    found.v2_controllers = split_texts(read_small(found.v2 + "/cgroup.controllers").value_or(""), ' ');
  return found;
}

// Where this process is in the unified hierarchy, or below `controller`'s.
std::string own_path(const std::string& controller) {
  for (const std::string& line : split_texts(read_small("/proc/self/cgroup").value_or(""), '\n')) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto names = split_texts(line.substr(first + 1, second - first - 1), ',');
    const bool same = controller.empty() ? names.empty() : std::ranges::find(names, controller) != names.end();
    if (same) return line.substr(second + 1);
  }
  return "/";
}

// Makes a cgroup and removes it again.
int try_mkdir(const std::string& folder) {
  const std::string path = cat(folder, "/proa-doctor-", ::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) return errno;
  return ::rmdir(path.c_str()) == 0 ? 0 : errno;
}

void check_mode(std::vector<Check>& out, const Hosts& hosts) {
  Check check{.area = "cgroups", .name = "mode", .status = Status::kOk, .detail = {}, .fix = {}};
  if (hosts.v1.empty() && hosts.v2.empty()) {
    check.status = Status::kGap;
    check.detail = "no cgroup file system is mounted; containers run without limits";
    check.fix = "mount -t cgroup2 none /sys/fs/cgroup";
  } else if (hosts.v1.empty()) {
    check.detail = cat("v2 at ", hosts.v2);
  } else if (hosts.v2.empty()) {
    check.detail = "v1";
  } else {
    check.detail = cat("hybrid: v1 controllers, and v2 at ", hosts.v2);
  }
  out.push_back(std::move(check));
}

void check_controllers(std::vector<Check>& out, const Hosts& hosts) {
  static constexpr struct {
    std::string_view v2, v1, what;
  } kWanted[] = {
      {"cpu", "cpu", "CPU limits"},          {"cpuset", "cpuset", "pinning to CPUs"},
      {"memory", "memory", "memory limits"}, {"pids", "pids", "limits of processes"},
      {"io", "blkio", "block I/O limits"},   {"hugetlb", "hugetlb", "huge page limits"},
      {"rdma", "rdma", "RDMA limits"},       {"", "freezer", "pause"},
      {"", "devices", "device rules"},
  };
  for (const auto& wanted : kWanted) {
    const std::string name(wanted.v2.empty() ? wanted.v1 : wanted.v2);
    const bool unified = std::ranges::find(hosts.v2_controllers, wanted.v2) != hosts.v2_controllers.end();
    const bool legacy = hosts.v1.contains(std::string(wanted.v1));
    // v2 has freezing and device programs without a controller.
    const bool inherent = wanted.v2.empty() && hosts.v1.empty() && !hosts.v2.empty();
    if (unified || legacy || inherent) {
      out.push_back({"cgroups", name, Status::kOk, unified || inherent ? "v2" : "v1", ""});
    } else {
      out.push_back({"cgroups", name, Status::kGap, cat("no controller: ", wanted.what, " do not work"),
                     cat("use a kernel with the ", name, " controller, and do not disable it with cgroup_disable=")});
    }
  }
}

void check_making(std::vector<Check>& out, const Hosts& hosts) {
  std::map<std::string, std::string> folders;  // mount point -> controller
  for (const auto& [controller, mount] : hosts.v1) folders.emplace(mount, controller);
  std::string refused;
  int error = 0;
  const auto try_at = [&](const std::string& mount, const std::string& controller) {
    const int result = try_mkdir(is_root() ? mount : mount + own_path(controller));
    if (result == 0) return;
    error = result;
    refused += cat(refused.empty() ? "" : " ", mount);
  };
  for (const auto& [mount, controller] : folders) try_at(mount, controller);
  if (!hosts.v2.empty()) try_at(hosts.v2, "");
  if (folders.empty() && hosts.v2.empty()) return;
  const std::string_view fix = is_root() ? "mount the cgroup file systems read-write" : kDelegate;
  add(out, "cgroups", "making cgroups", error, is_root(), {"", cat("not in ", refused), fix, fix});
}

void check_delegation(std::vector<Check>& out, const Hosts& hosts) {
  if (hosts.v2.empty()) return;
  const std::string folder = is_root() ? hosts.v2 : hosts.v2 + own_path("");
  const std::string given = read_small(folder + "/cgroup.subtree_control").value_or("");
  const std::string available = read_small(folder + "/cgroup.controllers").value_or("");
  Check check{.area = "cgroups", .name = "delegation", .status = Status::kOk, .detail = {}, .fix = {}};
  check.detail = cat("controllers for cgroups below: ", given.empty() ? "none yet" : given);
  if (!is_root() && available.empty()) {
    check.status = Status::kGap;
    check.detail = "no controller is delegated to this user; rootless containers run without limits";
    check.fix = "set Delegate=cpu cpuset io memory pids in user@.service (systemctl edit user@.service)";
  }
  out.push_back(std::move(check));
}

// A device program that allows everything: r0 = 1; exit.
int try_device_program() {
  const bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                              {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insn_cnt = 2;
  attributes.insns = reinterpret_cast<uint64_t>(program);
  attributes.license = reinterpret_cast<uint64_t>(kLicense);
  const Fd fd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  return fd ? 0 : errno;
}

int try_clone_into(const std::string& folder) {
  const Fd cgroup(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) return errno;
  clone_args arguments{};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<uint64_t>(cgroup.get());
  const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child < 0) return errno;
  if (child == 0) ::_exit(0);
  ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  return 0;
}

void check_unified_features(std::vector<Check>& out, const Hosts& hosts) {
  add(out, "cgroups", "device programs", in_child(try_device_program), false,
      {"eBPF programs of type cgroup_device load", "eBPF device programs do not load",
       "use a kernel with CONFIG_CGROUP_BPF; device rules on v2 need it"});
  if (hosts.v2.empty()) return;
  const std::string folder = hosts.v2 + own_path("");
  add(out, "cgroups", "clone3 into a cgroup", try_clone_into(folder), false,
      {"", "processes are moved after they are made", "use Linux 5.7 or newer", kDelegate});
  const bool kill = ::access((folder + "/cgroup.kill").c_str(), F_OK) == 0 || own_path("") == "/";
  out.push_back({"cgroups", "cgroup.kill", kill ? Status::kOk : Status::kGap,
                 kill ? "" : "cgroups are killed process by process", kill ? "" : "use Linux 5.14 or newer"});
}

}  // namespace

void check_cgroups(std::vector<Check>& out) {
  const Hosts hosts = find_hosts();
  check_mode(out, hosts);
  check_controllers(out, hosts);
  check_making(out, hosts);
  check_delegation(out, hosts);
  check_unified_features(out, hosts);
}

}  // namespace proa::cli::doctor
