#include "vmm/host/template_kind.h"

#include <cpuid.h>
#include <sys/stat.h>

#include "vmm/boot/decompress.h"
#include "vmm/host/guest_disk.h"

namespace proa::vmm {

namespace {

Result<std::string> identity_of(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return fail_errno(errno, path);
  return file_identity(about);
}

// Model and features; a guest's machine may be moved to another processor without a boot.
std::string processor() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid(1, a, b, c, d);
  std::string text = cat(a, ".", c, ".", d);
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) text += cat(".", b, ".", c, ".", d);
  return text;
}

}  // namespace

Result<std::string> template_kind(const VmConfig& config, const MicroVm::Options& options, const std::string& modules) {
  const BootSource& boot = *config.boot;
  std::string kind = cat("program ", TRY(identity_of("/proc/self/exe")), "\nprocessor ", processor(), "\nengine ",
                         options.engine == EngineKind::kKvm ? "kvm" : "translator", "\nkernel ",
                         TRY(identity_of(boot.kernel_image_path)), "\n");
  if (!boot.initrd_path.empty()) kind += cat("initrd ", TRY(identity_of(boot.initrd_path)), "\n");
  for (const std::string& file : TRY(guest_disk_files(boot.kernel_image_path, modules)))
    kind += cat("module ", TRY(identity_of(file)), "\n");
  kind += cat("cmdline ", command_line(config), "\nvcpus ", config.machine.vcpu_count, "\nmemory ",
              config.machine.mem_size_mib, "\ndisks ", config.drives.size(), "\nnets ", config.nets.size(), "\n");
  if (config.vsock) kind += cat("vsock ", config.vsock->guest_cid, "\n");
  if (config.entropy) kind += "entropy\n";
  if (config.console) kind += "console\n";
  if (options.debug_exit) kind += "debug-exit\n";
  const CpuTemplate cpu = cpu_template(config);
  for (const MsrModifier& m : cpu.msrs) kind += cat("msr ", m.index, " ", m.mask, " ", m.bits, "\n");
  for (const CpuidModifier& m : cpu.cpuid)
    kind += cat("cpuid ", m.leaf, " ", m.subleaf, " ", static_cast<unsigned>(m.reg), " ", m.mask, " ", m.bits, "\n");
  return kind;
}

}  // namespace proa::vmm
