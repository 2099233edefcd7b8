// The translator: a stream of ring-3 instructions does what it does on the host's processor.
#include "fuzz.h"
#include "vmm/cpu/translator/differential_test.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm::translator;
  if (size == 0 || !unavailable().empty()) return 0;
  static auto machine = differential::Translated::create(true);
  FUZZ_CHECK(machine.has_value());
  const std::vector<differential::Case> cases = {differential::Generator({data, size}).make()};
  std::vector<differential::Outcome> host;
  FUZZ_CHECK(differential::Native::run(cases, host));
  const auto ours = (*machine)->run(cases[0]);
  FUZZ_CHECK(ours.has_value());
  FUZZ_CHECK(differential::compare(cases[0], host[0], *ours, true).empty());
  return 0;
}
