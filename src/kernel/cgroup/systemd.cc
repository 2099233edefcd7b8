#include "kernel/cgroup/systemd.h"

#include <unistd.h>

#include <algorithm>

#include "kernel/cgroup/controllers.h"
#include "kernel/cgroup/hosts.h"
#include "kernel/cgroup/systemd/connection.h"
#include "kernel/cgroup/systemd/unit.h"
#include "kernel/cgroup/v1.h"
#include "kernel/file.h"

namespace proa::kernel::cgroup::systemd {
namespace {

using dbus::Connection;
using dbus::Property;
using dbus::Writer;

constexpr const char* kExists = "org.freedesktop.systemd1.UnitExists";
constexpr const char* kNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr const char* kUnknownProperty = "org.freedesktop.DBus.Error.PropertyReadOnly";

std::string one_text(std::string_view text) {
  Writer body;
  body.string(text);
  return body.bytes();
}

std::string two_texts(std::string_view first, std::string_view second) {
  Writer body;
  body.string(first);
  body.string(second);
  return body.bytes();
}

std::string start_body(const std::string& unit, const std::vector<Property>& properties) {
  Writer body;
  body.string(unit);
  body.string("replace");
  body.properties(properties);
  Writer::Array auxiliary(body, 8);
  auxiliary.close();
  return body.bytes();
}

std::string set_body(const std::string& unit, const std::vector<Property>& properties) {
  Writer body;
  body.string(unit);
  body.u32(1);  // runtime: forgotten at the next boot
  body.properties(properties);
  return body.bytes();
}

// Calls once, and once more for what can be helped: a failed unit of that name is in the way, or an old
// systemd does not know a property that the control files set anyway.
Result<dbus::Message> call_with_properties(Connection& manager, const char* method, const char* signature,
                                           const std::string& unit, std::vector<Property> properties,
                                           std::string (*body)(const std::string&, const std::vector<Property>&)) {
  auto reply = manager.call(method, signature, body(unit, properties));
  if (reply) return reply;
  if (manager.error_name() == kExists) {
    static_cast<void>(manager.call("ResetFailedUnit", "s", one_text(unit)));
  } else if (manager.error_name() == kUnknownProperty) {
    if (std::erase_if(properties, [](const Property& one) { return is_recent(one.name); }) == 0) return reply;
  } else {
    return reply;
  }
  return manager.call(method, signature, body(unit, properties));
}

Result<> finish_job(Connection& manager, const dbus::Message& reply, const char* what) {
  const std::string job = TRY(reply.text_argument(0));
  const std::string result = TRY(manager.wait_job(job));
  if (result != "done" && result != "skipped") return fail(what, ": the job ended as \"", result, "\"");
  return {};
}

// Where systemd put the process: it knows slices, its own root and the user manager's place best.
Result<std::string> scope_path(const std::string& root, pid_t pid, const std::string& unit) {
  const std::string text = TRY(read_file(cat(root, "/proc/", pid, "/cgroup").c_str(), 1u << 20));
  std::string found;
  for (const Mount& mount : parse_own_cgroups(text)) {
    if (!mount.controllers.empty() && mount.controllers != "name=systemd") continue;
    if (!mount.own.ends_with(cat("/", unit))) continue;
    found = mount.own;
    if (mount.controllers.empty()) break;
  }
  if (found.empty()) return fail("systemd did not move process ", pid, " to ", unit);
  return found;
}

// Every hierarchy: systemd moves the process on its own and those it manages, the others are ours to do.
Result<> join_hierarchies(const Request& request, const std::string& inner, pid_t pid, Location& location) {
  const Host host = TRY(find_host(request.filesystem_root, true));
  const std::string text = cat(pid);
  for (const Mount& mount : host.mounts) {
    std::string_view below = inner;
    if (mount.root != "/" && below.starts_with(mount.root)) below.remove_prefix(mount.root.size());
    auto made = make_folder(mount.folder, below);
    if (!made) {
      if (request.rootless) continue;
      return std::unexpected(std::move(made).error());
    }
    location.hierarchies.push_back({mount.controllers, cat(mount.folder, below), *made});
    if (host.pure_v2) continue;
    const Folder folder(location.hierarchies.back().path);
    if (names_controller(mount.controllers, "cpuset")) TRY(v1::populate_cpuset(folder, {}, false));
    if (const long code = folder.put("cgroup.procs", text); code < 0) {
      if (!request.rootless) return folder.failure(code, "enter the cgroup", "cgroup.procs", text);
      location.hierarchies.pop_back();
    }
  }
  return {};
}

}  // namespace

Result<> choose_unit(const Request& request, Location& location) {
  const UnitName name = TRY(unit_name(request));
  // Read once here so that a bad annotation is an error before any process is made.
  TRY(unit_properties(request, name, 1));
  location.systemd_unit = name.unit;
  location.systemd_user_manager = request.rootless;
  return {};
}

Result<std::string> usual_path(const Request& request) {
  const UnitName name = TRY(unit_name(request));
  if (name.is_slice()) return expand_slice(name.unit);
  return cat(TRY(expand_slice(name.slice)), "/", name.unit);
}

Result<> start_unit(const Request& request, pid_t pid, const Resources& resources, Location& location) {
  const UnitName name = TRY(unit_name(request));
  std::vector<Property> properties = TRY(unit_properties(request, name, pid));
  for (Property& limit : TRY(limit_properties(resources, !request.rootless))) properties.push_back(std::move(limit));
  Connection manager = TRY(Connection::open_manager(location.systemd_user_manager, request.filesystem_root));
  bool ours = false;  // a unit of that name that is not ours must not be stopped
  const auto start = [&]() -> Result<> {
    const dbus::Message reply = TRY(call_with_properties(manager, "StartTransientUnit", "ssa(sv)a(sa(sv))", name.unit,
                                                         std::move(properties), start_body));
    ours = true;
    TRY(finish_job(manager, reply, "start"));
    std::string inner =
        name.is_slice() ? TRY(expand_slice(name.unit)) : TRY(scope_path(request.filesystem_root, pid, name.unit));
    TRY(join_hierarchies(request, inner, pid, location));
    if (!name.is_slice()) return {};
    for (const auto& hierarchy : location.hierarchies)
      TRY(Folder(hierarchy.path).set("enter the cgroup", "cgroup.procs", cat(pid)));
    return {};
  };
  auto started = start();
  if (started) return {};
  if (ours) {
    static_cast<void>(manager.call("StopUnit", "ss", two_texts(name.unit, "replace")));
    static_cast<void>(manager.call("ResetFailedUnit", "s", one_text(name.unit)));
  }
  return std::unexpected(std::move(started).error().with_context(cat("systemd unit ", name.unit)));
}

Result<> update_unit(const std::string& root, const Location& location, const Resources& resources) {
  std::vector<Property> properties = TRY(limit_properties(resources, !resources.devices.empty()));
  if (properties.empty()) return {};
  Connection manager = TRY(Connection::open_manager(location.systemd_user_manager, root));
  TRY_CTX(call_with_properties(manager, "SetUnitProperties", "sba(sv)", location.systemd_unit, std::move(properties),
                               set_body),
          "systemd unit ", location.systemd_unit);
  return {};
}

Result<> stop_unit(const std::string& root, const Location& location) {
  if (location.hierarchies.empty()) return {};  // never started
  // Killed processes take a moment to be gone.
  for (const auto& hierarchy : location.hierarchies) {
    const Folder folder(hierarchy.path);
    for (useconds_t wait_us = 500; has_processes(folder); wait_us *= 2) {
      if (wait_us > 1'000'000) return fail_errno(EBUSY, "remove cgroup ", hierarchy.path, ": processes are in it");
      ::usleep(wait_us);
    }
  }
  Connection manager = TRY(Connection::open_manager(location.systemd_user_manager, root));
  const auto reply = manager.call("StopUnit", "ss", two_texts(location.systemd_unit, "replace"));
  // An empty scope ends by itself, usually before this.
  if (reply) {
    TRY(finish_job(manager, *reply, "stop"));
  } else if (manager.error_name() != kNoSuchUnit) {
    return std::unexpected(reply.error());
  }
  // A scope that failed (its processes were killed for memory) stays listed otherwise.
  static_cast<void>(manager.call("ResetFailedUnit", "s", one_text(location.systemd_unit)));
  return {};
}

}  // namespace proa::kernel::cgroup::systemd
