#include "engine/codec.h"

#include <gtest/gtest.h>

namespace proa::engine {
namespace {

TEST(Codec, BringsBackWhatWasWritten) {
  Container c{
      .id = "0123", .name = "web", .created = "2026-01-02T03:04:05Z", .config = {}, .resolved = {}, .state = {}};
  c.config.image = "alpine";
  c.config.entrypoint = Strings{};
  c.config.cmd = {"sh", "-c", "echo \"hi\""};
  c.config.labels = {{"a", "1"}, {"b", ""}};
  c.config.stop_timeout = 0;
  c.config.mounts = {{.type = "bind", .source = "/a", .target = "/b", .read_only = true}};
  c.config.ports = {{.host_ip = "127.0.0.1", .host_port = 8080, .container_port = 80}};
  c.config.resources.memory = 1 << 30;
  c.config.resources.memory_swappiness = 0;
  c.resolved.args = {"sh"};
  const auto back = parse_container(emit_container(c));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->name, "web");
  EXPECT_EQ(back->config.cmd, c.config.cmd);
  ASSERT_TRUE(back->config.entrypoint);
  EXPECT_TRUE(back->config.entrypoint->empty());
  EXPECT_EQ(back->config.labels, c.config.labels);
  EXPECT_EQ(back->config.stop_timeout, 0);
  EXPECT_EQ(back->config.mounts, c.config.mounts);
  EXPECT_EQ(back->config.ports, c.config.ports);
  EXPECT_EQ(back->config.resources.memory_swappiness, 0);
  EXPECT_EQ(back->config.restart.name, "no");
  EXPECT_EQ(emit_container(*back), emit_container(c));
}

TEST(Codec, State) {
  State state;
  state.status = "exited";
  state.exit_code = 137;
  state.networks = {{.network = "bridge", .ip = "172.17.0.2", .prefix = 16}};
  const auto back = parse_state(emit_state(state));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->exit_code, 137);
  EXPECT_EQ(back->networks.at(0).prefix, 16);
  EXPECT_FALSE(parse_state("[]"));
  EXPECT_FALSE(parse_state("{"));
}

}  // namespace
}  // namespace proa::engine
