#include <unistd.h>

#include <charconv>
#include <cmath>

#include "base/text.h"
#include "base/values.h"
#include "cli/container_flag_parts.h"
#include "cli/container_flags.h"

namespace proa::cli {
namespace {

Result<std::vector<engine::DeviceRate>> device_rates(const Invocation& in, std::string_view flag) {
  std::vector<engine::DeviceRate> out;
  for (const std::string& text : in.texts(flag)) {
    const size_t at = text.rfind(':');
    if (at == std::string::npos || !text.starts_with('/'))
      return fail("--", flag, " ", text, ": expected DEVICE:VALUE");
    const int64_t rate = TRY_CTX(parse_bytes(text.substr(at + 1)), "--", flag);
    if (rate < 0) return fail("--", flag, " ", text, ": must not be negative");
    out.push_back({text.substr(0, at), static_cast<uint64_t>(rate)});
  }
  return out;
}

}  // namespace

Result<int64_t> parse_nano_cpus(const std::string& text) {
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size() || !(number >= 0) || number > 1e6)
    return fail("--cpus '", text, "': not a number of CPUs");
  return std::llround(number * 1e9);
}

Result<engine::UlimitConfig> parse_ulimit(const std::string& text) {
  std::string_view rest = text;
  const std::string name(cut(rest, '='));
  const std::string_view soft_text = cut(rest, ':');
  const auto soft = parse_number<int64_t>(soft_text);
  const auto hard = rest.empty() ? soft : parse_number<int64_t>(rest);
  if (name.empty() || !soft || !hard) return fail("--ulimit ", text, ": expected NAME=SOFT[:HARD]");
  if (*hard != -1 && (*soft > *hard || *soft == -1))
    return fail("invalid ulimit argument: --ulimit ", text, ": soft limit must be less than or equal to hard limit");
  return engine::UlimitConfig{name, *soft, *hard};
}

Result<engine::DeviceConfig> parse_device(const std::string& text) {
  std::string_view rest = text;
  engine::DeviceConfig out;
  out.host = cut(rest, ':');
  const std::string second(cut(rest, ':'));
  const auto is_mode = [](std::string_view mode) {
    return !mode.empty() && mode.find_first_not_of("rwm") == std::string_view::npos;
  };
  out.container = second.starts_with('/') ? second : out.host;
  const std::string mode = !second.empty() && !second.starts_with('/') ? second : std::string(rest);
  if (!mode.empty()) {
    if (!is_mode(mode)) return fail("--device ", text, ": bad mode: ", mode);
    out.permissions = mode;
  }
  return out;
}

Result<engine::ResourceConfig> read_resources(const Invocation& in) {
  engine::ResourceConfig r;
  if (const std::string cpus = in.text("cpus"); !cpus.empty()) r.nano_cpus = TRY(parse_nano_cpus(cpus));
  r.cpu_shares = in.integer("cpu-shares").value_or(0);
  r.cpu_quota = in.integer("cpu-quota").value_or(0);
  r.cpu_period = in.integer("cpu-period").value_or(0);
  r.cpu_rt_period = in.integer("cpu-rt-period").value_or(0);
  r.cpu_rt_runtime = in.integer("cpu-rt-runtime").value_or(0);
  if (r.nano_cpus != 0 && (r.cpu_quota != 0 || r.cpu_period != 0))
    return fail("Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set.");
  const auto online = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (r.nano_cpus > online * 1'000'000'000)
    return fail("range of CPUs is from 0.01 to ", online, ".00, as there are only ", online, " CPUs available");
  r.cpuset_cpus = in.text("cpuset-cpus");
  for (const auto& [flag, list] :
       {std::pair("cpuset-cpus", in.text("cpuset-cpus")), {"cpuset-mems", in.text("cpuset-mems")}})
    if (list.find_first_not_of("0123456789,-") != std::string::npos)
      return fail("--", flag, ": Invalid value ", list).hint("a list such as 0-3,7");
  r.cpuset_mems = in.text("cpuset-mems");
  r.memory = in.bytes("memory").value_or(0);
  r.memory_swap = in.bytes("memory-swap").value_or(0);
  r.memory_reservation = in.bytes("memory-reservation").value_or(0);
  if (const auto percent = in.integer("memory-swappiness"); percent && *percent != -1) {
    if (*percent < 0 || *percent > 100)
      return fail("invalid value: ", *percent, ", valid memory swappiness range is 0-100");
    r.memory_swappiness = percent;
  }
  r.oom_kill_disable = in.on("oom-kill-disable");
  r.pids_limit = in.integer("pids-limit").value_or(0);
  r.blkio_weight = static_cast<int64_t>(in.whole("blkio-weight").value_or(0));
  if (r.blkio_weight != 0 && (r.blkio_weight < 10 || r.blkio_weight > 1000))
    return fail("Range of blkio weight is from 10 to 1000");
  r.blkio_weight_device = TRY(device_rates(in, "blkio-weight-device"));
  r.device_read_bps = TRY(device_rates(in, "device-read-bps"));
  r.device_write_bps = TRY(device_rates(in, "device-write-bps"));
  r.device_read_iops = TRY(device_rates(in, "device-read-iops"));
  r.device_write_iops = TRY(device_rates(in, "device-write-iops"));
  return r;
}

}  // namespace proa::cli
