#include "kernel/cgroup/v1.h"

namespace proa::kernel::cgroup::v1 {
namespace {

constexpr const char* kLimit = "memory.limit_in_bytes";
constexpr const char* kSwap = "memory.memsw.limit_in_bytes";

Result<> set_limit(const Folder& folder, int64_t limit) {
  if (limit == 0) return {};
  const std::string text = cat(limit);
  const long code = folder.put(kLimit, text);
  if (code >= 0) return {};
  if (code != -EBUSY) return folder.failure(code, "linux.resources.memory.limit", kLimit, text);
  return fail_errno(EBUSY, "linux.resources.memory.limit: ", limit, " is below what the container uses (now ",
                    folder.number("memory.usage_in_bytes").value_or(0), ", at most ",
                    folder.number("memory.max_usage_in_bytes").value_or(0), " so far)");
}

Result<> set_swap(const Folder& folder, int64_t swap) {
  if (swap == 0) return {};
  return folder.set("linux.resources.memory.swap", kSwap, cat(swap));
}

// The kernel keeps limit <= memory+swap at every moment, so raising starts with the one above.
Result<> set_limit_and_swap(const Folder& folder, const MemoryResources& memory, bool fresh) {
  const int64_t limit = memory.limit.value_or(0);
  int64_t swap = memory.swap.value_or(0);
  // Unlimited memory under an old swap limit would stay limited.
  if (limit == -1 && swap == 0 && folder.has(kSwap)) swap = -1;
  if (limit != 0 && swap != 0 && !fresh) {
    const uint64_t current = TRY_CTX(folder.number(kLimit), "linux.resources.memory.limit");
    if (swap == -1 || current < static_cast<uint64_t>(swap)) {
      TRY(set_swap(folder, swap));
      return set_limit(folder, limit);
    }
  }
  TRY(set_limit(folder, limit));
  return set_swap(folder, swap);
}

}  // namespace

Result<> set_memory(const Folder& folder, const MemoryResources& memory, bool fresh) {
  if (memory.use_hierarchy) {
    const char* text = *memory.use_hierarchy ? "1" : "0";
    const long code = folder.put("memory.use_hierarchy", text);
    if (code < 0 && !(code == -ENOENT && *memory.use_hierarchy))
      return folder.failure(code, "linux.resources.memory.useHierarchy", "memory.use_hierarchy", text);
  }
  TRY(set_limit_and_swap(folder, memory, fresh));
  if (const int64_t reservation = memory.reservation.value_or(0); reservation != 0)
    TRY(folder.set("linux.resources.memory.reservation", "memory.soft_limit_in_bytes", cat(reservation)));
  if (const int64_t tcp = memory.kernel_tcp.value_or(0); tcp != 0)
    TRY(folder.set("linux.resources.memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", cat(tcp)));
  if (memory.swappiness) {
    if (*memory.swappiness > 100)
      return fail("linux.resources.memory.swappiness: ", *memory.swappiness, " is not in 0-100");
    TRY(folder.set("linux.resources.memory.swappiness", "memory.swappiness", *memory.swappiness));
  }
  if (memory.disable_oom_killer && (*memory.disable_oom_killer || !fresh))
    TRY(folder.set("linux.resources.memory.disableOOMKiller", "memory.oom_control",
                   *memory.disable_oom_killer ? "1" : "0"));
  return {};
}

}  // namespace proa::kernel::cgroup::v1
