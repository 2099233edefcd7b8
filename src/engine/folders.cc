#include "engine/folders.h"

#include <unistd.h>

#include <cstdlib>

namespace proa::engine {
namespace {

std::string variable(const char* name) {
  const char* text = ::secure_getenv(name);
  return text != nullptr && text[0] == '/' ? text : std::string();
}

}  // namespace

std::string Folders::network_run() const {
  constexpr std::string_view kOwn = "/engine";
  return (run.ends_with(kOwn) ? run.substr(0, run.size() - kOwn.size()) : run) + "/network";
}

Folders Folders::standard() {
  Folders folders{.data = variable("PROA_ROOT"), .run = variable("PROA_RUN")};
  const bool root = ::geteuid() == 0;
  if (folders.data.empty()) {
    const std::string home = variable("XDG_DATA_HOME");
    if (root)
      folders.data = "/var/lib/proa";
    else
      folders.data = (home.empty() ? variable("HOME") + "/.local/share" : home) + "/proa";
  }
  if (folders.run.empty()) {
    const std::string runtime = variable("XDG_RUNTIME_DIR");
    if (root)
      folders.run = "/run/proa/engine";
    else
      folders.run = (runtime.empty() ? "/tmp/proa-" + std::to_string(::geteuid()) : runtime + "/proa") + "/engine";
  }
  return folders;
}

}  // namespace proa::engine
