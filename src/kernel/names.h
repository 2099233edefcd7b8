// Names of the kernel's numbers, as the OCI runtime-spec and command lines write them: one table per
// kind, read both ways. The tables are constants; everything here is thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::kernel {

struct NamedNumber {
  std::string_view name;
  uint64_t number;
};

using NameTable = std::span<const NamedNumber>;

NameTable rlimit_names();              // RLIMIT_CPU ...
NameTable signal_names();              // SIGHUP ...; real-time signals: parse_signal(), signal_name()
NameTable personality_domain_names();  // LINUX, LINUX32
NameTable personality_flag_names();    // ADDR_NO_RANDOMIZE ...
NameTable scheduler_policy_names();    // SCHED_OTHER ...
NameTable scheduler_flag_names();      // SCHED_FLAG_RESET_ON_FORK ...
NameTable io_class_names();            // IOPRIO_CLASS_RT ...
// As in <linux/ioprio.h>, which in some releases is not C++ (a parameter is called "class").
inline constexpr int kIoClassRealtime = 1, kIoClassBestEffort = 2, kIoClassIdle = 3;
inline constexpr int kIoClassShift = 13, kIoPriorityOfProcess = 1;
NameTable memory_policy_mode_names();  // MPOL_DEFAULT ...
NameTable memory_policy_flag_names();  // MPOL_F_STATIC_NODES ...

// Exact, case-sensitive.
std::optional<uint64_t> number_of(NameTable table, std::string_view name);
// The first name of `number`; empty when there is none.
std::string_view name_of(NameTable table, uint64_t number);
// Every name in the table's order, for `features` and for hints.
std::vector<std::string> all_names(NameTable table);
// "RLIMIT_CPU, RLIMIT_FSIZE, ..." for an error's hint.
std::string joined_names(NameTable table);

// A signal as kill(1) and runc take it: "9", "KILL", "sigkill", "RTMIN+3", "SIGRTMAX-1". Numbers
// from 0 (only asks whether the process is there) to 64.
Result<int> parse_signal(std::string_view text);
// "SIGTERM", "SIGRTMIN+2"; for a number that is no signal, the number.
std::string signal_name(int signal);

}  // namespace proa::kernel
