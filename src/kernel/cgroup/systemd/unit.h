// A container's limits in the words of systemd: unit and slice names, and unit properties
// (org.freedesktop.systemd1(5), systemd.resource-control(5)).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/systemd/message.h"

namespace proa::kernel::cgroup::systemd {

struct UnitName {
  std::string slice;  // the parent; empty when the unit is a slice itself
  std::string unit;
  bool is_slice() const { return slice.empty(); }
};

// linux.cgroupsPath "slice:prefix:name", with runc's defaults.
Result<UnitName> unit_name(const Request& request);
// "a-b.slice" is at "/a.slice/a-b.slice", "-.slice" at "".
Result<std::string> expand_slice(std::string_view slice);

// What a new unit gets whatever its limits; `pid` goes in.
Result<std::vector<dbus::Property>> unit_properties(const Request& request, const UnitName& name, pid_t pid);
// Limits that systemd knows. What it does not know stays to the control files.
Result<std::vector<dbus::Property>> limit_properties(const Resources& resources, bool devices);
// One org.systemd.property.* annotation: NAME=value; NAMESec becomes NAMEUSec in microseconds.
Result<dbus::Property> annotated_property(std::string_view key, std::string_view text);
// Properties that older systemd refuses: known since 242 or later, and doubled by the control files.
bool is_recent(std::string_view property);

// "0-2,7" as systemd takes processor sets: bits in bytes, lowest first.
Result<std::string> cpu_mask(std::string_view list);

}  // namespace proa::kernel::cgroup::systemd
