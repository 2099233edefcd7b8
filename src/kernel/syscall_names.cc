#include "kernel/syscall_names.h"

#include <linux/audit.h>

#if !defined(__x86_64__)
#include <seccomp.h>

#include <string>
#endif

namespace proa::kernel {
namespace {

#if defined(__x86_64__)

constexpr uint32_t kX32Marker = 0x40000000;
constexpr SyscallAbi kAbis[] = {
    {"SCMP_ARCH_X86_64", AUDIT_ARCH_X86_64, 0, true},
    {"SCMP_ARCH_X86", AUDIT_ARCH_I386, 0, false},
    {"SCMP_ARCH_X32", AUDIT_ARCH_X86_64, kX32Marker, false},
};

// libseccomp has this table too, but only up to the kernel of its day, and takes several times as
// long for a name: a profile has four hundred.
struct Call {
  std::string_view name;
  int16_t numbers[kMaxSyscallAbis];
};
constexpr Call kCalls[] = {
#define PROA_SYSCALL(name, x86_64, i386, x32) {#name, {x86_64, i386, x32}},
#include "kernel/syscalls_x86.inc"
#undef PROA_SYSCALL
};

// FNV-1a.
constexpr uint32_t hash_of(std::string_view name) {
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

// Open addressing at less than half full; 0 is an empty place, else 1 + the index in kCalls.
constexpr size_t kPlaces = 1024;
static_assert(std::size(kCalls) * 2 < kPlaces);
constexpr std::array<uint16_t, kPlaces> make_index() {
  std::array<uint16_t, kPlaces> index{};
  for (size_t i = 0; i < std::size(kCalls); ++i) {
    size_t place = hash_of(kCalls[i].name) % kPlaces;
    while (index[place] != 0) place = (place + 1) % kPlaces;
    index[place] = static_cast<uint16_t>(i + 1);
  }
  return index;
}
constexpr std::array<uint16_t, kPlaces> kIndex = make_index();

const Call* find_call(std::string_view name) {
  for (size_t place = hash_of(name) % kPlaces; kIndex[place] != 0; place = (place + 1) % kPlaces)
    if (const Call& call = kCalls[kIndex[place] - 1]; call.name == name) return &call;
  return nullptr;
}

struct Selected {
  std::string_view name;
  uint32_t selector;
};
// linux/net.h
constexpr Selected kSocketCalls[] = {
    {"socket", 1},      {"bind", 2},        {"connect", 3},    {"listen", 4},      {"accept", 5},
    {"getsockname", 6}, {"getpeername", 7}, {"socketpair", 8}, {"send", 9},        {"recv", 10},
    {"sendto", 11},     {"recvfrom", 12},   {"shutdown", 13},  {"setsockopt", 14}, {"getsockopt", 15},
    {"sendmsg", 16},    {"recvmsg", 17},    {"accept4", 18},   {"recvmmsg", 19},   {"sendmmsg", 20},
};
// linux/ipc.h
constexpr Selected kIpcCalls[] = {
    {"semop", 1},   {"semget", 2},  {"semctl", 3}, {"semtimedop", 4}, {"msgsnd", 11}, {"msgrcv", 12},
    {"msgget", 13}, {"msgctl", 14}, {"shmat", 21}, {"shmdt", 22},     {"shmget", 23}, {"shmctl", 24},
};

constexpr Multiplexer multiplexer_of(std::string_view name) {
  for (const Selected& call : kSocketCalls)
    if (call.name == name) return {AUDIT_ARCH_I386, 102, call.selector, ~0u};
  // The upper half of ipc's selector is a version.
  for (const Selected& call : kIpcCalls)
    if (call.name == name) return {AUDIT_ARCH_I386, 117, call.selector, 0xffff};
  return {};
}
constexpr std::array<Multiplexer, std::size(kCalls)> make_multiplexers() {
  std::array<Multiplexer, std::size(kCalls)> all{};
  for (size_t i = 0; i < std::size(kCalls); ++i) all[i] = multiplexer_of(kCalls[i].name);
  return all;
}
constexpr std::array<Multiplexer, std::size(kCalls)> kMultiplexers = make_multiplexers();

#elif defined(__aarch64__)

constexpr SyscallAbi kAbis[] = {
    {"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64, 0, true},
    {"SCMP_ARCH_ARM", AUDIT_ARCH_ARM, 0, false},
};
constexpr uint32_t kTokens[] = {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};

#else
#error "system call numbers of this architecture are not described yet"
#endif

}  // namespace

std::span<const SyscallAbi> syscall_abis() { return kAbis; }

#if defined(__x86_64__)

std::optional<Syscall> find_syscall(std::string_view name) {
  const Call* call = find_call(name);
  if (call == nullptr) return std::nullopt;
  Syscall found{.numbers = {}, .multiplexer = kMultiplexers[static_cast<size_t>(call - kCalls)]};
  for (size_t i = 0; i < kMaxSyscallAbis; ++i)
    found.numbers[i] = call->numbers[i] < 0 ? -1 : static_cast<int64_t>(call->numbers[i]) | kAbis[i].marker;
  return found;
}

#else

std::optional<Syscall> find_syscall(std::string_view name) {
  const std::string terminated(name);
  Syscall found{.numbers = {-1, -1, -1}, .multiplexer = {}};
  bool any = false;
  for (size_t i = 0; i < std::size(kAbis); ++i) {
    const int number = seccomp_syscall_resolve_name_arch(kTokens[i], terminated.c_str());
    if (number >= 0) found.numbers[i] = number;
    any = any || number >= 0;
  }
  return any ? std::optional(found) : std::nullopt;
}

#endif

}  // namespace proa::kernel
