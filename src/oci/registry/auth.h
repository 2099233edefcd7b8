// Who asks, and what they may do: basic credentials against an htpasswd file, client certificates, and bearer
// tokens, our own or an external issuer's (distribution's token authentication).
//
// Threads: any number.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/server.h"
#include "net/task.h"
#include "oci/registry/access.h"
#include "oci/registry/passwords.h"
#include "oci/registry/refusal.h"
#include "oci/registry/token.h"

namespace proa::oci::registry {

// Files are given by path and read anew when they change. All empty: everybody may do everything.
struct AuthOptions {
  std::string realm = "proa registry";
  std::string htpasswd;
  std::string policy;                // see access.h; empty: users everything, others nothing
  bool anonymous_pull = false;       // without a policy
  bool client_certificates = false;  // their common name is the user

  bool own_tokens = false;  // issued at /token for users of the htpasswd file, and for anonymous ones
  std::string token_key;    // PEM, P-256; made when missing
  std::chrono::seconds token_lifetime{300};
  // For tokens of either kind.
  std::string service = "proa-registry";
  std::string issuer;       // own tokens: as the service when empty
  std::string token_realm;  // URL where tokens are had; own tokens: this server's when empty
  // An external issuer's, in place of own tokens.
  std::string certificates;  // PEM: certificates and public keys
  std::string jwks;          // JSON

  bool external_tokens() const { return !certificates.empty() || !jwks.empty(); }
  bool enabled() const {
    return !htpasswd.empty() || own_tokens || external_tokens() || client_certificates || !policy.empty();
  }
};

struct Identity {
  std::string user;            // empty: nobody has logged in
  std::optional<Token> token;  // then it alone, and for our own the policy too, says what is allowed
};

class Authenticator {
 public:
  // `key_file`: of our own tokens, if the options name none. Errors name the file.
  static Result<std::unique_ptr<Authenticator>> create(AuthOptions options, const std::string& key_file,
                                                       const Clock& clock = Clock::system());

  bool enabled() const { return options_.enabled(); }
  // Without credentials nobody; with wrong ones UNAUTHORIZED or TOOMANYREQUESTS.
  net::Task<Answer<Identity>> identify(net::Request& request);

  Actions allowed(const Identity& identity, std::string_view repository) const;
  // Whether another token of ours would allow it.
  bool allowed_by_another_token(const Identity& identity, std::string_view repository, Action action) const;
  // Whether the whole catalog is to be seen by a token.
  bool allows_catalog(const Identity& identity) const;
  // UNAUTHORIZED where credentials could help, else DENIED. `scope` is what the request needs.
  Answer<> require(const Identity& identity, std::string_view repository, Action action) const;

  // WWW-Authenticate of an answer with status 401.
  std::string challenge(const net::Request& request, std::string_view scope, bool insufficient) const;
  // GET and POST /token.
  net::Task<Answer<>> serve_token(net::Request& request, net::Response& response);

  // Files that have changed since; one that cannot be read leaves what was there, and is told of.
  std::vector<Error> reload_changed();

  uint64_t failures() const { return failures_; }

 private:
  // What is read from files, replaced as a whole.
  struct Rules {
    Access access;
    KeySet keys;
  };
  explicit Authenticator(AuthOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Result<> load_rules();
  std::shared_ptr<const Rules> rules() const;
  net::Task<Answer<Identity>> check_password(const net::Request& request, std::string user, std::string password);
  net::Task<Answer<Identity>> check_token(std::string text);
  net::Task<Answer<Identity>> token_identity(net::Request& request, std::string& scope);
  Result<std::string> issue(const Identity& identity, const std::string& scope) const;
  std::string own_realm(const net::Request& request) const;
  int64_t now() const;

  const AuthOptions options_;
  const Clock& clock_;
  std::unique_ptr<Passwords> passwords_;
  std::optional<SigningKey> key_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Rules> rules_;  // guarded by mutex_
  std::vector<std::string> stamps_;     // of the files, as last read; reload_changed() alone
  std::atomic<unsigned> checking_ = 0;
  std::atomic<uint64_t> failures_ = 0;
};

// The scope that a request of this kind needs: "repository:team/web:pull,push".
std::string scope_of(std::string_view repository, Action action);

}  // namespace proa::oci::registry
