// OpenSSL's look at the processor. Its constructor would run in every process, and the CPUID instructions it
// executes cost tenths of a millisecond in a virtual machine; so it is taken out of the start of our programs (the
// linker's --wrap in cmake/ProaBuild.cmake), and done here when it is needed.
//
// Threads: any.
#pragma once

namespace proa {

// To be called before OpenSSL is used; without it OpenSSL works, but by its slowest code.
void prepare_openssl();
// ... and before any of it but the hashes: there its tables have no addresses yet (start/late_relocations.h).
void prepare_tls();

}  // namespace proa
