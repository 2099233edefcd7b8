#include "kernel/capability.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <bit>

#include "kernel/sys.h"

namespace proa::kernel {
namespace {

constexpr CallShape kPrctl{SYS_prctl, "prctl", "dd"};
constexpr CallShape kPrctlAmbient{SYS_prctl, "prctl", "ddddd"};
constexpr CallShape kCapset{SYS_capset, "capset", "pp"};
constexpr CallShape kCapget{SYS_capget, "capget", "pp"};

constexpr std::string_view kNames[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
constexpr int kKnown = static_cast<int>(std::size(kNames));
static_assert(kNames[CAP_SYS_RESOURCE] == "CAP_SYS_RESOURCE" && kNames[CAP_MAC_ADMIN] == "CAP_MAC_ADMIN");
static_assert(kNames[CAP_CHECKPOINT_RESTORE] == "CAP_CHECKPOINT_RESTORE" && kKnown > CAP_LAST_CAP);

constexpr uint64_t bit(int number) { return uint64_t{1} << number; }
constexpr uint32_t low(uint64_t mask) { return static_cast<uint32_t>(mask); }
constexpr uint32_t high(uint64_t mask) { return static_cast<uint32_t>(mask >> 32); }
constexpr uint64_t join(uint32_t low_half, uint32_t high_half) { return uint64_t{high_half} << 32 | low_half; }

// EINVAL: the kernel has no such capability.
bool exists(int number) { return call(kPrctl, PR_CAPBSET_READ, number) >= 0; }

bool same_ignoring_case(std::string_view text, std::string_view upper) {
  if (text.size() != upper.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'a' && text[i] <= 'z' ? static_cast<char>(text[i] - 'a' + 'A') : text[i];
    if (c != upper[i]) return false;
  }
  return true;
}

}  // namespace

std::span<const std::string_view> capability_names() { return kNames; }

std::optional<int> capability_number(std::string_view name) {
  for (int number = 0; number < kKnown; ++number)
    if (same_ignoring_case(name, kNames[number]) || same_ignoring_case(name, kNames[number].substr(4))) return number;
  return std::nullopt;
}

std::string_view capability_name(int number) {
  return number >= 0 && number < kKnown ? kNames[number] : std::string_view{};
}

uint64_t capability_mask(std::span<const std::string> names, std::vector<std::string>* unknown) {
  uint64_t mask = 0;
  for (const std::string& name : names) {
    if (const std::optional<int> number = capability_number(name))
      mask |= bit(*number);
    else if (unknown != nullptr)
      unknown->push_back(name);
  }
  return mask;
}

std::vector<std::string> capability_names_of(uint64_t mask) {
  std::vector<std::string> names;
  for (int number = 0; number < 64; ++number) {
    if ((mask & bit(number)) == 0) continue;
    names.push_back(number < kKnown ? std::string(kNames[number]) : cat("CAP_", number));
  }
  return names;
}

int last_capability() {
  // Two calls on a kernel of our headers' age; a walk on others. (/proc may not be mounted.)
  int last = kKnown - 1;
  while (last > 0 && !exists(last)) --last;
  while (last < 62 && exists(last + 1)) ++last;
  return last;
}

uint64_t all_capabilities() { return bit(last_capability() + 1) - 1; }

uint64_t bounding_capabilities() {
  uint64_t mask = 0;
  for (int number = 0; number < 63; ++number) {
    const long answer = call(kPrctl, PR_CAPBSET_READ, number);
    if (answer < 0) break;
    if (answer == 1) mask |= bit(number);
  }
  return mask;
}

Result<CapabilitySets> get_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  TRY(check_ok(call(kCapget, &header, data), "capget"));
  return CapabilitySets{.effective = join(data[0].effective, data[1].effective),
                        .permitted = join(data[0].permitted, data[1].permitted),
                        .inheritable = join(data[0].inheritable, data[1].inheritable)};
}

Result<> set_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
      {.effective = low(sets.effective), .permitted = low(sets.permitted), .inheritable = low(sets.inheritable)},
      {.effective = high(sets.effective), .permitted = high(sets.permitted), .inheritable = high(sets.inheritable)},
  };
  return check_ok(call(kCapset, &header, data), "capset");
}

Result<> limit_bounding_capabilities(uint64_t keep) {
  // Dropping one that is already gone is harmless, so only the kernel's end of the list is asked for.
  for (int number = 0; number < 63; ++number) {
    if ((keep & bit(number)) != 0) continue;
    const long answer = call(kPrctl, PR_CAPBSET_DROP, number);
    if (answer == -EINVAL) break;
    TRY(check_ok(answer, "drop ", number < kKnown ? kNames[number] : "a capability", " from the bounding set"));
  }
  return {};
}

Result<uint64_t> set_ambient_capabilities(uint64_t mask) {
  const long cleared = call(kPrctlAmbient, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (cleared == -EINVAL && mask == 0) return uint64_t{0};  // a kernel without ambient capabilities
  TRY(check_ok(cleared, "clear the ambient capabilities"));
  uint64_t refused = 0;
  for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
    const int number = std::countr_zero(rest);
    if (call(kPrctlAmbient, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0) refused |= bit(number);
  }
  return refused;
}

}  // namespace proa::kernel
