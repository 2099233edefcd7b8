// Who we are to registries: the files that Docker and podman keep credentials in, and the programs (credential
// helpers) that keep them for them.
//
//   $REGISTRY_AUTH_FILE                            containers' auth.json; alone when set
//   $DOCKER_CONFIG/config.json, ~/.docker/config.json
//   $XDG_RUNTIME_DIR/containers/auth.json
//
// The first that knows the registry counts. Secrets are in no error and no log.
//
// Threads: any; calls to helpers block.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci::image::remote {

struct Credential {
  std::string user, password;
  std::string identity_token;  // to get tokens with (OAuth 2 refresh token)
  std::string registry_token;  // to be shown as it is

  bool empty() const { return password.empty() && identity_token.empty() && registry_token.empty(); }
  bool operator==(const Credential&) const = default;
};

// One of the files, parsed. Errors name the field.
struct CredentialFile {
  struct Entry {
    std::string server;  // as the file names it
    Credential credential;
  };
  std::vector<Entry> entries;
  std::string store;                                         // credsStore: "pass"
  std::vector<std::pair<std::string, std::string>> helpers;  // credHelpers: server, "gcloud"

  static Result<CredentialFile> parse(std::string_view text);
};

class Credentials {
 public:
  // The user's own, by the environment.
  static Credentials standard();
  // These files only, the first being written to.
  explicit Credentials(std::vector<std::string> files) : files_(std::move(files)) {}

  // Empty when nothing is known. `repository` ("team/app") counts where a file has entries for parts of a registry.
  Result<Credential> find(const std::string& domain, std::string_view repository = {}) const;
  // Gives where it is kept now: a file's path, or "credential helper pass".
  Result<std::string> store(const std::string& domain, const Credential& credential) const;
  // False: nothing was known.
  Result<bool> erase(const std::string& domain) const;

 private:
  std::vector<std::string> files_;
};

}  // namespace proa::oci::image::remote
