// The lines that `events` prints: one JSON document each, in the form that runc's clients read.
#pragma once

#include <string>
#include <string_view>

#include "kernel/cgroup/stats.h"
#include "kernel/resctrl.h"

namespace proa::oci::runtime {

// {"type":"stats","id":...,"data":{...}} and a newline. `resctrl` may be null.
std::string stats_line(std::string_view id, const kernel::cgroup::Stats& stats, const kernel::ResctrlStats* resctrl);
// {"type":"oom","id":...} and a newline.
std::string oom_line(std::string_view id);

}  // namespace proa::oci::runtime
