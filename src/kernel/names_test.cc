#include "kernel/names.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <set>

namespace proa::kernel {
namespace {

TEST(Names, EveryTableReadsBothWays) {
  for (const NameTable table :
       {rlimit_names(), personality_domain_names(), personality_flag_names(), scheduler_policy_names(),
        scheduler_flag_names(), io_class_names(), memory_policy_mode_names(), memory_policy_flag_names()}) {
    ASSERT_FALSE(table.empty());
    for (const NamedNumber& entry : table) {
      EXPECT_EQ(number_of(table, entry.name), entry.number);
      EXPECT_EQ(name_of(table, entry.number), entry.name);
    }
    EXPECT_EQ(number_of(table, "NO_SUCH"), std::nullopt);
    EXPECT_EQ(all_names(table).size(), table.size());
  }
}

TEST(Names, HasTheKernelsNumbers) {
  EXPECT_EQ(number_of(rlimit_names(), "RLIMIT_NOFILE"), 7u);
  EXPECT_EQ(rlimit_names().size(), static_cast<size_t>(RLIM_NLIMITS));
  EXPECT_EQ(number_of(scheduler_policy_names(), "SCHED_DEADLINE"), 6u);
  EXPECT_EQ(number_of(io_class_names(), "IOPRIO_CLASS_IDLE"), 3u);
  EXPECT_EQ(number_of(memory_policy_mode_names(), "MPOL_WEIGHTED_INTERLEAVE"), 6u);
  EXPECT_EQ(number_of(memory_policy_flag_names(), "MPOL_F_STATIC_NODES"), 1u << 15);
  EXPECT_EQ(number_of(personality_domain_names(), "LINUX32"), 8u);
  EXPECT_EQ(number_of(personality_flag_names(), "ADDR_NO_RANDOMIZE"), 0x0040000u);
  EXPECT_EQ(joined_names(personality_domain_names()), "LINUX, LINUX32");
}

TEST(Names, EverySignalBelowTheRealTimeOnesIsNamed) {
  std::set<uint64_t> numbers;
  for (const NamedNumber& entry : signal_names()) numbers.insert(entry.number);
  for (uint64_t signal = 1; signal < 32; ++signal) EXPECT_TRUE(numbers.contains(signal)) << signal;
}

TEST(Signal, IsReadAsUsersWriteIt) {
  EXPECT_EQ(parse_signal("9").value(), SIGKILL);
  EXPECT_EQ(parse_signal("KILL").value(), SIGKILL);
  EXPECT_EQ(parse_signal("SIGKILL").value(), SIGKILL);
  EXPECT_EQ(parse_signal("sigterm").value(), SIGTERM);
  EXPECT_EQ(parse_signal("Hup").value(), SIGHUP);
  EXPECT_EQ(parse_signal("SIGCLD").value(), SIGCHLD);
  EXPECT_EQ(parse_signal("0").value(), 0);
  EXPECT_EQ(parse_signal("RTMIN").value(), 34);
  EXPECT_EQ(parse_signal("SIGRTMIN+3").value(), 37);
  EXPECT_EQ(parse_signal("rtmax-1").value(), 63);
  EXPECT_EQ(parse_signal("RTMIN+30").value(), 64);
}

TEST(Signal, RefusesWhatIsNone) {
  for (const char* text : {"", "SIG", "SIGSIGTERM", "-1", "65", "9x", "RTMIN-1", "RTMIN+31", "RTMIN+", "RTMAX+1",
                           "RTMIN+-1", "KILLS", "99999999999999999999"}) {
    const Result<int> signal = parse_signal(text);
    ASSERT_FALSE(signal) << text;
    EXPECT_NE(signal.error().message().find(text), std::string::npos);
  }
}

TEST(Signal, NameReadsBackToItsNumber) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(36), "SIGRTMIN+2");
  EXPECT_EQ(signal_name(99), "99");
  for (int signal = 1; signal <= 64; ++signal) EXPECT_EQ(parse_signal(signal_name(signal)).value(), signal);
}

}  // namespace
}  // namespace proa::kernel
