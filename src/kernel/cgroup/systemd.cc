#include "kernel/cgroup/systemd.h"

namespace proa::kernel::cgroup::systemd {
Result<> choose_unit(const Request&, Location&) { return fail("systemd driver: not built"); }
Result<> start_unit(const Request&, pid_t, const Resources&, Location&) { return fail("systemd driver: not built"); }
Result<> update_unit(const Location&, const Resources&) { return fail("systemd driver: not built"); }
Result<> stop_unit(const Location&) { return fail("systemd driver: not built"); }
}  // namespace proa::kernel::cgroup::systemd
