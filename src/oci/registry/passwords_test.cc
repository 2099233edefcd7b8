#include "oci/registry/passwords.h"

#include <gmock/gmock.h>

#include "kernel/temp_folder_test.h"

namespace proa::oci::registry {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Verdict = Passwords::Verdict;

class PasswordsTest : public testing::Test {
 protected:
  void load(std::string_view text) {
    folder.write("users", text);
    auto loaded = Passwords::load(folder / "users", clock);
    ASSERT_TRUE(loaded) << loaded.error().message();
    passwords = std::move(*loaded);
  }
  Verdict check(const std::string& user, const std::string& password, const std::string& from = "192.0.2.1") {
    return passwords->check(user, password, from).verdict;
  }
  TempFolder folder;
  FakeClock clock;
  std::unique_ptr<Passwords> passwords;
};

TEST_F(PasswordsTest, KnowsItsOwnLines) {
  const auto line = htpasswd_line("bob", "pass:word");
  ASSERT_TRUE(line) << line.error().message();
  EXPECT_THAT(*line, StartsWith("bob:$2y$10$"));
  load(*line + "\n# comment\n\n");
  EXPECT_EQ(Verdict::kRight, check("bob", "pass:word"));
  EXPECT_EQ(Verdict::kRight, check("bob", "pass:word"));
  EXPECT_EQ(Verdict::kWrong, check("bob", "password"));
  EXPECT_EQ(Verdict::kWrong, check("bob", ""));
  EXPECT_EQ(Verdict::kWrong, check("bob", std::string("pass:word\0x", 11)));
  EXPECT_EQ(Verdict::kWrong, check("eve", "pass:word"));
}

TEST_F(PasswordsTest, RefusesWhatBcryptWouldCut) {
  EXPECT_FALSE(htpasswd_line("bob", std::string(73, 'x')));
  EXPECT_FALSE(htpasswd_line("bob", ""));
  EXPECT_FALSE(htpasswd_line("b:b", "x"));
}

TEST_F(PasswordsTest, SlowsGuessing) {
  const auto line = htpasswd_line("bob", "right");
  load(*line + "\n");
  EXPECT_EQ(Verdict::kRight, check("bob", "right", "192.0.2.9"));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Verdict::kWrong, check("bob", "wrong"));
  EXPECT_EQ(Verdict::kTooMany, check("bob", "wrong"));
  // Whoever has shown it before is not locked out by others' guesses, nor are other addresses.
  EXPECT_EQ(Verdict::kRight, check("bob", "right", "192.0.2.9"));
  EXPECT_EQ(Verdict::kWrong, check("bob", "wrong", "192.0.2.8"));
  clock.advance(std::chrono::seconds(2));
  EXPECT_EQ(Verdict::kWrong, check("bob", "wrong"));
  const auto checked = passwords->check("bob", "wrong", "192.0.2.1");
  EXPECT_EQ(Verdict::kTooMany, checked.verdict);
  EXPECT_EQ(2, checked.wait);
}

TEST_F(PasswordsTest, ReadsTheFileAnew) {
  load(*htpasswd_line("bob", "old") + "\n");
  EXPECT_EQ(Verdict::kRight, check("bob", "old"));
  folder.write("users", *htpasswd_line("bob", "new") + "\n");
  ASSERT_TRUE(passwords->reload());
  EXPECT_EQ(Verdict::kWrong, check("bob", "old"));
  EXPECT_EQ(Verdict::kRight, check("bob", "new"));
  folder.write("users", "nonsense\n");
  EXPECT_FALSE(passwords->reload());
  EXPECT_EQ(Verdict::kRight, check("bob", "new"));
}

TEST_F(PasswordsTest, NamesTheBadLine) {
  for (const auto& [text, said] : std::initializer_list<std::pair<const char*, const char*>>{
           {"a:$2y$x\nbob\n", "line 2: must be USER:HASH"},
           {"bob:$apr1$x$y\n", "line 1: the password of \"bob\" is hashed by a weak method"},
           {"bob:plain\n", "weak method"}}) {
    folder.write("users", text);
    const auto loaded = Passwords::load(folder / "users", clock);
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().message(), HasSubstr(said));
  }
}

}  // namespace
}  // namespace proa::oci::registry
