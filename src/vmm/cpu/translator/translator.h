// The translator: a CPU engine by dynamic binary translation from x86-64 to x86-64 (docs/vm-translator.md).
#pragma once

#include <memory>

#include "vmm/cpu/engine.h"

namespace proa::vmm::translator {

// Why it cannot run on this host; empty: it can.
std::string unavailable();

Result<std::unique_ptr<Engine>> make_engine(GuestMemory& memory, Bus& bus, const EngineOptions& options);

}  // namespace proa::vmm::translator
