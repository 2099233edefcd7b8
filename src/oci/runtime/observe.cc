// Looking at a container's processes.
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cstdio>

#include "base/text.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/file.h"
#include "kernel/process.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/watched.h"

namespace proa::oci::runtime {
namespace {

// Column of ps(1)'s header that holds the pid.
Result<size_t> pid_column(std::string_view header) {
  const std::vector<std::string_view> words = split(header, ' ');
  for (size_t column = 0; column < words.size(); ++column)
    if (words[column] == "PID") return column;
  return fail("ps: couldn't find PID field in ps output");
}

}  // namespace

Result<Watched> open_watched(const Globals& globals, const std::string& id, bool lock) {
  StateFolder folder = TRY(StateFolder::open(globals, id, lock));
  ContainerState state = TRY(folder.load());
  if (state.cgroup.hierarchies.empty()) return fail("container ", id, " has no cgroup of its own");
  auto cgroup = TRY(kernel::cgroup::Cgroup::open(state.cgroup));
  return Watched{std::move(folder), std::move(state), std::move(cgroup)};
}

Result<std::string> ps(const Globals& globals, const std::string& id, bool json,
                       const std::vector<std::string>& ps_args) {
  const Watched watched = TRY(open_watched(globals, id, false));
  std::vector<pid_t> pids = TRY(watched.cgroup.processes());
  std::sort(pids.begin(), pids.end());
  if (json) return boost::json::serialize(boost::json::value_from(pids)) + "\n";
  std::vector<std::string> argv{"ps"};
  if (ps_args.empty())
    argv.push_back("-ef");
  else
    argv.insert(argv.end(), ps_args.begin(), ps_args.end());
  const auto result = TRY(kernel::run_command({.path = "/bin/ps",
                                               .argv = argv,
                                               .env = {"PATH=/usr/bin:/bin"},
                                               .input = {},
                                               .timeout_ms = 10'000,
                                               .cwd = {},
                                               .output_limit = 64u << 20}));
  if (result.status != 0) return fail("ps: ", result.output);
  std::string_view lines = result.output;
  const std::string_view header = cut(lines, '\n');
  const size_t column = TRY(pid_column(header));
  std::string out = cat(header, "\n");
  while (!lines.empty()) {
    const std::string_view line = cut(lines, '\n');
    const std::vector<std::string_view> words = split(line, ' ');
    const auto pid = column < words.size() ? parse_number<pid_t>(words[column]) : std::nullopt;
    if (pid && std::binary_search(pids.begin(), pids.end(), *pid)) out += cat(line, "\n");
  }
  return out;
}

}  // namespace proa::oci::runtime
