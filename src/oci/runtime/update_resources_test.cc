#include "oci/runtime/update_resources.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace proa::oci::runtime {
namespace {

TEST(UpdateResources, NothingAsked) {
  const auto resources = resources_of({});
  ASSERT_TRUE(resources.has_value());
  EXPECT_FALSE(resources->cpu || resources->memory || resources->pids_limit || resources->block_io);
}

TEST(UpdateResources, EveryFlag) {
  UpdateOptions options;
  options.blkio_weight = 500;
  options.cpu_period = 1;
  options.cpu_share = 2;
  options.cpu_burst = 3;
  options.cpu_rt_period = 4;
  options.cpu_quota = -1;
  options.cpu_rt_runtime = 5;
  options.cpu_idle = 1;
  options.cpuset_cpus = "0-1";
  options.cpuset_mems = "0";
  options.memory = 6;
  options.memory_reservation = 7;
  options.memory_swap = -1;
  options.pids_limit = 0;
  options.kernel_memory = 8;
  options.kernel_memory_tcp = 9;
  const auto resources = resources_of(options);
  ASSERT_TRUE(resources.has_value());
  EXPECT_EQ(resources->block_io->weight, 500);
  EXPECT_EQ(resources->cpu->period, 1u);
  EXPECT_EQ(resources->cpu->shares, 2u);
  EXPECT_EQ(resources->cpu->burst, 3u);
  EXPECT_EQ(resources->cpu->realtime_period, 4u);
  EXPECT_EQ(resources->cpu->quota, -1);
  EXPECT_EQ(resources->cpu->realtime_runtime, 5);
  EXPECT_EQ(resources->cpu->idle, 1);
  EXPECT_EQ(resources->cpu->cpus, "0-1");
  EXPECT_EQ(resources->cpu->mems, "0");
  EXPECT_EQ(resources->memory->limit, 6);
  EXPECT_EQ(resources->memory->reservation, 7);
  EXPECT_EQ(resources->memory->swap, -1);
  EXPECT_EQ(resources->memory->kernel, 8);
  EXPECT_EQ(resources->memory->kernel_tcp, 9);
  EXPECT_EQ(resources->pids_limit, 0);
}

TEST(UpdateResources, WeightHasARange) {
  UpdateOptions options;
  options.blkio_weight = 5;
  EXPECT_EQ(resources_of(options).error().message(), "--blkio-weight: 5 is not in 10-1000");
  options.blkio_weight = 70000;
  EXPECT_FALSE(resources_of(options).has_value());
}

TEST(UpdateResources, ADocumentExcludesTheFlags) {
  const std::string file = "/tmp/proa-update-test-" + std::to_string(::getpid());
  std::ofstream(file) << R"({"memory":{"limit":4096},"unified":{"memory.high":"1"}})";
  UpdateOptions options;
  options.resources_file = file;
  options.pids_limit = 4;
  const auto resources = resources_of(options);
  ASSERT_TRUE(resources.has_value()) << resources.error().message();
  EXPECT_EQ(resources->memory->limit, 4096);
  EXPECT_EQ(resources->unified.at("memory.high"), "1");
  EXPECT_FALSE(resources->pids_limit.has_value());
  std::ofstream(file) << R"({"memory":{"limit":"x"}})";
  EXPECT_TRUE(resources_of(options).error().message().starts_with("--resources " + file + ": "));
  ::unlink(file.c_str());
  EXPECT_TRUE(resources_of(options).error().message().starts_with("--resources: "));
}

}  // namespace
}  // namespace proa::oci::runtime
