#include "kernel/names.h"

#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include <charconv>
#include <csignal>

// Newer than the oldest headers we build with.
#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5
#endif

namespace proa::kernel {
namespace {

constexpr uint64_t kMpolWeightedInterleave = 6;  // Linux 6.9
constexpr uint64_t kSchedIso = 4;                // reserved number; the specification names it
// The kernel's first real-time signals belong to the C library: users count from its SIGRTMIN.
constexpr int kFirstRealTime = 34;
constexpr int kLastSignal = 64;

constexpr NamedNumber kRlimits[] = {
    {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
    {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME},
};

// Of two names for a number the customary one comes first.
constexpr NamedNumber kSignals[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},   {"SIGILL", SIGILL},   {"SIGTRAP", SIGTRAP},
    {"SIGABRT", SIGABRT},     {"SIGBUS", SIGBUS},   {"SIGFPE", SIGFPE},     {"SIGKILL", SIGKILL}, {"SIGUSR1", SIGUSR1},
    {"SIGSEGV", SIGSEGV},     {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE},   {"SIGALRM", SIGALRM}, {"SIGTERM", SIGTERM},
    {"SIGSTKFLT", SIGSTKFLT}, {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT},   {"SIGSTOP", SIGSTOP}, {"SIGTSTP", SIGTSTP},
    {"SIGTTIN", SIGTTIN},     {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},     {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ},
    {"SIGVTALRM", SIGVTALRM}, {"SIGPROF", SIGPROF}, {"SIGWINCH", SIGWINCH}, {"SIGIO", SIGIO},     {"SIGPWR", SIGPWR},
    {"SIGSYS", SIGSYS},       {"SIGIOT", SIGIOT},   {"SIGCLD", SIGCHLD},    {"SIGPOLL", SIGPOLL}, {"SIGUNUSED", SIGSYS},
};

constexpr NamedNumber kPersonalityDomains[] = {
    {"LINUX", PER_LINUX},
    {"LINUX32", PER_LINUX32},
};

constexpr NamedNumber kPersonalityFlags[] = {
    {"UNAME26", UNAME26},
    {"ADDR_NO_RANDOMIZE", ADDR_NO_RANDOMIZE},
    {"FDPIC_FUNCPTRS", FDPIC_FUNCPTRS},
    {"MMAP_PAGE_ZERO", MMAP_PAGE_ZERO},
    {"ADDR_COMPAT_LAYOUT", ADDR_COMPAT_LAYOUT},
    {"READ_IMPLIES_EXEC", READ_IMPLIES_EXEC},
    {"ADDR_LIMIT_32BIT", ADDR_LIMIT_32BIT},
    {"SHORT_INODE", SHORT_INODE},
    {"WHOLE_SECONDS", WHOLE_SECONDS},
    {"STICKY_TIMEOUTS", STICKY_TIMEOUTS},
    {"ADDR_LIMIT_3GB", ADDR_LIMIT_3GB},
};

constexpr NamedNumber kSchedulerPolicies[] = {
    {"SCHED_OTHER", SCHED_NORMAL},      {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH},       {"SCHED_ISO", kSchedIso},   {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", SCHED_DEADLINE},
};

constexpr NamedNumber kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},   {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
    {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},         {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
    {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},       {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

constexpr NamedNumber kIoClasses[] = {
    {"IOPRIO_CLASS_RT", kIoClassRealtime},
    {"IOPRIO_CLASS_BE", kIoClassBestEffort},
    {"IOPRIO_CLASS_IDLE", kIoClassIdle},
};

constexpr NamedNumber kMemoryPolicyModes[] = {
    {"MPOL_DEFAULT", MPOL_DEFAULT},       {"MPOL_BIND", MPOL_BIND},
    {"MPOL_INTERLEAVE", MPOL_INTERLEAVE}, {"MPOL_WEIGHTED_INTERLEAVE", kMpolWeightedInterleave},
    {"MPOL_PREFERRED", MPOL_PREFERRED},   {"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
    {"MPOL_LOCAL", MPOL_LOCAL},
};

constexpr NamedNumber kMemoryPolicyFlags[] = {
    {"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING},
    {"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
    {"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES},
};

std::optional<int> to_int(std::string_view text) {
  int number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "RTMIN", "RTMIN+n", "RTMAX", "RTMAX-n".
std::optional<int> real_time_signal(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return std::nullopt;
  const int base = from_min ? kFirstRealTime : kLastSignal;
  name.remove_prefix(5);
  if (name.empty()) return base;
  if (name.front() != (from_min ? '+' : '-') || name.size() < 2 || name[1] < '0' || name[1] > '9') return std::nullopt;
  const std::optional<int> offset = to_int(name.substr(1));
  if (!offset || *offset > kLastSignal - kFirstRealTime) return std::nullopt;
  return from_min ? base + *offset : base - *offset;
}

}  // namespace

NameTable rlimit_names() { return kRlimits; }
NameTable signal_names() { return kSignals; }
NameTable personality_domain_names() { return kPersonalityDomains; }
NameTable personality_flag_names() { return kPersonalityFlags; }
NameTable scheduler_policy_names() { return kSchedulerPolicies; }
NameTable scheduler_flag_names() { return kSchedulerFlags; }
NameTable io_class_names() { return kIoClasses; }
NameTable memory_policy_mode_names() { return kMemoryPolicyModes; }
NameTable memory_policy_flag_names() { return kMemoryPolicyFlags; }

std::optional<uint64_t> number_of(NameTable table, std::string_view name) {
  for (const NamedNumber& entry : table)
    if (entry.name == name) return entry.number;
  return std::nullopt;
}

std::string_view name_of(NameTable table, uint64_t number) {
  for (const NamedNumber& entry : table)
    if (entry.number == number) return entry.name;
  return {};
}

std::vector<std::string> all_names(NameTable table) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const NamedNumber& entry : table) names.emplace_back(entry.name);
  return names;
}

std::string joined_names(NameTable table) {
  std::string text;
  for (const NamedNumber& entry : table) {
    if (!text.empty()) text += ", ";
    text += entry.name;
  }
  return text;
}

Result<int> parse_signal(std::string_view text) {
  if (const std::optional<int> number = to_int(text)) {
    if (*number >= 0 && *number <= kLastSignal) return *number;
    return fail("signal ", text, ": not between 0 and ", kLastSignal);
  }
  std::string name = "SIG";
  for (const char c : text) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (name.starts_with("SIGSIG")) name.erase(0, 3);
  if (const std::optional<uint64_t> number = number_of(kSignals, name)) return static_cast<int>(*number);
  if (const std::optional<int> number = real_time_signal(std::string_view(name).substr(3))) return *number;
  return fail("signal \"", text, "\": unknown").hint("a number, or a name such as TERM or SIGTERM");
}

std::string signal_name(int signal) {
  if (const std::string_view name = name_of(kSignals, static_cast<uint64_t>(signal)); !name.empty())
    return std::string(name);
  if (signal == kFirstRealTime) return "SIGRTMIN";
  if (signal > kFirstRealTime && signal <= kLastSignal) return cat("SIGRTMIN+", signal - kFirstRealTime);
  return std::to_string(signal);
}

}  // namespace proa::kernel
