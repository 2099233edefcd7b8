#include "base/error.h"

#include <gtest/gtest.h>

#include <memory>

namespace proa {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail("number: ", number, " is odd").hint("pass an even one");
  return number / 2;
}
Result<int> quarter(int number) {
  const int first = TRY(half(number));
  return TRY_CTX(half(first), "halve ", first, " again");
}
Result<> open_missing() { return fail_errno(ENOENT, "open ", "/x"); }
Result<> twice_wrapped() {
  TRY_CTX(open_missing(), "read config");
  return {};
}

TEST(Error, Cat) {
  EXPECT_EQ(cat("a", std::string("b"), 'c', -7, uint64_t{18446744073709551615u}, std::string_view("z")),
            "abc-718446744073709551615z");
  EXPECT_EQ(cat(), "");
}

TEST(Error, ValueComesThrough) { EXPECT_EQ(quarter(12).value(), 3); }

TEST(Error, TryHandsTheErrorOn) {
  const auto result = quarter(3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "number: 3 is odd");
  EXPECT_EQ(result.error().hint(), "pass an even one");
  EXPECT_EQ(result.error().code(), 0);
}

TEST(Error, ContextGoesInFrontAndKeepsHint) {
  const auto result = quarter(6);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "halve 3 again: number: 3 is odd");
  EXPECT_EQ(result.error().hint(), "pass an even one");
}

TEST(Error, ErrnoKeepsItsNumber) {
  const auto result = twice_wrapped();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "read config: open /x: no such file or directory");
  EXPECT_EQ(result.error().code(), ENOENT);
  EXPECT_EQ(Error::from_errno(EPERM, "").message(), "operation not permitted");
  EXPECT_EQ(errno_text(123456), "error 123456");
}

TEST(Error, InnermostHintWins) {
  const Error error = Error("x").hint("inner").with_context("step").hint("outer");
  EXPECT_EQ(error.hint(), "inner");
  EXPECT_EQ(error.message(), "step: x");
}

TEST(Error, TryMovesOutMoveOnlyValues) {
  const auto make = [](bool ok) -> Result<std::unique_ptr<int>> {
    if (!ok) return fail("none");
    return std::make_unique<int>(5);
  };
  const auto use = [&](bool ok) -> Result<int> {
    const std::unique_ptr<int> owned = TRY(make(ok));
    return *owned;
  };
  EXPECT_EQ(use(true).value(), 5);
  EXPECT_EQ(use(false).error().message(), "none");
}

}  // namespace
}  // namespace proa
