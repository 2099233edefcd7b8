// The features document (runtime-spec, features.md and features-linux.md): what this runtime knows,
// whatever the host has. It is read off the tables that the code itself uses. Only
// seccomp.supportedFlags is about the running kernel, as the specification says.
#include <boost/json.hpp>

#include "base/json.h"
#include "kernel/capability.h"
#include "kernel/names.h"
#include "kernel/seccomp.h"
#include "oci/runtime/mount_options.h"
#include "oci/runtime/runtime.h"
#include "oci/spec/namespaces.h"

namespace proa::oci::runtime {
namespace bj = boost::json;
namespace {

constexpr const char* kOldestSpec = "1.0.0";
constexpr const char* kNewestSpec = "1.3.0";

bj::array to_array(const std::vector<std::string>& names) { return bj::array(names.begin(), names.end()); }

bj::array to_array(kernel::NameTable table) { return to_array(kernel::all_names(table)); }

bj::array sorted(std::vector<std::string> names) {
  std::ranges::sort(names);
  return to_array(names);
}

bj::array capabilities() {
  bj::array names;
  for (const std::string_view name : kernel::capability_names()) names.emplace_back(bj::string_view(name));
  return names;
}

bj::object enabled() { return {{"enabled", true}}; }

bj::object seccomp() {
  return {{"enabled", true},
          {"actions", to_array(kernel::seccomp_action_names())},
          {"operators", to_array(kernel::seccomp_operator_names())},
          {"archs", to_array(kernel::seccomp_architecture_names())},
          {"knownFlags", to_array(kernel::seccomp_flag_names())},
          {"supportedFlags", to_array(kernel::supported_seccomp_flags())}};
}

bj::object linux_features() {
  return {{"namespaces", sorted(kernel::all_names(namespace_names()))},
          {"capabilities", capabilities()},
          {"cgroup", {{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", true}, {"rdma", true}}},
          {"seccomp", seccomp()},
          {"apparmor", enabled()},
          {"selinux", enabled()},
          {"intelRdt", {{"enabled", true}, {"schemata", true}, {"monitoring", true}}},
          {"memoryPolicy",
           {{"modes", to_array(kernel::memory_policy_mode_names())},
            {"flags", to_array(kernel::memory_policy_flag_names())}}},
          {"mountExtensions", {{"idmap", enabled()}}},
          {"netDevices", enabled()}};
}

}  // namespace

std::string features() {
  const bj::object document{
      {"ociVersionMin", kOldestSpec},
      {"ociVersionMax", kNewestSpec},
      {"hooks", {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", to_array(known_mount_options())},
      {"linux", linux_features()},
      {"annotations", {{"org.proa.version", PROA_VERSION}}},
      // A name with a "." at its end stands for all that begin with it.
      {"potentiallyUnsafeConfigAnnotations", bj::array{"org.systemd.property."}}};
  return json::to_pretty(document);
}

}  // namespace proa::oci::runtime
