// A mount's option strings: the input's lines are destination, type and then one option each.
#include "oci/runtime/mount_options.h"

#include <sys/mount.h>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::oci;
  std::string_view text = as_text(data, size);
  const auto next_line = [&text] {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return std::string(line);
  };
  Mount mount;
  mount.destination = next_line();
  mount.type = next_line();
  while (!text.empty()) mount.options.push_back(next_line());
  const auto options = runtime::parse_mount_options(mount);
  if (!options) return 0;
  FUZZ_CHECK((options->flags & options->cleared_flags) == 0);
  FUZZ_CHECK((options->flags & (MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE)) == 0);
  FUZZ_CHECK(options->uid_mappings.empty() == options->gid_mappings.empty());
  for (const uint64_t change : options->propagation)
    FUZZ_CHECK((change & ~(MS_SHARED | MS_SLAVE | MS_PRIVATE | MS_UNBINDABLE | MS_REC)) == 0);
  return 0;
}
