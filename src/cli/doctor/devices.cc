// Device files, programs and resource limits of the host.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/doctor/probe.h"
#include "kernel/process.h"
#include "vmm/cpu/kvm/kvm.h"

namespace proa::cli::doctor {
namespace {

int try_kvm() {
  const Fd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) return errno;
  const int version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return errno;
  if (version != KVM_API_VERSION) return EPROTO;
  const Fd machine(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!machine) return errno;
  const Fd processor(::ioctl(machine.get(), KVM_CREATE_VCPU, 0));
  return processor ? 0 : errno;
}

// Whether a kernel's code runs by hardware.
int try_ring0() { return vmm::probe_kvm() == vmm::KvmKind::kEmulated ? EOPNOTSUPP : 0; }

int try_tun() {
  const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) return errno;
  unsigned features = 0;
  return ::ioctl(tun.get(), TUNGETFEATURES, &features) == 0 ? 0 : errno;
}

int try_fuse() {
  const Fd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  return fuse ? 0 : errno;
}

std::string kvm_fix(int error) {
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    return "modprobe kvm_intel or kvm_amd; turn virtualisation on in the firmware, or nesting on the host of this "
           "machine";
  return "give this machine virtualisation (VT-x or AMD-V)";
}

void check_criu(std::vector<Check>& out) {
  if (auto file = kernel::find_program("criu")) {
    out.push_back({"programs", "criu", Status::kOk, std::move(*file), ""});
    return;
  }
  out.push_back({"programs", "criu", Status::kGap, "not found; no checkpoint and restore", "apt install criu"});
}

std::string limit_text(rlim_t value) { return value == RLIM_INFINITY ? "unlimited" : std::to_string(value); }

struct LimitRule {
  std::string_view name;
  __rlimit_resource_t resource;
  rlim_t least;  // of the hard limit
  std::string_view option;
};
constexpr LimitRule kLimits[] = {
    {"open files", RLIMIT_NOFILE, 65536, "LimitNOFILE=1048576"},
    {"processes", RLIMIT_NPROC, 4096, "LimitNPROC=infinity"},
    {"locked memory", RLIMIT_MEMLOCK, 8u << 20, "LimitMEMLOCK=infinity"},
};

}  // namespace

void check_devices(std::vector<Check>& out) {
  const int kvm = in_child(try_kvm);
  add(out, "devices", "/dev/kvm", kvm, false,
      {"machines run on the processor", "machines run translated, slower", kvm_fix(kvm),
       "add this user to the group kvm"});
  if (kvm == 0 && in_child(try_ring0) == EOPNOTSUPP)
    out.back() = {"devices", "/dev/kvm", Status::kGap, "emulates a kernel's code, slowly; machines run translated",
                  "turn nested virtualisation on, on the host of this machine"};
  add(out, "devices", "/dev/net/tun", in_child(try_tun), false,
      {"", "no network for machines and rootless containers", "modprobe tun; mknod /dev/net/tun c 10 200",
       "chmod 666 /dev/net/tun"});
  add(out, "devices", "/dev/fuse", in_child(try_fuse), false,
      {"", "no FUSE file systems", "modprobe fuse; mknod /dev/fuse c 10 229", "chmod 666 /dev/fuse"});
  check_criu(out);
}

void check_limits(std::vector<Check>& out) {
  for (const LimitRule& rule : kLimits) {
    rlimit limit{};
    if (::getrlimit(rule.resource, &limit) != 0) continue;
    const bool enough = limit.rlim_max >= rule.least;
    out.push_back(
        {"limits", std::string(rule.name), enough ? Status::kOk : Status::kGap,
         cat(limit_text(limit.rlim_cur), ", at most ", limit_text(limit.rlim_max)),
         enough ? "" : cat("raise it: ", rule.option, " in the systemd unit, or in /etc/security/limits.conf")});
  }
}

}  // namespace proa::cli::doctor
