// Processes, seccomp, capabilities, security modules.
#include <elf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/memfd.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/error.h"
#include "base/fd.h"
#include "cli/doctor/probe.h"
#include "kernel/capability.h"

namespace proa::cli::doctor {
namespace {

int fd_or_errno(long answer) {
  const Fd fd(static_cast<int>(answer));
  return fd ? 0 : errno;
}

int try_pidfd() { return fd_or_errno(::syscall(SYS_pidfd_open, ::getpid(), 0)); }

int try_clone3() {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child < 0) return errno;
  if (child == 0) ::_exit(0);
  ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  return 0;
}

// A program of one page whose only work is exit(0).
struct TinyProgram {
  Elf64_Ehdr header;
  Elf64_Phdr segment;
  uint32_t code[3];
};

TinyProgram tiny_program() {
  constexpr uint64_t kBase = 0x10000;
  TinyProgram out{};
  std::memcpy(out.header.e_ident, ELFMAG, SELFMAG);
  out.header.e_ident[EI_CLASS] = ELFCLASS64;
  out.header.e_ident[EI_DATA] = ELFDATA2LSB;
  out.header.e_ident[EI_VERSION] = EV_CURRENT;
  out.header.e_type = ET_EXEC;
  out.header.e_version = EV_CURRENT;
  out.header.e_entry = kBase + offsetof(TinyProgram, code);
  out.header.e_phoff = offsetof(TinyProgram, segment);
  out.header.e_ehsize = sizeof(Elf64_Ehdr);
  out.header.e_phentsize = sizeof(Elf64_Phdr);
  out.header.e_phnum = 1;
  out.segment.p_type = PT_LOAD;
  out.segment.p_flags = PF_R | PF_X;
  out.segment.p_vaddr = kBase;
  out.segment.p_filesz = out.segment.p_memsz = sizeof out;
  out.segment.p_align = kBase;
#if defined(__x86_64__)
  out.header.e_machine = EM_X86_64;
  const unsigned char code[12] = {0x31, 0xff, 0xb8, SYS_exit, 0,
                                  0,    0,    0x0f, 0x05,     0xf4};  // edi = 0; eax = exit; syscall; hlt
  std::memcpy(out.code, code, sizeof code);
#elif defined(__aarch64__)
  out.header.e_machine = EM_AARCH64;
  const uint32_t code[3] = {0xd2800000, 0xd2800ba8, 0xd4000001};  // x0 = 0; x8 = exit; svc
  std::memcpy(out.code, code, sizeof code);
#endif
  return out;
}

// Runs a program from sealed memory: how the runtime keeps containers from writing to its own file.
int try_memfd_exec() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  constexpr unsigned kExec = 0x10;  // MFD_EXEC, Linux 6.3
  Fd program(::memfd_create("proa-doctor", kFlags | kExec));
  if (!program && errno == EINVAL) program = Fd(::memfd_create("proa-doctor", kFlags));
  if (!program) return errno;
  const TinyProgram image = tiny_program();
  if (::write(program.get(), &image, sizeof image) != sizeof image) return EIO;
  if (::fcntl(program.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return errno;
  char name[] = "proa-doctor";
  char* arguments[] = {name, nullptr};
  ::fexecve(program.get(), arguments, ::environ);
  return errno;
}

int try_userfaultfd() {
  long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == EPERM) fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  return fd_or_errno(fd);
}

template <uint32_t Action>
int try_seccomp_action() {
  uint32_t action = Action;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

int try_seccomp_filter() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  sock_filter allow{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW};
  const sock_fprog program{.len = 1, .filter = &allow};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

void check_seccomp(std::vector<Check>& out) {
  add(out, "security", "seccomp filters", in_child(try_seccomp_filter), true,
      {"", "", "use a kernel with CONFIG_SECCOMP_FILTER"});
  add(out, "security", "seccomp notify", in_child(try_seccomp_action<SECCOMP_RET_USER_NOTIF>), false,
      {"SCMP_ACT_NOTIFY works", "SCMP_ACT_NOTIFY does not work", "use Linux 5.0 or newer"});
}

void check_landlock(std::vector<Check>& out) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  const int error = version < 0 ? errno : 0;
  add(out, "security", "landlock", error, false,
      {cat("version ", version < 0 ? 0 : version), "", "use Linux 5.13 or newer with landlock in lsm="});
}

void check_modules(std::vector<Check>& out) {
  const bool apparmor = read_small("/sys/module/apparmor/parameters/enabled") == "Y";
  const auto selinux = read_small("/sys/fs/selinux/enforce");
  const std::string names = cat(apparmor ? "AppArmor" : "", apparmor && selinux ? ", " : "",
                                selinux ? (*selinux == "1" ? "SELinux (enforcing)" : "SELinux (permissive)") : "");
  Check check{.area = "security", .name = "AppArmor or SELinux", .status = Status::kOk, .detail = names, .fix = {}};
  if (names.empty()) {
    check.status = Status::kGap;
    check.detail = "neither is on; a config.json that names a profile or label is refused";
    check.fix = "boot with lsm=...,apparmor and install apparmor";
  }
  out.push_back(std::move(check));
}

void check_capabilities(std::vector<Check>& out) {
  std::string gone;
  bool resource = true;
  const auto last = read_small("/proc/sys/kernel/cap_last_cap");
  const int most = last ? std::atoi(last->c_str()) : CAP_LAST_CAP;
  for (int capability = 0; capability <= most; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0) continue;
    const std::string_view known = kernel::capability_name(capability);
    gone += cat(gone.empty() ? "" : " ", known.empty() ? std::to_string(capability) : std::string(known));
    if (capability == CAP_SYS_RESOURCE) resource = false;
  }
  Check check{.area = "security",
              .name = "capabilities",
              .status = Status::kOk,
              .detail = "all in the bounding set",
              .fix = {}};
  if (!gone.empty()) {
    check.status = Status::kGap;
    check.detail = cat("not in the bounding set, so no container can have them: ", gone);
    if (!resource) check.detail += "; without CAP_SYS_RESOURCE rlimits cannot be raised, nor oom_score_adj lowered";
    check.fix = "start the service or container this runs in with these capabilities";
  }
  out.push_back(std::move(check));
}

}  // namespace

void check_processes(std::vector<Check>& out) {
  add(out, "processes", "pidfd", in_child(try_pidfd), false, {"", "", "use Linux 5.3 or newer"});
  add(out, "processes", "clone3", in_child(try_clone3), false, {"", "", "use Linux 5.3 or newer"});
  add(out, "processes", "exec from memory", in_child(try_memfd_exec), false,
      {"sealed copies of programs run", "the runtime cannot hide its program from containers",
       "sysctl -w vm.memfd_noexec=0"});
  add(out, "processes", "userfaultfd", in_child(try_userfaultfd), false,
      {"", "no lazy restore or post-copy migration",
       "use a kernel with CONFIG_USERFAULTFD; sysctl -w vm.unprivileged_userfaultfd=1"});
}

void check_security(std::vector<Check>& out) {
  check_seccomp(out);
  check_landlock(out);
  check_modules(out);
  check_capabilities(out);
}

}  // namespace proa::cli::doctor
