#include "kernel/boot_fact.h"

#include "base/text.h"
#include "kernel/file.h"

namespace proa::kernel {

namespace {

constexpr size_t kMostText = 4096;

}  // namespace

std::string boot_id() {
  std::string text = read_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// A file each, "BOOT-ID VALUE": /run need not be new at each boot where the host is a container itself.
std::optional<std::string> recall_fact(std::string_view name, const std::string& folder) {
  const auto text = read_file(cat(folder, "/", name).c_str(), kMostText);
  if (!text) return std::nullopt;
  std::string_view value = *text;
  const std::string boot = boot_id();
  if (boot.empty() || cut(value, ' ') != boot || !value.ends_with('\n')) return std::nullopt;
  value.remove_suffix(1);
  return std::string(value);
}

void remember_fact(std::string_view name, std::string_view value, const std::string& folder) {
  const std::string boot = boot_id();
  if (boot.empty() || !make_dirs(folder, 0711)) return;
  static_cast<void>(replace_file(cat(folder, "/", name), cat(boot, " ", value, "\n"), 0644));
}

}  // namespace proa::kernel
