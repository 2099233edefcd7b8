// The roots of the command table.
#pragma once

#include "cli/command.h"

namespace proa::cli {

// `proa`: everything.
extern const Command kProaRoot;
// `proa runtime`, and all there is when the program's name is proa-runtime: runc's command line.
extern const Command kRuntimeRoot;

// `proa image`.
extern const Command kImageRoot;

// `proa container`, `proa volume`, and what Docker has without these words.
extern const Command kContainerRoot;
extern const Command kVolumeRoot;
namespace containers {
extern const Command kRun, kCreate, kStart, kAttach, kExec, kPs, kLogs, kStop, kRestart, kKill, kPause, kUnpause, kRm,
    kWait, kTop, kStats, kInspect, kCp, kDiff, kCommit, kRename, kUpdate, kPort, kEvents;
}  // namespace containers

// `proa network`.
extern const Command kNetworkRoot;

// `proa vm`.
extern const Command kVmRoot;

}  // namespace proa::cli
