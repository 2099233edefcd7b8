#include "oci/spec/spec.h"

#include <linux/sched.h>

#include <array>

#include "oci/spec/namespaces.h"

namespace proa::oci {
namespace {

// In the order of NamespaceType.
constexpr NamespaceInfo kInfos[kNamespaceTypes] = {
    {"pid", "pid", CLONE_NEWPID},          {"network", "net", CLONE_NEWNET}, {"mount", "mnt", CLONE_NEWNS},
    {"ipc", "ipc", CLONE_NEWIPC},          {"uts", "uts", CLONE_NEWUTS},     {"user", "user", CLONE_NEWUSER},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME},
};

constexpr auto kNames = [] {
  std::array<kernel::NamedNumber, kNamespaceTypes> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = {kInfos[i].name, i};
  return names;
}();

}  // namespace

const NamespaceInfo& info(NamespaceType type) { return kInfos[static_cast<size_t>(type)]; }
kernel::NameTable namespace_names() { return kNames; }

const Namespace* Linux::find(NamespaceType type) const {
  for (const Namespace& entry : namespaces)
    if (entry.type == type) return &entry;
  return nullptr;
}

}  // namespace proa::oci
