// Looking at containers: their processes, what they use, what they changed.
#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <fstream>

#include "base/json.h"
#include "base/text.h"
#include "engine/engine.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/stats.h"
#include "kernel/file.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/state.h"

namespace proa::engine {
namespace {

namespace runtime = oci::runtime;

// user nice system idle iowait irq softirq steal, in hundredths of a second.
uint64_t machine_cpu_ns() {
  const std::string text = kernel::read_file("/proc/stat").value_or(std::string());
  std::string_view rest = text;
  uint64_t ticks = 0;
  const auto words = split(cut(rest, '\n'), ' ');
  for (size_t i = 1; i < words.size() && i < 9; ++i) ticks += parse_number<uint64_t>(words[i]).value_or(0);
  return ticks * (1000000000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK)));
}

uint64_t machine_memory() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

void add_network(int64_t pid, StatsSample& to) {
  const std::string text = kernel::read_file(cat("/proc/", pid, "/net/dev").c_str()).value_or(std::string());
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = cut(rest, '\n');
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto name = split(line.substr(0, colon), ' ');
    const auto numbers = split(line.substr(colon + 1), ' ');
    if (name.empty() || name[0] == "lo" || numbers.size() < 9) continue;
    to.network_in += parse_number<uint64_t>(numbers[0]).value_or(0);
    to.network_out += parse_number<uint64_t>(numbers[8]).value_or(0);
  }
}

}  // namespace

Result<Process> Engine::top(const std::string& reference, const std::vector<std::string>& ps_args) {
  const Container container = TRY(inspect(reference));
  if (!is_running(container.state)) return fail("container ", container.id, " is not running");
  const std::vector<std::string> args = ps_args.empty() ? std::vector<std::string>{"-ef"} : ps_args;
  const std::string text = TRY(runtime::ps({.root = folders_.runtime()}, container.id, false, args));
  Process out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto words = split(cut(rest, '\n'), ' ');
    if (words.empty()) continue;
    if (out.titles.empty()) {
      out.titles.assign(words.begin(), words.end());
      continue;
    }
    // What is beyond the last title is of its column.
    std::vector<std::string> row;
    for (size_t i = 0; i < words.size(); ++i) {
      if (i < out.titles.size())
        row.emplace_back(words[i]);
      else
        row.back() += cat(" ", words[i]);
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

Result<StatsSample> Engine::stats(const Container& container) {
  StatsSample out;
  out.system_ns = machine_cpu_ns();
  out.online_cpus = static_cast<uint64_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  out.memory_limit = machine_memory();
  if (!is_running(container.state)) return out;
  auto folder = TRY(runtime::StateFolder::open({.root = folders_.runtime()}, container.id, false));
  const auto state = TRY(folder.load());
  auto cgroup = TRY(kernel::cgroup::Cgroup::open(state.cgroup));
  const kernel::cgroup::Stats stats = TRY(cgroup.stats());
  out.cpu_ns = stats.cpu.total_ns;
  uint64_t cache = 0;
  for (const char* name : {"total_inactive_file", "inactive_file"})
    if (const auto found = stats.memory.raw.find(name); found != stats.memory.raw.end()) {
      cache = found->second;
      break;
    }
  out.memory = stats.memory.usage.usage > cache ? stats.memory.usage.usage - cache : stats.memory.usage.usage;
  if (stats.memory.usage.limit != 0 && stats.memory.usage.limit < out.memory_limit)
    out.memory_limit = stats.memory.usage.limit;
  out.pids = stats.pids.current;
  for (const auto& entry : stats.block_io.service_bytes) {
    if (entry.op == "Read" || entry.op == "read") out.block_in += entry.value;
    if (entry.op == "Write" || entry.op == "write") out.block_out += entry.value;
  }
  add_network(container.state.pid, out);
  return out;
}

Result<std::vector<std::pair<char, std::string>>> Engine::diff(const std::string& reference) {
  const Container container = TRY(inspect(reference));
  if (container.resolved.snapshot.empty())
    return fail("container ", container.name, " runs on a folder, which has no image to be compared with");
  return images_.changes(container.resolved.snapshot);
}

Result<std::string> Engine::commit(const std::string& reference, const CommitRequest& request, bool with_pause) {
  const Container container = TRY(inspect(reference));
  if (container.resolved.snapshot.empty())
    return fail("container ", container.name, " runs on a folder: there is no image to add to");
  const bool pausing = with_pause && status_of(container.state) == Status::kRunning;
  Fd engaged;
  if (pausing) {
    engaged = TRY(engage(container.id));
    TRY(pause_for(container.id, "commit"));
  }
  auto made = images_.commit(container, request);
  if (pausing) (void)unpause(container.id);  // unless it was, or was stopped, meanwhile
  if (made) tell(container, "commit", {{"comment", request.message}, {"imageID", *made}});
  return made;
}

}  // namespace proa::engine
