// For tests that call run_command(): its child shares our memory until it executes.
#pragma once

#include <gtest/gtest.h>

namespace proa {

class RunsPrograms : public testing::Test {
 protected:
  void SetUp() override {
#if __has_feature(thread_sanitizer)
    GTEST_SKIP() << "the thread sanitizer cannot follow a child made with CLONE_VM";
#endif
  }
};

}  // namespace proa
