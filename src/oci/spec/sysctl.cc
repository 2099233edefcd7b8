#include "oci/spec/sysctl.h"

#include <algorithm>
#include <array>

namespace proa::oci {
namespace {

// ipc/ipc_sysctl.c of the kernel.
constexpr auto kIpcParameters = std::to_array<std::string_view>({
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shm_next_id",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
});

bool good_components(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<std::string> sysctl_path(std::string_view key) {
  std::string path(key);
  const size_t separator = path.find_first_of("./");
  if (separator != std::string::npos && path[separator] == '.')
    for (char& c : path) c = c == '.' ? '/' : (c == '/' ? '.' : c);
  if (!good_components(path)) return fail("is not the name of a kernel parameter");
  return path;
}

std::optional<NamespaceType> sysctl_namespace(std::string_view path) {
  if (std::ranges::find(kIpcParameters, path) != kIpcParameters.end() || path.starts_with("fs/mqueue/"))
    return NamespaceType::kIpc;
  if (path.starts_with("net/")) return NamespaceType::kNetwork;
  if (path == "kernel/domainname" || path == "kernel/hostname") return NamespaceType::kUts;
  if (path.starts_with("user/")) return NamespaceType::kUser;
  return std::nullopt;
}

}  // namespace proa::oci
