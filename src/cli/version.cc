#include "cli/version.h"

#include <seccomp.h>

#include "base/error.h"

namespace proa::cli {

const std::string_view kVersion = PROA_VERSION;
const std::string_view kSpecVersion = "1.3.0";

std::string runc_version_text(std::string_view program) {
  std::string text = cat(program, " version ", kVersion, "\ncommit: ", kCommit, "\nspec: ", kSpecVersion, "\n");
  if (const scmp_version* seccomp = seccomp_version(); seccomp != nullptr)
    text += cat("libseccomp: ", seccomp->major, ".", seccomp->minor, ".", seccomp->micro, "\n");
  return text;
}

}  // namespace proa::cli
