// Pull, push, list and log in with one call each: for commands, and for whoever forks. When a call returns, the
// threads that it had are gone.
//
// Settings and credentials are the user's own: registries.h, credentials.h.
#pragma once

#include <string>
#include <vector>

#include "oci/image/remote/credentials.h"
#include "oci/image/remote/pull.h"
#include "oci/image/remote/push.h"

namespace proa::oci::image::remote {

// For this call alone.
struct Access {
  bool verify_tls = true;                // false: any certificate, or plain HTTP
  std::optional<Credential> credential;  // instead of those kept
};

Result<Pulled> pull_image(const Images& images, const Reference& reference, const PullOptions& options,
                          const Access& access = {});
Result<Pushed> push_image(const Images& images, const Reference& name, const PushOptions& options,
                          const Access& access = {});
Result<std::vector<std::string>> list_tags(const Reference& repository, const Access& access = {});

// Checks the credentials with the registry and keeps them; gives where.
Result<std::string> log_in(const std::string& domain, const Credential& credential, const Access& access = {});
// Those that are kept; empty when there are none.
Result<Credential> known_credential(const std::string& domain);
// False: there were none.
Result<bool> log_out(const std::string& domain);
// "https://index.docker.io/v1/" and "" are docker.io; a scheme and a path are left off.
std::string registry_named(std::string_view text);

}  // namespace proa::oci::image::remote
