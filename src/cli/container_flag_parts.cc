#include "cli/container_flag_parts.h"

#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "kernel/file.h"

namespace proa::cli {

Result<std::string> absolute_path(const std::string& path) {
  if (path.starts_with('/')) return path;
  char* here = ::get_current_dir_name();
  if (here == nullptr) return fail_errno(errno, "the current folder");
  std::string out = clean_path(cat(here, "/", path));
  std::free(here);
  return out;
}

void add_pair(const std::string& text, engine::StringMap& to) {
  const size_t at = text.find('=');
  to[text.substr(0, at)] = at == std::string::npos ? "" : text.substr(at + 1);
}

Result<engine::StringMap> pairs(const Invocation& in, std::string_view flag) {
  engine::StringMap out;
  for (const std::string& text : in.texts(flag)) {
    if (text.empty() || text.front() == '=') return fail("--", flag, " '", text, "': expected NAME=VALUE");
    add_pair(text, out);
  }
  return out;
}

}  // namespace proa::cli
