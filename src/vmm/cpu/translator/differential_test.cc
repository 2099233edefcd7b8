// Random ring-3 streams agree with the host's processor (differential_test.h). PROA_STREAMS: how many.
#include "vmm/cpu/translator/differential_test.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

namespace proa::vmm::translator::differential {
namespace {

size_t streams() {
  const char* text = std::getenv("PROA_STREAMS");
  return text ? static_cast<size_t>(std::atoll(text)) : 4000;
}

std::vector<Case> random_cases(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Case> cases;
  std::vector<uint8_t> bytes(4096);
  while (cases.size() < count) {
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    cases.push_back(Generator(bytes).make());
  }
  return cases;
}

void agree(bool exact, uint64_t seed) {
  if (const std::string why = unavailable(); !why.empty()) GTEST_SKIP() << why;
  const std::vector<Case> cases = random_cases(streams(), seed);
  std::vector<Outcome> host;
  ASSERT_TRUE(Native::run(cases, host)) << "the child that runs streams died after " << host.size();
  auto machine = Translated::create(exact);
  ASSERT_TRUE(machine) << machine.error().message();
  unsigned different = 0;
  for (size_t i = 0; i < cases.size() && different < 20; ++i) {
    auto ours = (*machine)->run(cases[i]);
    ASSERT_TRUE(ours) << ours.error().message() << " in stream " << i;
    const std::string difference = compare(cases[i], host[i], *ours, exact);
    if (difference.empty()) continue;
    ++different;
    ADD_FAILURE() << "stream " << i << "\n" << difference;
  }
}

TEST(Differential, RandomStreamsAgreeWithTheHost) { agree(false, 1); }
TEST(Differential, RandomStreamsAgreeInEveryFlagAtFaults) { agree(true, 2); }

}  // namespace
}  // namespace proa::vmm::translator::differential
