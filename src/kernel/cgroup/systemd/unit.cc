#include "kernel/cgroup/systemd/unit.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "kernel/cgroup/device_rules.h"
#include "kernel/cgroup/stats_read.h"
#include "kernel/cgroup/systemd/gvariant.h"
#include "kernel/cgroup/v2.h"

namespace proa::kernel::cgroup::systemd {
namespace {

using dbus::Property;
using dbus::Value;

constexpr std::string_view kAnnotation = "org.systemd.property.";

bool is_unit_name(std::string_view name) {
  return !name.empty() && name.size() < 256 &&
         std::ranges::all_of(
             name,
             [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view(":-_.\\@").find(c) != std::string_view::npos;
             });
}

uint64_t limit_of(int64_t value) { return value < 0 ? UINT64_MAX : static_cast<uint64_t>(value); }

// A quota as time per second. systemd keeps whole percents: rounded up, so that it never gives less.
uint64_t quota_per_second(int64_t quota, uint64_t period) {
  if (quota <= 0) return UINT64_MAX;
  const uint64_t exact = static_cast<uint64_t>(quota) * 1'000'000 / period;
  return (exact + 9'999) / 10'000 * 10'000;
}

Result<> add_memory(const MemoryResources& memory, std::vector<Property>& out) {
  const int64_t limit = memory.limit.value_or(0);
  if (limit != 0) out.push_back({"MemoryMax", Value::number(limit_of(limit))});
  if (const int64_t low = memory.reservation.value_or(0); low != 0)
    out.push_back({"MemoryLow", Value::number(limit_of(low))});
  // Swap alone needs the limit that holds, which only the control files know.
  if (limit == 0 && memory.swap.value_or(0) > 0) return {};
  const std::string swap = TRY(v2::swap_max(limit, memory.swap.value_or(0)));
  if (!swap.empty())
    out.push_back({"MemorySwapMax", Value::number(swap == "max" ? UINT64_MAX : *parse_number<uint64_t>(swap))});
  return {};
}

Result<> add_cpu(const CpuResources& cpu, std::vector<Property>& out) {
  if (cpu.idle.value_or(0) == 1) {
    out.push_back({"CPUWeight", Value::number(0)});
  } else if (const uint64_t shares = cpu.shares.value_or(0); shares != 0) {
    out.push_back({"CPUWeight", Value::number(v2::weight_of_shares(shares))});
  }
  const int64_t quota = cpu.quota.value_or(0);
  const uint64_t period = cpu.period.value_or(0);
  if (period != 0) out.push_back({"CPUQuotaPeriodUSec", Value::number(period)});
  if (quota != 0)
    out.push_back({"CPUQuotaPerSecUSec", Value::number(quota_per_second(quota, period != 0 ? period : 100'000))});
  const auto add_mask = [&](const char* name, const char* field, const std::string& list) -> Result<> {
    if (list.empty()) return {};
    const std::string mask = TRY_CTX(cpu_mask(list), "linux.resources.cpu.", field);
    Value value{"ay", {}};
    for (const char byte : mask) value.items.emplace_back(uint64_t{static_cast<unsigned char>(byte)});
    out.push_back({name, std::move(value)});
    return {};
  };
  TRY(add_mask("AllowedCPUs", "cpus", cpu.cpus));
  return add_mask("AllowedMemoryNodes", "mems", cpu.mems);
}

// systemd names devices by path or by "char-MAJOR"; "*:minor" it cannot say.
std::string device_path(const DeviceMatch& match) {
  const bool block = match.type == 'b';
  if (match.major == kAnyNumber) return match.minor == kAnyNumber ? (block ? "block-*" : "char-*") : "";
  if (match.minor == kAnyNumber) return cat(block ? "block-" : "char-", match.major);
  return cat(block ? "/dev/block/" : "/dev/char/", match.major, ':', match.minor);
}

Result<> add_devices(const std::vector<DeviceRule>& rules, std::vector<Property>& out) {
  const DevicePolicy policy = TRY(device_policy(rules));
  out.push_back({"DevicePolicy", Value::text(policy.allows_all() ? "auto" : "strict")});
  out.push_back({"DeviceAllow", {"a(ss)", {}}});  // an empty list forgets the earlier ones
  // A list of denials cannot be said either; our own program has the exact rules in any case.
  if (policy.allows_by_default()) return {};
  Value allowed{"a(ss)", {}};
  for (const auto& [match, access] : policy.exceptions()) {
    std::string path = device_path(match);
    if (path.empty()) continue;
    allowed.items.emplace_back(std::move(path));
    allowed.items.emplace_back(access_text(access));
  }
  out.push_back({"DeviceAllow", std::move(allowed)});
  return {};
}

void add_block_io(const BlockIoResources& io, std::vector<Property>& out) {
  if (const uint16_t weight = io.weight.value_or(0); weight != 0)
    out.push_back({"IOWeight", Value::number(v2::io_weight_of(weight))});
}

// The keys of the unified map that systemd would otherwise reset at its next reload.
Result<> add_unified(const std::map<std::string, std::string, std::less<>>& unified, std::vector<Property>& out) {
  static constexpr std::array<std::pair<std::string_view, const char*>, 8> names = {
      {{"memory.min", "MemoryMin"},
       {"memory.low", "MemoryLow"},
       {"memory.high", "MemoryHigh"},
       {"memory.max", "MemoryMax"},
       {"memory.swap.max", "MemorySwapMax"},
       {"pids.max", "TasksMax"},
       {"cpu.weight", "CPUWeight"},
       {"io.weight", "IOWeight"}}};
  for (const auto& [file, property] : names) {
    const auto found = unified.find(file);
    if (found == unified.end()) continue;
    const auto number = parse_number<uint64_t>(found->second);
    if (number || found->second == "max") out.push_back({property, Value::number(number.value_or(UINT64_MAX))});
  }
  CpuResources cpu;
  if (const auto list = unified.find("cpuset.cpus"); list != unified.end()) cpu.cpus = list->second;
  if (const auto list = unified.find("cpuset.mems"); list != unified.end()) cpu.mems = list->second;
  if (const auto max = unified.find("cpu.max"); max != unified.end()) {
    std::string_view rest = max->second;
    const std::string_view quota = cut(rest, ' ');
    cpu.quota = quota == "max" ? -1 : parse_number<int64_t>(quota).value_or(0);
    cpu.period = parse_number<uint64_t>(rest);
  }
  if (const auto idle = unified.find("cpu.idle"); idle != unified.end()) cpu.idle = parse_number<int64_t>(idle->second);
  return add_cpu(cpu, out);
}

}  // namespace

Result<UnitName> unit_name(const Request& request) {
  UnitName name;
  std::string slice, prefix = "proa", container = request.id;
  if (!request.cgroups_path.empty()) {
    std::string_view rest = request.cgroups_path;
    if (std::ranges::count(rest, ':') != 2)
      return fail("linux.cgroupsPath: \"", request.cgroups_path, "\" must have the form \"slice:prefix:name\"",
                  " for the systemd cgroup driver");
    slice = cut(rest, ':');
    prefix = cut(rest, ':');
    container = rest;
  }
  if (container.empty()) return fail("linux.cgroupsPath: \"", request.cgroups_path, "\" names no unit");
  if (container.ends_with(".slice")) {
    name.unit = container;
  } else {
    name.slice = !slice.empty() ? slice : request.rootless ? "user.slice" : "system.slice";
    name.unit = cat(prefix, prefix.empty() ? "" : "-", container, ".scope");
    TRY_CTX(expand_slice(name.slice), "linux.cgroupsPath");
  }
  if (!is_unit_name(name.unit)) return fail("linux.cgroupsPath: \"", name.unit, "\" is not a unit name");
  return name;
}

Result<std::string> expand_slice(std::string_view slice) {
  constexpr std::string_view suffix = ".slice";
  if (!slice.ends_with(suffix) || slice.size() == suffix.size() || !is_unit_name(slice))
    return fail("\"", slice, "\" is not a slice name");
  std::string_view rest = slice.substr(0, slice.size() - suffix.size());
  if (rest == "-") return std::string();
  std::string path, prefix;
  if (rest.starts_with('-') || rest.ends_with('-') || rest.find("--") != std::string_view::npos)
    return fail("\"", slice, "\" is not a slice name");
  while (!rest.empty()) {
    prefix.append(prefix.empty() ? "" : "-").append(cut(rest, '-'));
    path.append("/").append(prefix).append(suffix);
  }
  return path;
}

Result<std::string> cpu_mask(std::string_view list) {
  std::string mask;
  std::string compact;
  for (const char c : list)
    if (c != ' ' && c != '\n') compact.push_back(c);
  for (const uint16_t cpu : TRY(parse_list(compact))) {
    if (cpu / 8u >= mask.size()) mask.resize(cpu / 8u + 1, '\0');
    mask[cpu / 8u] = static_cast<char>(static_cast<unsigned char>(mask[cpu / 8u]) | 1u << cpu % 8u);
  }
  return mask;
}

Result<Property> annotated_property(std::string_view key, std::string_view text) {
  std::string_view name = key;
  if (name.starts_with(kAnnotation)) name.remove_prefix(kAnnotation.size());
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.size() < 3 || !std::ranges::all_of(name, letter))
    return fail("annotations[\"", key, "\"]: \"", name, "\" is not a unit property");
  Value value = TRY_CTX(dbus::parse_gvariant(text), "annotations[\"", key, "\"]");
  const bool seconds =
      name.ends_with("Sec") && name.size() > 3 && name[name.size() - 4] >= 'a' && name[name.size() - 4] <= 'z';
  if (!seconds) return Property{std::string(name), std::move(value)};
  if (value.signature.size() != 1 || std::string_view("ynqiuxtd").find(value.signature[0]) == std::string_view::npos)
    return fail("annotations[\"", key, "\"]: seconds must be a number");
  const auto& leaf = value.items.front();
  double count = 0;
  if (const auto* real = std::get_if<double>(&leaf)) {
    count = *real;
  } else if (std::string_view("nix").find(value.signature[0]) != std::string_view::npos) {
    count = static_cast<double>(static_cast<int64_t>(std::get<uint64_t>(leaf)));
  } else {
    count = static_cast<double>(std::get<uint64_t>(leaf));
  }
  if (!(count >= 0 && count < 1e12)) return fail("annotations[\"", key, "\"]: seconds out of range");
  return Property{cat(name.substr(0, name.size() - 3), "USec"), Value::number(static_cast<uint64_t>(count * 1e6))};
}

Result<std::vector<Property>> unit_properties(const Request& request, const UnitName& name, pid_t pid) {
  std::vector<Property> out;
  out.push_back({"Description", Value::text(cat("container ", request.id))});
  // A slice takes no processes here; it is entered through its control file.
  if (!name.is_slice()) {
    out.push_back({"Slice", Value::text(name.slice)});
    out.push_back({"Delegate", Value::boolean(true)});
    out.push_back({"PIDs", {"au", {static_cast<uint64_t>(pid)}}});
  }
  for (const char* controller : {"MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"})
    out.push_back({controller, Value::boolean(true)});
  out.push_back({"DefaultDependencies", Value::boolean(false)});
  for (const auto& [key, text] : request.systemd_properties) out.push_back(TRY(annotated_property(key, text)));
  return out;
}

Result<std::vector<Property>> limit_properties(const Resources& resources, bool devices) {
  std::vector<Property> out;
  if (devices) TRY(add_devices(resources.devices, out));
  if (resources.memory) TRY(add_memory(*resources.memory, out));
  if (resources.cpu) TRY(add_cpu(*resources.cpu, out));
  if (resources.block_io) add_block_io(*resources.block_io, out);
  if (resources.pids_limit)
    out.push_back({"TasksMax", Value::number(*resources.pids_limit == 0 ? 1 : limit_of(*resources.pids_limit))});
  TRY(add_unified(resources.unified, out));
  return out;
}

bool is_recent(std::string_view property) {
  return property == "AllowedCPUs" || property == "AllowedMemoryNodes" || property == "CPUQuotaPeriodUSec" ||
         property == "CPUWeight";
}

}  // namespace proa::kernel::cgroup::systemd
