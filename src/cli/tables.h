// The roots of the command table.
#pragma once

#include "cli/command.h"

namespace proa::cli {

// `proa`: everything.
extern const Command kProaRoot;
// `proa runtime`, and all there is when the program's name is proa-runtime: runc's command line.
extern const Command kRuntimeRoot;

// `proa image`, and what Docker has without that word.
extern const Command kImageRoot;
namespace images {
extern const Command kPull, kPush, kList, kRmi, kSave, kLoad, kImport, kHistory, kTag;
}  // namespace images
extern const Command kLogin, kLogout;

// `proa container`, `proa sandbox`, `proa volume`, and what Docker has without these words.
extern const Command kContainerRoot;
extern const Command kSandboxRoot;
extern const Command kSystemRoot;
extern const Command kVolumeRoot;
namespace containers {
extern const Command kRun, kCreate, kStart, kAttach, kExec, kPs, kLogs, kStop, kRestart, kKill, kPause, kUnpause, kRm,
    kWait, kTop, kStats, kInspect, kCp, kDiff, kCommit, kRename, kUpdate, kPort, kEvents, kInfo, kExport;
}  // namespace containers

// `proa registry`.
extern const Command kRegistryRoot;

// `proa up`, `proa cluster`.
extern const Command kUp;
extern const Command kClusterRoot;

// `proa network`.
extern const Command kNetworkRoot;

// `proa vm`.
extern const Command kVmRoot;

}  // namespace proa::cli
