// After a boot: containers whose restart policy says so come up again.
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>

#include "base/text.h"
#include "engine/engine.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

// Docker's: `always` comes even if it was stopped, what was never started does not, and neither does on-failure.
bool comes_up(const Container& container) {
  const State& state = container.state;
  const Status status = status_of(state);
  if (state.started_at.empty() || status == Status::kRemoving) return false;
  if (status == Status::kRunning || status == Status::kPaused) return false;
  const std::string& policy = container.config.restart.name;
  return policy == "always" || (policy == "unless-stopped" && !state.stopped_by_user);
}

// Those first whose namespaces others join.
std::vector<std::string> joined_by(const Container& container) {
  std::vector<std::string> out;
  const ContainerConfig& config = container.config;
  for (const std::string* mode : {&config.network_mode, &config.pid_mode, &config.ipc_mode, &config.uts_mode})
    if (mode->starts_with("container:")) out.push_back(mode->substr(10));
  return out;
}

std::vector<Container> in_order(std::vector<Container> all) {
  std::vector<Container> out;
  const auto waits = [&](const Container& c) {
    return std::ranges::any_of(joined_by(c), [&](const std::string& other) {
      return std::ranges::any_of(
          all, [&](const Container& o) { return o.id != c.id && (o.id.starts_with(other) || o.name == other); });
    });
  };
  while (!all.empty()) {
    auto next = std::ranges::find_if_not(all, waits);
    if (next == all.end()) next = all.begin();  // a ring: its start will say what is wrong
    out.push_back(std::move(*next));
    all.erase(next);
  }
  return out;
}

}  // namespace

std::string boot_id() {
  std::string text = kernel::read_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<Booted> Engine::boot() {
  const std::string record = folders_.data + "/boot", now = boot_id();
  TRY(kernel::make_dirs(folders_.data, 0711));
  const Fd lock = TRY(kernel::open((record + ".lock").c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX) != 0) return fail_errno(errno, "lock ", record, ".lock");
  Booted out;
  if (kernel::read_file(record.c_str()).value_or("") == now) return out;
  out.fresh = true;
  TRY(clean_up());
  std::vector<Container> due = TRY(list_all());
  std::erase_if(due, [](const Container& c) { return !comes_up(c); });
  for (const Container& container : in_order(std::move(due))) {
    if (auto started = start(container.id); !started)
      out.failed.emplace_back(container.name, std::move(started).error());
    else
      out.started.push_back(container.name);
  }
  // A boot whose work was killed is taken up by the next call: what runs by then is left alone.
  TRY(kernel::replace_file(record, now, 0600));
  return out;
}

}  // namespace proa::engine
