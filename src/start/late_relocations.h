// Relocations that a program does not make when it starts. A position-independent program writes the addresses of
// all its tables anew at each start, and each page so touched is a fault and a copy: OpenSSL's hundred pages cost
// more than all else that a short command does. After linking, defer.cc moves OpenSSL's relocations out of those that
// the C library makes, to here; base/openssl.cc makes them when TLS is first used.
#pragma once

#include <cstddef>
#include <cstdint>

namespace proa {
inline constexpr size_t kLateWords = 2048;
}

// The number of words that follow, then these in the form of a .relr.dyn section. A program that was not treated
// has none.
extern "C" const uint64_t proa_late_relocations[proa::kLateWords];
