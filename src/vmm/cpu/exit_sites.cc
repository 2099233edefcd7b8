#include "vmm/cpu/exit_sites.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

namespace proa::vmm {

namespace {

constexpr size_t kMost = 200;

}  // namespace

void ExitSites::list(std::string& out) const {
  std::vector<std::pair<uint64_t, uint64_t>> sites(counts_.begin(), counts_.end());
  std::ranges::sort(sites, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (const auto& [site, count] : std::span(sites).first(std::min(kMost, sites.size()))) {
    std::array<char, 128> line;
    const int length = std::snprintf(line.data(), line.size(), "exit %s rip %016llx count %llu\n",
                                     exit_cause_name(static_cast<ExitCause>(site & 31)),
                                     static_cast<unsigned long long>(static_cast<int64_t>(site) >> 5),
                                     static_cast<unsigned long long>(count));
    out.append(line.data(), static_cast<size_t>(length));
  }
}

}  // namespace proa::vmm
