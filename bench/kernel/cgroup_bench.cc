// How long a container's cgroup takes: find the host's hierarchies, make the folders, write the limits
// of a default configuration, open the entry files, enter, remove. Needs root. Prints microseconds.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "kernel/cgroup/cgroup.h"

namespace cg = proa::kernel::cgroup;

namespace {

std::map<std::string, std::vector<double>> samples;
using Clock = std::chrono::steady_clock;

void record(const char* step, Clock::time_point start) {
  samples[step].push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
}

proa::Result<> once(int number) {
  cg::Request request;
  request.cgroups_path = proa::cat("/proa-bench-", ::getpid(), "-", number);
  cg::Resources resources;
  resources.devices.push_back({.allow = false, .type = 'a', .major = {}, .minor = {}, .access = "rwm"});
  const auto start = Clock::now();
  cg::Cgroup group = TRY(cg::Cgroup::create(request));
  record("1 create", start);
  const auto applying = Clock::now();
  TRY(group.apply(resources));
  record("2 apply", applying);
  const auto opening = Clock::now();
  auto files = TRY(group.entry_files(false));
  record("3 entry_files", opening);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const proa::Fd& file : files)
      if (::write(file.get(), "0", 1) != 1) ::_exit(1);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) return proa::fail("the child could not enter");
  files.clear();
  const auto removing = Clock::now();
  TRY(group.remove());
  record("4 remove", removing);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  for (int i = 0; i < rounds; ++i)
    if (auto done = once(i); !done) {
      std::fprintf(stderr, "cgroup_bench: %s\n", done.error().message().c_str());
      return 1;
    }
  for (auto& [step, times] : samples) {
    std::ranges::sort(times);
    std::printf("%-16s min %7.1f  median %7.1f  p95 %7.1f us\n", step.c_str(), times.front(), times[times.size() / 2],
                times[times.size() * 95 / 100]);
  }
  return 0;
}
