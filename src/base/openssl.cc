#include "base/openssl.h"

#include <mutex>

extern "C" {
// In OpenSSL's place at the program's start: does nothing.
void __wrap_OPENSSL_cpuid_setup();                // NOLINT(bugprone-reserved-identifier): the linker's names
[[gnu::weak]] void __real_OPENSSL_cpuid_setup();  // NOLINT(bugprone-reserved-identifier)

void __wrap_OPENSSL_cpuid_setup() {}  // NOLINT(bugprone-reserved-identifier)
}

namespace proa {

void prepare_openssl() {
  // Absent where OpenSSL is a shared library, which has looked already.
  static std::once_flag once;
  std::call_once(once, [] {
    if (__real_OPENSSL_cpuid_setup != nullptr) __real_OPENSSL_cpuid_setup();
  });
}

}  // namespace proa
