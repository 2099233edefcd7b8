#include "oci/runtime/record.h"

#include <gtest/gtest.h>

namespace proa::oci::runtime {
namespace {

TEST(Record, LastWholeStateCounts) {
  const std::string config = "{\n  \"a\": 1\n}\n";
  std::string text = first_record(config, "one");
  EXPECT_EQ(read_record(text)->config, config);
  EXPECT_EQ(read_record(text)->state, "one");
  text += next_record("two");
  EXPECT_EQ(read_record(text)->config, config);
  EXPECT_EQ(read_record(text)->state, "two");
}

TEST(Record, EveryCutShowsTheStateBefore) {
  const std::string first = first_record("{}", "one"), second = next_record("two"), third = next_record("three");
  for (size_t length = 0; length < first.size(); ++length) {
    const auto read = read_record(std::string_view(first).substr(0, length));
    ASSERT_FALSE(read) << length;
    EXPECT_EQ(read.error().code(), ENOENT) << length;
  }
  for (size_t length = 1; length < second.size(); ++length) {
    const std::string torn = first + second.substr(0, length);
    EXPECT_EQ(read_record(torn)->state, "one") << length;
    EXPECT_EQ(read_record(torn + third)->state, "three") << length;
  }
}

TEST(Record, ConfigurationOfAnyContent) {
  for (const std::string_view config : {"", "\n", "\n\n9\n", "one\ntwo\n"}) {
    const std::string text = first_record(config, "state") + next_record("later");
    EXPECT_EQ(read_record(text)->config, config);
    EXPECT_EQ(read_record(text)->state, "later");
  }
}

TEST(Record, GarbageIsRefused) {
  for (const char* text : {"x\n", "-1\n", "99999999999999999999999\n{}\nstate\n"}) {
    const auto read = read_record(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), 0) << text;
  }
}

}  // namespace
}  // namespace proa::oci::runtime
