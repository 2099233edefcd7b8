#include "cli/container_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tables.h"

namespace proa::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Program kProa{.name = "proa", .root = &kProaRoot, .usage_status = 2, .as_runc = false};

Result<engine::ContainerConfig> run(std::vector<std::string> words) {
  words.insert(words.begin(), "run");
  std::vector<char*> pointers;
  pointers.reserve(words.size());
  for (std::string& word : words) pointers.push_back(word.data());
  Invocation in(kProa);
  TRY(parse(pointers, in));
  return read_config(in);
}

TEST(ContainerFlags, FlagsEndAtTheImage) {
  const auto config = run({"-it", "--rm", "--name=web", "alpine", "sh", "-c", "--rm"});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->image, "alpine");
  EXPECT_THAT(config->cmd, ElementsAre("sh", "-c", "--rm"));
  EXPECT_TRUE(config->tty && config->open_stdin && config->auto_remove);
  EXPECT_FALSE(config->entrypoint);
  EXPECT_THAT(run({"--rootfs", "/r", "ls", "-l"})->cmd, ElementsAre("ls", "-l"));
  EXPECT_THAT(run({}).error().message(), HasSubstr("an image is needed"));
}

TEST(ContainerFlags, Volumes) {
  EXPECT_EQ(*parse_volume("data:/d:ro"), (engine::MountConfig{.source = "data", .target = "/d", .read_only = true}));
  EXPECT_EQ(parse_volume("/a:/b")->type, "bind");
  EXPECT_TRUE(parse_volume("/a:/b")->make_source);
  EXPECT_TRUE(parse_volume("/only")->anonymous);
  EXPECT_EQ(parse_volume("/a:/b:rslave,ro")->propagation, "rslave");
  EXPECT_FALSE(parse_volume("/a:/b:nonsense"));
  EXPECT_FALSE(parse_volume("/a:b"));
  EXPECT_FALSE(parse_volume("/a::/b"));
  const auto mount = parse_mount("type=bind,source=/a,target=/b,readonly,bind-propagation=rshared");
  ASSERT_TRUE(mount);
  EXPECT_TRUE(mount->read_only && !mount->make_source);
  EXPECT_EQ(parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770")->options, "size=1048576,mode=1770");
  EXPECT_THAT(parse_mount("type=odd,dst=/t").error().message(), HasSubstr("unknown mount type 'odd'"));
}

TEST(ContainerFlags, Ports) {
  const auto one = parse_publish("127.0.0.1:8080:80/udp");
  ASSERT_TRUE(one);
  EXPECT_THAT(*one, ElementsAre(engine::PortConfig{"127.0.0.1", 8080, 80, "udp"}));
  EXPECT_THAT(*parse_publish("80"), ElementsAre(engine::PortConfig{"", 0, 80, "tcp"}));
  EXPECT_THAT(*parse_publish("[::1]:81:80"), ElementsAre(engine::PortConfig{"::1", 81, 80, "tcp"}));
  EXPECT_EQ(parse_publish("8000-8003:80-83")->size(), 4U);
  EXPECT_EQ(parse_publish("8000-8003:80-83")->at(3), (engine::PortConfig{"", 8003, 83, "tcp"}));
  for (const char* wrong : {"", "x", "8080:", "1-2:1-3", "80/odd", "0:0", "70000"})
    EXPECT_FALSE(parse_publish(wrong)) << wrong;
}

TEST(ContainerFlags, Values) {
  EXPECT_EQ(*parse_restart("on-failure:3"), (engine::RestartPolicy{"on-failure", 3}));
  EXPECT_FALSE(parse_restart("always:3"));
  EXPECT_FALSE(parse_restart("sometimes"));
  EXPECT_EQ(*parse_nano_cpus("1.5"), 1500000000);
  EXPECT_FALSE(parse_nano_cpus("-1"));
  EXPECT_FALSE(parse_nano_cpus("many"));
  EXPECT_EQ(parse_when("1700000000")->time_since_epoch(), std::chrono::seconds(1700000000));
  EXPECT_EQ(parse_when("2026-01-02")->time_since_epoch(), parse_rfc3339("2026-01-02T00:00:00Z")->time_since_epoch());
  EXPECT_FALSE(parse_when("yesterday"));
}

TEST(ContainerFlags, MistakesAreNamed) {
  const auto message = [](std::vector<std::string> words) { return run(std::move(words)).error().message(); };
  EXPECT_THAT(message({"--ulimit", "nofile", "a"}), HasSubstr("--ulimit"));
  EXPECT_THAT(message({"--network", "none", "--network", "other", "a"}), HasSubstr("conflicting options"));
  EXPECT_THAT(message({"--log-driver", "splunk", "a"}), HasSubstr("no log driver named 'splunk'"));
  EXPECT_THAT(message({"--no-healthcheck", "--health-cmd", "x", "a"}), HasSubstr("conflicts"));
  EXPECT_THAT(message({"--cpus", "1", "--cpu-quota", "5", "a"}), HasSubstr("Conflicting options"));
  EXPECT_THAT(message({"--env-file", "/nowhere", "a"}), HasSubstr("--env-file"));
}

}  // namespace
}  // namespace proa::cli
