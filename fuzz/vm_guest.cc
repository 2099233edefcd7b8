// What a hostile guest answers to commands and copies.
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "kernel/file.h"
#include "vmm/host/guest_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  static const std::string folder = [] {
    char name[] = "/tmp/fuzz-guest-XXXXXX";
    return std::string(::mkdtemp(name));
  }();
  static const proa::Fd nothing = proa::kernel::open("/dev/null", O_RDWR).value();
  if (size == 0 || size > 64 << 10) return 0;
  int ends[2];
  FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  GuestLink host{proa::Fd(ends[0])};
  {
    const proa::Fd guest(ends[1]);
    FUZZ_CHECK(proa::kernel::write_all(guest.get(), as_text(data + 1, size - 1)).has_value());
    ::shutdown(guest.get(), SHUT_WR);
    if (data[0] & 1)
      static_cast<void>(run_in_guest(host, {.args = {"x"}}, {.out = nothing.get(), .error = nothing.get()}));
    else
      static_cast<void>(copy_from_guest(host, "/x", folder + "/copy"));
  }
  FUZZ_CHECK(proa::kernel::names_in(folder).value().size() <= 1);
  static_cast<void>(proa::kernel::remove_tree(folder + "/copy"));
  return 0;
}
