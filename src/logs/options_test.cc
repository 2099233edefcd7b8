#include "logs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace proa::logs {
namespace {

std::string message(const std::string& driver, const StringMap& options) {
  const auto checked = check_options(driver, options);
  return checked ? "" : checked.error().message();
}

TEST(Options, AreThoseOfTheDriver) {
  EXPECT_EQ(message("json-file", {{"max-size", "10m"}, {"max-file", "3"}, {"compress", "true"}, {"tag", "{{.Name}}"}}),
            "");
  EXPECT_EQ(message("journald", {{"labels", "a"}, {"env-regex", "^A"}, {"cache-max-size", "1m"}}), "");
  EXPECT_EQ(message("fluentd", {{"fluentd-retry-wait", "1s"}, {"mode", "non-blocking"}, {"max-buffer-size", "4m"}}),
            "");
  EXPECT_EQ(message("json-file", {{"syslog-format", "x"}}), "unknown log opt 'syslog-format' for json-file log driver");
  EXPECT_EQ(message("local", {{"env", "x"}}), "unknown log opt 'env' for log driver local");
  EXPECT_EQ(message("etwlogs", {}), "logger: no log driver named 'etwlogs' is registered");
  EXPECT_EQ(message("local", {{"mode", "non-blocking"}, {"max-buffer-size", "4m"}}), "");
  EXPECT_THAT(message("local", {{"mode", "lazy"}}), testing::HasSubstr("logging mode not supported: lazy"));
  EXPECT_THAT(message("local", {{"max-buffer-size", "4m"}}), testing::HasSubstr("only supported with 'mode=non-bl"));
  EXPECT_THAT(message("json-file", {{"labels-regex", "["}}), testing::StartsWith("error parsing regexp: missing ]"));
}

TEST(Options, Addresses) {
  const auto text = [](const char* driver, const char* address) {
    const auto parsed = address_of(driver, {{std::string(driver) + "-address", address}});
    return parsed ? parsed->text() : parsed.error().message();
  };
  EXPECT_EQ(text("syslog", "udp://log.example"), "udp://log.example:514");
  EXPECT_EQ(text("syslog", "tcp+tls://log.example"), "tcp+tls://log.example:6514");
  EXPECT_EQ(text("syslog", "tcp://[::1]:99"), "tcp://[::1]:99");
  EXPECT_EQ(text("syslog", "unixgram:///dev/log"), "unixgram:///dev/log");
  EXPECT_EQ(text("syslog", "unix://dev/log"), "syslog-address: the path of unix://dev/log must be absolute");
  EXPECT_EQ(text("gelf", "udp://host"), "udp://host:12201");
  EXPECT_EQ(text("gelf", "tcp://host:1/path"), "gelf-address: should not have a path element: tcp://host:1/path");
  EXPECT_EQ(text("fluentd", "host"), "tcp://host:24224");
  EXPECT_EQ(text("fluentd", ""), "tcp://127.0.0.1:24224");
  EXPECT_EQ(text("fluentd", "tcp://host:0"), "fluentd-address: invalid port in address tcp://host:0");
  EXPECT_EQ(text("syslog", ""), "the host's syslog");
}

TEST(Options, WhatIsKept) {
  const Storage file = storage_of("json-file", {{"max-size", "1k"}, {"compress", "true"}});
  EXPECT_EQ(file.max_size, 1024U);
  EXPECT_EQ(file.max_files, 2U);
  EXPECT_TRUE(file.compress && !file.cri);
  const Storage sent = storage_of("gelf", {{"cache-max-file", "1"}, {"cache-disabled", "true"}});
  EXPECT_TRUE(sent.enabled && sent.cri && sent.compress && !sent.readable);
  EXPECT_EQ(sent.max_files, 2U);
  EXPECT_EQ(storage_of("json-file", {{"max-size", "-1"}}).max_size, 0U);
  EXPECT_FALSE(storage_of("none", {}).enabled);
  EXPECT_EQ(storage_of("local", {{"max-buffer-size", "4m"}, {"mode", "blocking"}}).buffer, 0U);
  EXPECT_EQ(storage_of("local", {{"mode", "non-blocking"}}).buffer, 1U << 20);
  EXPECT_EQ(storage_of("k8s-file", {{"mode", "non-blocking"}, {"max-buffer-size", "4m"}}).buffer, 4U << 20);
  EXPECT_EQ(storage_of("journald", {{"mode", "non-blocking"}, {"max-buffer-size", "4m"}}).buffer, 0U);
}

}  // namespace
}  // namespace proa::logs
