#include "oci/image/remote/credentials.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>

#include "kernel/file.h"
#include "kernel/runs_programs_test.h"
#include "kernel/temp_folder_test.h"
#include "net/base64.h"

namespace proa::oci::image::remote {
namespace {

using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text, mode_t mode = 0600) {
    ASSERT_TRUE(kernel::replace_file(path(name), text, mode));
  }
  std::string path(const std::string& name) const { return folder_ / name; }
  Credentials credentials() const { return Credentials({path("config.json"), path("auth.json")}); }
  std::string user(const std::string& domain, std::string_view repository = {}) {
    const auto found = credentials().find(domain, repository);
    return found ? cat(found->user, "/", found->password, found->identity_token, found->registry_token)
                 : found.error().message();
  }
  static std::string auth(std::string_view text) { return cat("{\"auth\":\"", net::base64_encode(text), "\"}"); }
  // A credential helper of this name in PATH: a folder of secrets.
  void install_helper(const std::string& name) {
    write(cat("docker-credential-", name), R"sh(#!/bin/sh
cd "$(dirname "$0")" && input=$(cat)
case $1 in
get) file=$(printf %s "$input" | tr -c 'a-zA-Z0-9\n' _); [ -f "kept_$file" ] || { echo "credentials not found in native keychain"; exit 1; }
     cat "kept_$file" ;;
store) server=$(printf %s "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/'); printf %s "$input" >"kept_$(printf %s "$server" | tr -c 'a-zA-Z0-9\n' _)" ;;
erase) rm -f "kept_$(printf %s "$input" | tr -c 'a-zA-Z0-9\n' _)" ;;
esac
)sh",
          0755);
    ::setenv("PATH", cat(folder_.path(), ":/usr/bin:/bin").c_str(), 1);
  }

 private:
  TempFolder folder_;
};

TEST_F(CredentialsTest, NoFiles) { EXPECT_EQ("/", user("registry.example")); }

TEST_F(CredentialsTest, DockersConfig) {
  write("config.json",
        cat(R"({"auths":{"https://index.docker.io/v1/":)", auth("me:a:b"), R"(,"registry.example:5000":)",
            auth("you:c"), R"(,"https://other.example/v2/":{"identitytoken":"idt","auth":")",
            net::base64_encode("<token>:"), R"("},"token.example":{"registrytoken":"rt"}}})"));
  EXPECT_EQ("me/a:b", user("docker.io"));
  EXPECT_EQ("you/c", user("registry.example:5000"));
  EXPECT_EQ("/", user("registry.example"));
  EXPECT_EQ("<token>/idt", user("other.example"));
  EXPECT_EQ("/rt", user("token.example"));
}

TEST_F(CredentialsTest, ContainersAuthKnowsParts) {
  write("auth.json", cat(R"({"auths":{"quay.io":)", auth("all:x"), R"(,"quay.io/team":)", auth("team:x"),
                         R"(,"quay.io/team/app":)", auth("app:x"), "}}"));
  EXPECT_EQ("app/x", user("quay.io", "team/app"));
  EXPECT_EQ("team/x", user("quay.io", "team/other"));
  EXPECT_EQ("all/x", user("quay.io", "other"));
  EXPECT_EQ("all/x", user("quay.io"));
}

TEST_F(CredentialsTest, BadFilesAreNamedAndKeepTheirSecrets) {
  write("config.json", R"({"auths":{"a":{"auth":"no base64 at all"}}})");
  EXPECT_EQ(cat(path("config.json"), ": auths.a.auth: is no USER:PASSWORD in base64"), user("a"));
  write("config.json", R"({"auths":[]})");
  EXPECT_THAT(user("a"), HasSubstr("auths: must be an object"));
  write("config.json", R"({"auths":{"a":{"auth":7}}})");
  EXPECT_THAT(user("a"), HasSubstr("must be a string"));
}

TEST_F(CredentialsTest, StoredAndErased) {
  write("config.json", R"({"detachKeys":"ctrl-x","auths":{"https://registry.example/v1/":{"auth":"b2xkOm9sZA=="}}})");
  EXPECT_EQ(path("config.json"), credentials().store("registry.example", {.user = "me", .password = "secret"}).value());
  EXPECT_EQ("me/secret", user("registry.example"));
  const std::string text = kernel::read_file(path("config.json").c_str()).value();
  EXPECT_THAT(text, HasSubstr("detachKeys"));
  EXPECT_THAT(text, Not(HasSubstr("v1")));
  struct stat info{};
  ASSERT_EQ(0, ::stat(path("config.json").c_str(), &info));
  EXPECT_EQ(0600U, info.st_mode & 0777);
  EXPECT_TRUE(credentials().erase("registry.example").value());
  EXPECT_EQ("/", user("registry.example"));
  EXPECT_FALSE(credentials().erase("registry.example").value());
  // Docker's own registry has a name of its own.
  ASSERT_TRUE(credentials().store("docker.io", {.user = "me", .password = "hub"}));
  EXPECT_THAT(kernel::read_file(path("config.json").c_str()).value(), HasSubstr("https://index.docker.io/v1/"));
  EXPECT_EQ("me/hub", user("docker.io"));
}

using CredentialHelpersTest = RunsProgramsOn<CredentialsTest>;

TEST_F(CredentialHelpersTest, Answer) {
  install_helper("one");
  install_helper("two");
  write("config.json", R"({"credsStore":"one","credHelpers":{"special.example":"two"}})");
  EXPECT_EQ("/", user("registry.example"));
  EXPECT_EQ("credential helper one", credentials().store("registry.example", {.user = "me", .password = "s"}).value());
  EXPECT_EQ("me/s", user("registry.example"));
  EXPECT_THAT(kernel::read_file(path("config.json").c_str()).value(), Not(HasSubstr("\"auth\"")));
  EXPECT_EQ("credential helper two",
            credentials().store("special.example", {.user = "x", .identity_token = "idt"}).value());
  EXPECT_EQ("/idt", user("special.example"));
  EXPECT_TRUE(credentials().erase("registry.example").value());
  EXPECT_EQ("/", user("registry.example"));
}

TEST_F(CredentialHelpersTest, Fail) {
  write("config.json", R"({"credsStore":"absent"})");
  EXPECT_THAT(user("a"), HasSubstr("credential helper docker-credential-absent"));
  write("config.json", R"({"credsStore":"../x"})");
  EXPECT_THAT(user("a"), HasSubstr("no name"));
  write("docker-credential-bad", "#!/bin/sh\necho secret stuff\nexit 3\n", 0755);
  ::setenv("PATH", cat(path(""), ":/usr/bin:/bin").c_str(), 1);
  write("config.json", R"({"credsStore":"bad"})");
  EXPECT_EQ("credential helper docker-credential-bad get: exit status 3", user("a"));
  write("docker-credential-bad", "#!/bin/sh\necho secret stuff\n", 0755);
  EXPECT_EQ("credential helper bad get: its answer is no JSON object", user("a"));
}

}  // namespace
}  // namespace proa::oci::image::remote
