// Stands in for the runtime in unit tests: records what the command line asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/runtime/runtime.h"

namespace proa::cli {

struct RuntimeDouble {
  std::string call;  // "create web"; several are joined by "; "
  oci::runtime::Globals globals;
  oci::runtime::CreateOptions create;
  oci::runtime::ExecOptions exec;
  oci::runtime::UpdateOptions update;
  oci::runtime::CheckpointOptions checkpoint;
  std::optional<std::string> failure;   // every call fails with it
  int status = 0;                       // of run, exec, restore
  std::string text = "web\nwas\ndb\n";  // of calls that answer text
};

// The one that calls go to; a test starts by assigning a fresh one.
RuntimeDouble& runtime_double();

}  // namespace proa::cli
