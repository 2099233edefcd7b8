// One server: its scheme, its challenges and tokens, and requests to it. The insides of session.h.
//
// A Host belongs to the loop of its client: call() goes there and comes back.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/auth.h"
#include "oci/image/remote/session.h"

namespace proa::oci::image::remote {

// What a token is to allow.
struct Scope {
  std::string repository, actions;  // "library/alpine", "pull,push"; empty: nothing
  std::string from;                 // to mount from

  std::vector<std::string> texts() const;
};

struct Call {
  std::string method = "GET";
  net::Url url;
  net::Headers headers;
  std::string body;
  std::optional<UploadBody> upload;
  Scope scope;
  bool repeatable = true;
};

// Coroutines of one loop take turns.
class Turns {
 public:
  class Held {
   public:
    explicit Held(Turns& turns) : turns_(&turns) {}
    Held(Held&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (turns_ != nullptr) turns_->leave();
    }

   private:
    Turns* turns_;
  };
  net::Task<Held> enter();

 private:
  void leave();
  bool busy_ = false;
  std::deque<net::Event*> waiting_;
};

class Host {
 public:
  // `insecure`: any certificate will do. `credential`: instead of those kept.
  Host(Remote::State& remote, Endpoint endpoint, net::Client& client, std::optional<Credential> credential);

  const Endpoint& endpoint() const { return endpoint_; }
  // "manifests/latest" of a repository. Calls put the scheme right where it was not known.
  net::Url url(std::string_view repository, std::string_view rest) const;

  // Any status is an answer. Follows redirects of GET and HEAD; answers challenges; repeats what is worth it.
  net::Task<Result<net::ClientResponse>> call(Call call);
  // For mirrors that could not be reached: they are passed over from then on.
  bool broken() const { return broken_; }
  void set_broken() { broken_ = true; }
  // Asks token services for an identity token too.
  void want_identity_token() { want_identity_token_ = true; }
  const std::string& identity_token() const { return identity_token_; }

 private:
  struct Token {
    std::string text;
    net::Clock::time_point until;
  };
  struct Bearer {
    net::Url realm;
    std::string service;
  };

  net::Task<Result<net::ClientResponse>> perform(Call& call);
  net::Task<Result<net::ClientResponse>> authorized(Call& call);
  // `own`: the answer is this server's, not of one that it sent us to.
  net::Task<Result<net::ClientResponse>> follow(const Call& call, const std::string& authorization, bool& own);
  net::Task<Result<>> find_scheme();
  net::Task<Result<bool>> answers(std::string scheme, int& status);

  net::Task<Result<Credential>> credential(std::string repository);
  // The Authorization to send at once; "" before any challenge.
  net::Task<Result<std::string>> authorization(const Scope& scope);
  // True: another try is worth it.
  net::Task<Result<bool>> take_challenge(const net::Headers& headers, const Scope& scope, const std::string& used);
  net::Task<Result<std::string>> token(Bearer bearer, Scope scope);
  net::Task<Result<Token>> fetch_token(const Bearer& bearer, const std::vector<std::string>& scopes,
                                       const Credential& own);
  Result<Token> read_token(std::string_view text);

  Remote::State& remote_;
  const Endpoint endpoint_;
  net::Client& client_;
  const std::optional<Credential> given_;
  // On the client's loop:
  net::Url base_;
  Turns turns_;
  bool scheme_known_;
  bool basic_ = false;
  std::optional<Bearer> bearer_;
  std::map<std::string, std::vector<std::string>> scopes_;  // by our scope: what the server asks for
  std::map<std::string, Token> tokens_;                     // by our scope
  std::map<std::string, Credential> credentials_;           // by repository
  bool want_identity_token_ = false;
  std::string identity_token_;
  std::atomic<bool> broken_ = false;
};

struct Remote::State {
  net::Loops& loops;
  Registries registries;
  Credentials credentials;
  Options options;
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<net::Client>> clients;  // by authority; guarded, as are the hosts
  std::map<std::string, std::shared_ptr<Host>> hosts;           // by endpoint

  std::atomic<bool> cancelled = false;

  net::Task<Result<>> pause(net::Duration delay);
  // The connections to a host, with its authorities and certificates.
  Result<net::Client*> client(const Endpoint& endpoint);
  Result<net::Client*> client(const std::string& authority);

 private:
  Result<net::Client*> client(const std::string& key, const Endpoint& endpoint);

 public:
  Result<std::shared_ptr<Host>> host(const Endpoint& endpoint);
};

// Reads what is left of a small answer, so that its connection can be used again.
net::Task<std::string> rest_of(net::ClientResponse& response);
// The error in an answer: api_error with its text, and a hint.
net::Task<Error> error_of(net::ClientResponse& response, const Endpoint& endpoint);
// Adds what can be done about a server that cannot be spoken to.
Error explain(Error error, const Endpoint& endpoint);
// As long as the answer's Retry-After says.
std::optional<net::Duration> retry_after(const net::Headers& headers);

}  // namespace proa::oci::image::remote
