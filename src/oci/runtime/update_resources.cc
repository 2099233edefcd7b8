#include "oci/runtime/update_resources.h"

#include <unistd.h>

#include "kernel/file.h"
#include "oci/spec/spec.h"

namespace proa::oci::runtime {
namespace {

using kernel::cgroup::Resources;

constexpr size_t kDocumentLimit = 1u << 20;

Result<Resources> read_document(const std::string& file) {
  std::string text;
  if (file == "-") {
    text = TRY_CTX(kernel::read_all(STDIN_FILENO, kDocumentLimit), "--resources: standard input");
  } else {
    text = TRY_CTX(kernel::read_file(file.c_str(), kDocumentLimit), "--resources");
  }
  return TRY_CTX(parse_resources(text), "--resources ", file);
}

void set_cpu(const UpdateOptions& options, Resources& out) {
  const bool asked = options.cpu_share || options.cpu_period || options.cpu_quota || options.cpu_burst ||
                     options.cpu_rt_period || options.cpu_rt_runtime || options.cpu_idle || options.cpuset_cpus ||
                     options.cpuset_mems;
  if (!asked) return;
  kernel::cgroup::CpuResources& cpu = out.cpu.emplace();
  cpu.shares = options.cpu_share;
  cpu.period = options.cpu_period;
  cpu.quota = options.cpu_quota;
  cpu.burst = options.cpu_burst;
  cpu.realtime_period = options.cpu_rt_period;
  cpu.realtime_runtime = options.cpu_rt_runtime;
  cpu.idle = options.cpu_idle;
  cpu.cpus = options.cpuset_cpus.value_or("");
  cpu.mems = options.cpuset_mems.value_or("");
}

void set_memory(const UpdateOptions& options, Resources& out) {
  const bool asked = options.memory || options.memory_reservation || options.memory_swap || options.kernel_memory ||
                     options.kernel_memory_tcp;
  if (!asked) return;
  kernel::cgroup::MemoryResources& memory = out.memory.emplace();
  memory.limit = options.memory;
  memory.reservation = options.memory_reservation;
  memory.swap = options.memory_swap;
  memory.kernel = options.kernel_memory;
  memory.kernel_tcp = options.kernel_memory_tcp;
}

}  // namespace

Result<Resources> resources_of(const UpdateOptions& options) {
  if (!options.resources_file.empty()) return read_document(options.resources_file);
  Resources out;
  set_cpu(options, out);
  set_memory(options, out);
  out.pids_limit = options.pids_limit;
  if (const uint64_t weight = options.blkio_weight.value_or(0); weight != 0) {
    if (weight < 10 || weight > 1000) return fail("--blkio-weight: ", weight, " is not in 10-1000");
    out.block_io.emplace().weight = static_cast<uint16_t>(weight);
  }
  return out;
}

}  // namespace proa::oci::runtime
