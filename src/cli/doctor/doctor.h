// What this host's kernel can do, found out by doing it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proa::cli::doctor {

enum class Status : uint8_t {
  kOk,
  kGap,      // some feature will not work; `fix` says what to do
  kMissing,  // containers cannot run without it
};

struct Check {
  std::string area;  // "namespaces"
  std::string name;  // "pid"
  Status status = Status::kOk;
  std::string detail;
  std::string fix;  // empty when ok
};

// Runs every check, each in a child process or on objects that vanish with their descriptor.
std::vector<Check> examine();

// The groups, one file each.
void check_kernel(std::vector<Check>& out);
void check_namespaces(std::vector<Check>& out);
void check_cgroups(std::vector<Check>& out);
void check_mounts(std::vector<Check>& out);
void check_processes(std::vector<Check>& out);
void check_security(std::vector<Check>& out);
void check_network(std::vector<Check>& out);
void check_devices(std::vector<Check>& out);
void check_limits(std::vector<Check>& out);

}  // namespace proa::cli::doctor
