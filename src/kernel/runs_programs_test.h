// For tests that call run_command(): its child shares our memory until it executes.
#pragma once

#include <gtest/gtest.h>

namespace proa {

template <typename Base>
class RunsProgramsOn : public Base {
 protected:
  void SetUp() override {
    Base::SetUp();
#if __has_feature(thread_sanitizer)
    GTEST_SKIP() << "the thread sanitizer cannot follow a child made with CLONE_VM";
#endif
  }
};
using RunsPrograms = RunsProgramsOn<testing::Test>;

}  // namespace proa
