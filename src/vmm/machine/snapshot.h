// Snapshots: a state file (small) and a memory file, in which each slot's bytes stand one after the other. A full
// snapshot holds all memory, with holes for pages that are zero; a diff holds only pages written since the last one,
// and is laid over an older memory file.
#pragma once

#include <string>

#include "vmm/machine/machine.h"

namespace proa::vmm {

enum class SnapshotKind : uint8_t { kFull, kDiff };

struct SnapshotFiles {
  std::string state, memory;  // paths
};

// What a state file says, checked (magic, version, length, checksum): the caller's own words about how the machine was
// made, and the machine's state.
struct SavedMachine {
  std::string description, state;
};

// The machine is paused and stays so. Both files are written anew; a diff memory file that exists is written into.
// Begins dirty tracking when the machine does none yet and `track` is set.
Result<> write_snapshot(Machine& machine, SnapshotKind kind, std::string_view description, const SnapshotFiles& files,
                        bool track);
Result<SavedMachine> read_state_file(const std::string& path);
// A state file's content, and back; `path` is for errors.
std::string make_state_file(std::string_view description, std::string_view state);
Result<SavedMachine> parse_state_file(std::string_view text, std::string_view path);

}  // namespace proa::vmm
